import torch
from torch import Tensor

from siamese_lab.miners._strips import Strip, mine_strips
from siamese_lab.structures.contracts import Produces
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Triplets


class BatchHard:
    """For each anchor its farthest positive and its nearest negative; anchors without one of them are left out.

    Source: Hermans, Beyer, Leibe, 2017, eq. 5.

    Examples:
        >>> import torch
        >>> from siamese_lab.miners.batch_hard import BatchHard
        >>> from siamese_lab.structures.embedded import Embedded
        >>> e = Embedded(torch.tensor([[0.0], [1.0], [1.5], [2.5], [5.0]]), torch.tensor([0, 0, 1, 0, 1]))
        >>> [part.tolist() for part in BatchHard()(e)]
        [[0, 1, 2, 3, 4], [3, 3, 4, 0, 2], [2, 2, 1, 2, 3]]
    """

    produces: Produces = "triplets"

    @torch.no_grad()
    def __call__(self, e: Embedded) -> Triplets:
        """At most one triplet an anchor."""
        return mine_strips(e, _mine)


def _mine(strip: Strip) -> tuple[Tensor, Tensor, Tensor]:
    anchor = (strip.positives.any(1) & strip.negatives.any(1)).nonzero().flatten()
    positive = strip.d.masked_fill(~strip.positives, -torch.inf).argmax(1)
    negative = strip.d.masked_fill(~strip.negatives, torch.inf).argmin(1)
    return anchor, positive[anchor], negative[anchor]
