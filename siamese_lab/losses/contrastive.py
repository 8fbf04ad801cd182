import torch
from torch import Tensor, nn

from siamese_lab.core.checks import require_positive
from siamese_lab.losses._reductions import pair_loss
from siamese_lab.structures.contracts import Consumes, Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples, pair_distances


class ContrastiveLoss(nn.Module):
    """Pulls same-label pairs together and pushes others out to a margin.

    A same-label pair at distance d costs d^2, any other pair max(0, margin - d)^2. Each kind is averaged on its own, so
    that the many negatives of a batch do not drown its few positives.

    Source: Hadsell, Chopra, LeCun, CVPR 2006, eq. 4. Differs from it: no factor 1/2, two averages.

    Args:
        margin: distance beyond which a negative pair costs nothing, in units of the distance; at most 2 has an effect
            with Euclidean distances of unit-norm embeddings.

    Raises:
        ValueError: if margin is not positive.

    Examples:
        >>> import torch
        >>> from siamese_lab.losses.contrastive import ContrastiveLoss
        >>> from siamese_lab.structures.embedded import Embedded
        >>> z = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])  # distances 5, 1 and 18 ** 0.5
        >>> e = Embedded(z, torch.tensor([0, 0, 1]))
        >>> loss, facts = ContrastiveLoss(margin=2.0)(e)  # 5 ** 2 + ((2 - 1) ** 2 + 0) / 2
        >>> round(loss.item(), 4), facts["active"].item()
        (25.5, 2)
    """

    consumes: Consumes = "pairs"
    requires: tuple[Property, ...] = (Property.NON_NEGATIVE,)
    uses_memory: bool = True

    def __init__(self, margin: float = 1.0) -> None:
        super().__init__()
        require_positive("margin", margin, "it is the distance beyond which a negative pair costs nothing")
        self.margin = margin

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and how many of the pairs were `active` (have a gradient)."""
        d, same, pairs = pair_distances(e, tuples)  # (P,) or (A, R)
        short = torch.where(same, d, (self.margin - d).clamp(min=0.0))
        return pair_loss(e, short.square(), same | (short > 0), same, pairs)
