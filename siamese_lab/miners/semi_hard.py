import torch
from torch import Tensor

from siamese_lab.miners._strips import Strip, mine_strips, positive_pairs, tabulate
from siamese_lab.structures.contracts import Produces
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Triplets

FEW = 16  # positives of an anchor up to which comparing each with all negatives is faster than sorting the negatives


class SemiHard:
    """For each anchor-positive pair the nearest negative farther than the positive; if there is none, the farthest.

    Source: Schroff et al., CVPR 2015, eq. 4. The fallback is that of public re-implementations; the paper names none.

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
        """One triplet for each anchor-positive pair with a negative."""
        return mine_strips(e, _mine)


def _mine(strip: Strip) -> tuple[Tensor, Tensor, Tensor]:
    anchor, positive = positive_pairs(strip)
    near, column = tabulate(anchor, strip.d[anchor, positive], len(strip.d), torch.inf)  # (a, K)
    negative = _by_comparison(strip, near) if near.shape[1] <= FEW else _by_sorting(strip, near)  # (a, K)
    return anchor, positive, negative[anchor, column]


def _by_comparison(strip: Strip, near: Tensor) -> Tensor:
    """The negative (a, K) for each positive's distance `near` (a, K), by K passes over all negatives."""
    d = strip.d.masked_fill(~strip.negatives, torch.inf)
    chosen = [d.masked_fill(d <= column[:, None], torch.inf).min(1) for column in near.unbind(1)]
    if not chosen:
        return torch.zeros_like(near, dtype=torch.long)
    distances, negative = (torch.stack(part, 1) for part in zip(*chosen, strict=True))
    farthest = strip.d.masked_fill(~strip.negatives, -torch.inf).argmax(1, keepdim=True)  # (a, 1)
    return torch.where(distances < torch.inf, negative, farthest)


def _by_sorting(strip: Strip, near: Tensor) -> Tensor:
    """The same, by sorting each anchor's negatives once."""
    ranked, order = strip.d.masked_fill(~strip.negatives, torch.inf).sort(dim=1)  # (a, R), an anchor's negatives first
    rank = torch.searchsorted(ranked, near, right=True)  # negatives no farther than the positive: the next is semi-hard
    last = (strip.negatives.sum(1, keepdim=True) - 1).clamp(min=0)
    return order.gather(1, rank.minimum(last))
