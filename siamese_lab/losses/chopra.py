import torch
from torch import Tensor, nn

from siamese_lab.core.checks import require_positive
from siamese_lab.losses._reductions import pair_loss
from siamese_lab.structures.contracts import Consumes, Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples, pair_distances

DECAY = 2.77  # the paper's; 4 ln 2 = 2.7726, so that both kinds of pairs cost the same, Q / 2, at the distance Q / 2


class ChopraLoss(nn.Module):
    """Pulls same-label pairs together and pushes all others apart, however far they are.

    A same-label pair at distance d costs (2 / Q) d^2, any other pair 2 Q exp(-2.77 d / Q), where Q is the largest
    distance there is. The two cost the same at Q / 2. Each kind is averaged on its own.

    Source: Chopra, Hadsell, LeCun, CVPR 2005, section 2, the exponential energy loss (the energy is the L1 distance, Q
    its upper bound). Differs from it: two averages.

    Args:
        bound: Q, the largest distance that two embeddings can have, in units of the distance, > 0: 2 sqrt(D) for the L1
            distance of unit-norm embeddings of D dimensions; the paper's 50 outputs in (-1, 1) have 100.

    Raises:
        ValueError: if bound is not positive.

    Examples:
        >>> import torch
        >>> from siamese_lab.distances.l1 import L1
        >>> from siamese_lab.losses.chopra import ChopraLoss
        >>> from siamese_lab.structures.embedded import Embedded
        >>> z = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.6, 0.8]])
        >>> e = Embedded(z, torch.tensor([0, 0, 1, 1]), distance=L1())
        >>> loss, facts = ChopraLoss(bound=2.8)(e)
        >>> round(loss.item(), 4), facts["active"].item()
        (2.1283, 2)
    """

    consumes: Consumes = "pairs"
    requires: tuple[Property, ...] = (Property.NON_NEGATIVE,)
    uses_memory: bool = True

    def __init__(self, bound: float = 16.0) -> None:
        super().__init__()
        require_positive("bound", bound, "it is the largest distance that two embeddings can have")
        self.bound = bound

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and how many of the pairs are `active` (on the wrong side of Q / 2)."""
        d, same, pairs = pair_distances(e, tuples)  # (P,) or (A, R)
        pull, push = (2.0 / self.bound) * d.square(), 2.0 * self.bound * (-DECAY / self.bound * d).exp()
        return pair_loss(e, torch.where(same, pull, push), (d < self.bound / 2) != same, same, pairs)
