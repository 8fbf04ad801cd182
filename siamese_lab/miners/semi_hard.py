"""Semi-hard mining."""

import torch
from torch import Tensor

from siamese_lab.miners._strips import Strip, joined, pairs, table
from siamese_lab.structures.contracts import Produces
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Triplets

# positives of an anchor up to which one look at all negatives for each of them is faster than sorting the negatives
FEW = 16


class SemiHard:
    """For each anchor-positive pair the nearest negative that is farther than the positive; where none is, the farthest
    negative.

    Source: Schroff et al., CVPR 2015, eq. 4. The fallback is that of the authors' public re-implementations; the paper
    names none.

    Examples:
        >>> import torch
        >>> from siamese_lab.miners.semi_hard import SemiHard
        >>> from siamese_lab.structures.embedded import Embedded
        >>> e = Embedded(torch.tensor([[0.0], [1.0], [1.5], [2.5], [5.0]]), torch.tensor([0, 0, 1, 0, 1]))
        >>> [part.tolist() for part in SemiHard()(e)]
        [[0, 0, 1, 1, 2, 3, 3, 4], [1, 3, 0, 3, 4, 0, 1, 2], [2, 4, 4, 4, 0, 4, 4, 1]]
    """

    produces: Produces = "triplets"

    @torch.no_grad()
    def __call__(self, e: Embedded) -> Triplets:
        """One triplet for each pair of an anchor (with a negative) and a positive."""
        return joined(e, _mine)


def _mine(strip: Strip) -> tuple[Tensor, Tensor, Tensor]:
    anchor, positive = pairs(strip)
    near, column = table(anchor, strip.d[anchor, positive], len(strip.d), torch.inf)  # (a, K)
    negative = _looked_up(strip, near) if near.shape[1] <= FEW else _sorted(strip, near)  # (a, K)
    return anchor, positive, negative[anchor, column]


def _looked_up(strip: Strip, near: Tensor) -> Tensor:
    """The negative (a, K) for each positive's distance `near` (a, K), by one look at all negatives for each of the K
    columns.
    """
    d = strip.d.masked_fill(~strip.negatives, torch.inf)
    chosen = [d.masked_fill(d <= column[:, None], torch.inf).min(1) for column in near.unbind(1)]
    if not chosen:
        return torch.zeros_like(near, dtype=torch.long)
    distances, negative = (torch.stack(part, 1) for part in zip(*chosen, strict=True))
    farthest = strip.d.masked_fill(~strip.negatives, -torch.inf).argmax(1, keepdim=True)  # (a, 1)
    return torch.where(distances < torch.inf, negative, farthest)


def _sorted(strip: Strip, near: Tensor) -> Tensor:
    """The same, by sorting each anchor's negatives once."""
    ranked, order = strip.d.masked_fill(~strip.negatives, torch.inf).sort(dim=1)  # (a, R), an anchor's negatives first
    # how many of its negatives are no farther than the positive: the next one is semi-hard
    rank = torch.searchsorted(ranked, near, right=True)
    last = (strip.negatives.sum(1, keepdim=True) - 1).clamp(min=0)
    return order.gather(1, rank.minimum(last))
