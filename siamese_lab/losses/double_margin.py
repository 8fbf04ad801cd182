import torch
from torch import Tensor, nn

from siamese_lab.core.checks import require_at_least
from siamese_lab.losses._reductions import pair_loss
from siamese_lab.structures.contracts import Consumes, Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples, pair_distances


class DoubleMarginLoss(nn.Module):
    """The contrastive loss without a need for same-label pairs to coincide.

    A same-label pair at distance d costs max(0, d - inner)^2, any other pair max(0, outer - d)^2. Each kind is averaged
    on its own. With inner = 0 it is `loss=contrastive`.

    Source: Lin et al., DeepHash, arXiv 1501.04711, 2015 (the double-margin siamese loss). Differs from it: squared
    hinges, as Hadsell's, and two averages.

    Args:
        inner: distance up to which a same-label pair costs nothing, in units of the distance, in [0, outer).
        outer: distance from which any other pair costs nothing; at most 2 has an effect with Euclidean distances of
            unit-norm embeddings.

    Raises:
        ValueError: if inner is negative or not below outer.

    Examples:
        >>> import torch
        >>> from siamese_lab.losses.double_margin import DoubleMarginLoss
        >>> from siamese_lab.structures.embedded import Embedded
        >>> z = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.6, 0.8]])
        >>> e = Embedded(z, torch.tensor([0, 0, 1, 1]))
        >>> loss, facts = DoubleMarginLoss(inner=0.2, outer=1.0)(e)
        >>> round(loss.item(), 4), facts["active"].item()
        (0.3684, 3)
    """

    consumes: Consumes = "pairs"
    requires: tuple[Property, ...] = (Property.NON_NEGATIVE,)
    uses_memory: bool = True

    def __init__(self, inner: float = 0.2, outer: float = 1.0) -> None:
        super().__init__()
        require_at_least("inner", inner, 0, "it is the distance up to which a positive pair costs nothing")
        if not outer > inner:
            raise ValueError(f"outer must be > inner, got {outer} and {inner}: beyond it a negative pair costs nothing")
        self.inner, self.outer = inner, outer

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and how many of the pairs were `active` (have a gradient)."""
        d, same, pairs = pair_distances(e, tuples)  # (P,) or (A, R)
        excess = torch.where(same, d - self.inner, self.outer - d).clamp(min=0.0)
        return pair_loss(e, excess.square(), excess > 0, same, pairs)
