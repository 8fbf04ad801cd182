"""The cost of all triplets that the labels of a batch imply, without listing them.

A triplet's cost depends on d(anchor, positive) and d(anchor, negative) alone. So the sum over the triplets and its
gradient follow from the (A, R) distances, a few anchors at a time, in memory of one (A, R) gradient and a tile.
B images of B / K classes have B (K - 1) (B - K) triplets: 25 million for B = 2048 and K = 4.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction, FunctionCtx
from torch.nn import functional as F

from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples, as_triplets

TILE = 1 << 19  # distances, or costs, held at once
FEW = 16  # positives of an anchor up to which sorting costs more than it saves

Form = Literal["hinge", "soft"]
Sums = tuple[Tensor, Tensor, Tensor]  # the cost, the number of triplets that violate the margin, of all triplets


def triplet_costs(e: Embedded, tuples: Tuples, margin: float, form: Form = "hinge") -> Sums:
    """The sum over the given triplets, or over all.

    Args:
        e: the batch.
        tuples: triplets, or None.
        margin: in units of the distance.
        form: of a triplet's cost.

    Raises:
        ValueError: for pairs or episodes, of which no triplet can be made.
    """
    if tuples is None:
        return all_triplet_costs(e.matrix(), e.positives(), e.negatives(), margin, form)
    anchor, positive, negative = as_triplets(e, tuples)
    excess = e.at(anchor, positive) - e.at(anchor, negative)  # (T,)
    cost = F.softplus(excess) if form == "soft" else (excess + margin).clamp(min=0.0)
    return cost.sum(), (excess + margin > 0).count_nonzero(), torch.tensor(len(anchor), device=anchor.device)


def all_triplet_costs(d: Tensor, positives: Tensor, negatives: Tensor, margin: float, form: Form = "hinge") -> Sums:
    """The sum over all triplets of max(0, d(a, p) - d(a, n) + margin), or, soft, of log(1 + exp(d(a, p) - d(a, n))).

    Args:
        d: distances (A, R).
        positives, negatives: masks (A, R).
        margin: in units of the distance; in the soft form it only decides which triplets count as active.
        form: of a triplet's cost.
    """
    cost, active, count = _AllTripletCosts.apply(d, positives, negatives, margin, form)
    return cost, active, count


class _AllTripletCosts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, d: Tensor, positives: Tensor, negatives: Tensor, margin: float, form: str) -> Sums:
        gradient = torch.zeros_like(d)
        cost = torch.zeros((), dtype=torch.float64, device=d.device)
        active = torch.zeros((), dtype=torch.long, device=d.device)
        most = int(positives.sum(1).max()) if d.numel() else 0
        add = _add_soft if form == "soft" else _add_by_column if most <= FEW else _add_by_sorting
        step = max(1, TILE // max(1, d.shape[1]))
        for start in range(0, len(d), step):
            rows = slice(start, start + step)
            some, reached = add(d[rows], margin, positives[rows], negatives[rows], gradient[rows])
            cost, active = cost + some, active + reached
        count = (positives.sum(1) * negatives.sum(1)).sum()
        ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(active, count)
        return cost.to(d.dtype), active, count

    @staticmethod
    def backward(ctx: BackwardCFunction, cost: Tensor, *_: Tensor) -> tuple[Tensor, None, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * cost, None, None, None, None


def _add_by_column(
    d: Tensor, margin: float, positives: Tensor, negatives: Tensor, gradient: Tensor
) -> tuple[Tensor, Tensor]:
    """Cost and number of active triplets of some anchors (a, R); their gradient is added to `gradient`.

    All first positives are compared with all negatives, then all second ones, and so on.
    """
    anchor, positive = positives.nonzero(as_tuple=True)  # (P,), anchor by anchor
    count = positives.sum(1)
    place = torch.arange(len(anchor), device=d.device) - (count.cumsum(0) - count)[anchor]  # among its anchor's
    most = int(count.max())
    reach = d.new_full((len(d), most), -torch.inf)
    reach[anchor, place] = d[anchor, positive] + margin
    within = torch.zeros(reach.shape, dtype=torch.long, device=d.device)
    far = d.masked_fill(~negatives, torch.inf)
    cost = d.new_zeros((), dtype=torch.float64)
    for k in range(most):
        excess = reach[:, k, None] - far
        costs = excess > 0
        within[:, k] = costs.sum(1)
        cost += excess.clamp_(min=0.0).sum(dtype=torch.float64)
        gradient -= costs.to(gradient.dtype)
    gradient[anchor, positive] += within[anchor, place].to(gradient.dtype)
    return cost, within.sum()


def _add_by_sorting(
    d: Tensor, margin: float, positives: Tensor, negatives: Tensor, gradient: Tensor
) -> tuple[Tensor, Tensor]:
    """The same, where each anchor has many positives: sorted distances are counted."""
    near, far = d + margin, d
    reach = near.masked_fill(~positives, -torch.inf)  # a negative below it costs something
    ranked = far.masked_fill(~negatives, torch.inf).sort(1).values  # (a, R)
    closer = torch.searchsorted(ranked, reach).masked_fill(~positives, 0)  # negatives within reach of each positive
    sums = torch.cat([ranked.new_zeros(len(ranked), 1, dtype=torch.float64), ranked.double().cumsum(1)], 1)
    cost = (closer * near.double() - sums.gather(1, closer)).masked_fill(~positives, 0.0).sum()
    beyond = torch.searchsorted(reach.sort(1).values, far.contiguous(), right=True)  # positives that do not reach it
    within = (far.shape[1] - beyond).masked_fill(~negatives, 0)
    gradient += (closer - within).to(gradient.dtype)
    return cost, closer.sum()


def _add_soft(
    d: Tensor, margin: float, positives: Tensor, negatives: Tensor, gradient: Tensor
) -> tuple[Tensor, Tensor]:
    """The same for the soft form, a tile of triplets at a time."""
    cost, active = d.new_zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.long, device=d.device)
    anchor, positive = positives.nonzero(as_tuple=True)  # (P,)
    for some in torch.arange(len(anchor), device=d.device).split(max(1, TILE // d.shape[1])):
        a, p = anchor[some], positive[some]
        excess = (d[a, p][:, None] - d[a]).masked_fill(~negatives[a], -torch.inf)  # (p, R)
        cost += F.softplus(excess).sum(dtype=torch.float64)
        active += (excess + margin > 0).count_nonzero()
        slope = excess.sigmoid()
        gradient.index_put_((a, p), slope.sum(1), accumulate=True)
        gradient.index_add_(0, a, slope, alpha=-1)
    return cost, active
