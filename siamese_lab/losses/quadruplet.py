from typing import Literal

import torch
from torch import Tensor, nn

from siamese_lab.core.checks import require_choice, require_positive
from siamese_lab.losses._all_triplets import triplet_costs
from siamese_lab.structures.contracts import Consumes, Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples, as_triplets


class QuadrupletLoss(nn.Module):
    """A triplet loss that also wants every positive pair closer than any two images of two other classes.

    With an anchor i, its positive j and images k and l of two other classes, the cost is
    max(0, d(i, j) - d(i, k) + margin)  and  max(0, d(i, j) - d(l, k) + second), each averaged on its own.

    All quadruplets of a batch are counted by sorting, without forming them, in memory of the order of the distance
    matrix. T given triplets form quadruplets with every l that fits, in memory of the order of T x A.

    Source: Chen et al., CVPR 2017, section 3.3 (there on squares of learned distances: `distance=squared_euclidean`).
    Differs from it: averages, where the paper adds up.

    Args:
        margin: how much farther than the positive the negative has to be, in units of the distance, > 0.
        second: how much farther two images of other classes have to be from each other, > 0; in the paper below margin.
        average: "active" = over the triplets, and the quadruplets, that cost something, "all" = over all of them.

    Raises:
        ValueError: if margin or second is not positive, or average none of these.

    Examples:
        >>> import torch
        >>> from siamese_lab.losses.quadruplet import QuadrupletLoss
        >>> from siamese_lab.structures.embedded import Embedded
        >>> z = torch.tensor([[0.0], [1.0], [1.5], [5.0]])
        >>> e = Embedded(z, torch.tensor([0, 0, 1, 2]))
        >>> loss, facts = QuadrupletLoss(margin=1.0, second=0.5)(e)
        >>> round(loss.item(), 4), facts["active"].item()
        (1.0, 2)
    """

    consumes: Consumes = "triplets"
    requires: tuple[Property, ...] = ()
    uses_memory: bool = True

    def __init__(self, margin: float = 0.2, second: float = 0.1, average: Literal["active", "all"] = "active") -> None:
        super().__init__()
        require_positive("margin", margin, "it is how much farther than the positive the negative has to be")
        require_positive("second", second, "it is how much farther than the positive other classes have to be")
        require_choice("average", average, ("active", "all"))
        self.margin, self.second, self.average = margin, second, average

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and how many of the triplets and quadruplets were `active` (violate their margin)."""
        first = triplet_costs(e, tuples, self.margin)
        second = _all_quadruplets(e, self.second) if tuples is None else _given_quadruplets(e, tuples, self.second)
        loss = sum(
            cost / (active if self.average == "active" else count).clamp(min=1)
            for cost, active, count in (first, second)
        )
        return e.zero() + loss, {"active": first[1] + second[1], "tuples": first[2] + second[2]}


def _hinge(near: Tensor, far: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The sum of max(0, near - far) over `valid`, how many of these cost something, and how many there are."""
    cost = (near - far).clamp(min=0.0).masked_fill(~valid, 0.0)
    return cost.sum(), (valid & (cost > 0)).sum(), valid.sum()


def _given_quadruplets(e: Embedded, tuples: Tuples, margin: float) -> tuple[Tensor, Tensor, Tensor]:
    """`_hinge` over the quadruplets of given triplets: l is any anchor of a third class."""
    i, j, k = as_triplets(e, tuples)
    classes = e.labels[: e.anchors]
    other = (classes[None, :] != e.labels[i][:, None]) & (classes[None, :] != e.labels[k][:, None])  # (T, A)
    return _hinge(e.at(i, j)[:, None] + margin, e.matrix()[:, k].T, other)


def _all_quadruplets(e: Embedded, margin: float) -> tuple[Tensor, Tensor, Tensor]:
    """`_hinge` over all quadruplets: each distance counts as often as it stands in one that costs something."""
    positives, negatives = e.positives().nonzero(), e.negatives().nonzero()  # (P, 2), (M, 2)
    near, far = e.matrix()[positives.unbind(1)] + margin, e.matrix()[negatives.unbind(1)]
    with torch.no_grad():
        own, ends = e.labels[positives[:, :1]], e.labels[negatives]  # (P, 1), (M, 2)
        below = _count_smaller(torch.cat([near, torch.full_like(near, torch.inf)]), own.repeat(2, 1), far, ends)
        farther, count = below.view(2, -1)  # (P,) the d(l, k) too small for each d(i, j), and all of them
        nearer = _count_smaller(-far, ends, -near, own)  # (M,) the other way round
    return (near * farther).sum() - (far * nearer).sum(), farther.sum(), count.sum()


def _count_smaller(x: Tensor, x_classes: Tensor, y: Tensor, y_classes: Tensor) -> Tensor:
    """How many of y (M,) are below each of x (P,), but for those that share a class with it; by sorting.

    Args:
        x, y: numbers.
        x_classes: (P, c) the classes of each x.
        y_classes: (M, k) the classes of each y, of which at most one stands in a row of `x_classes`.
    """
    y, order = y.sort()
    rank = torch.searchsorted(y, x)
    classes = y_classes[order].flatten().sort(stable=True)  # (M k,), by rank within a class
    step = len(classes.values) + 1
    keys, start = classes.values * step + classes.indices, (x_classes * step).contiguous()
    among = torch.searchsorted(keys, start + y_classes.shape[1] * rank[:, None]) - torch.searchsorted(keys, start)
    return rank - among.sum(1)
