import torch
from torch import Tensor, nn

from siamese_lab.core.checks import require_within
from siamese_lab.losses._reductions import pair_loss
from siamese_lab.structures.contracts import Consumes, Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples, pair_distances


class BromleyLoss(nn.Module):
    """Moves the cosine of each pair towards a target: one for same-label pairs, another for all others.

    A pair with the cosine c costs (c - target)^2. Each kind is averaged on its own.

    Source: Bromley et al., NIPS 1993, section 4, the first siamese network (targets +1 for two genuine signatures, -0.9
    or -1 for one and a forgery). Differs from it: two averages; a squared error, which the paper does not spell out.
    Many classes cannot all be at -1 from each other: the mean cosine of C classes is at least -1 / (C - 1).

    Args:
        same: target of same-label pairs, in [-1, 1], above `different`.
        different: target of other pairs, in [-1, 1].

    Raises:
        ValueError: if not -1 <= different < same <= 1.

    Examples:
        >>> import torch
        >>> from siamese_lab.distances.cosine import Cosine
        >>> from siamese_lab.losses.bromley import BromleyLoss
        >>> from siamese_lab.structures.embedded import Embedded
        >>> z = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.6, 0.8]])
        >>> e = Embedded(z, torch.tensor([0, 0, 1, 1]), distance=Cosine())
        >>> loss, facts = BromleyLoss(same=1.0, different=-0.9)(e)
        >>> round(loss.item(), 4), facts["active"].item()
        (1.3956, 2)
    """

    consumes: Consumes = "pairs"
    requires: tuple[Property, ...] = (Property.COSINE,)
    uses_memory: bool = True

    def __init__(self, same: float = 1.0, different: float = -0.9) -> None:
        super().__init__()
        for name, value in (("same", same), ("different", different)):
            require_within(name, value, "[-1, 1]", "it is a cosine")
        if not different < same:
            raise ValueError(f"different must be < same, got {different} and {same}: they are the target cosines")
        self.same, self.different = same, different

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and how many of the pairs are `active` (nearer to the other target)."""
        d, same, pairs = pair_distances(e, tuples)  # (P,) or (A, R)
        cosine = 1.0 - d
        cost = torch.where(same, cosine - self.same, cosine - self.different).square()
        return pair_loss(e, cost, (cosine > (self.same + self.different) / 2) != same, same, pairs)
