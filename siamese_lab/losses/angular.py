import math

from torch import Tensor, nn
from torch.nn import functional as F

from siamese_lab.core.checks import require_within
from siamese_lab.losses._reductions import masked_logsumexp
from siamese_lab.structures.contracts import Consumes, Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples


class AngularLoss(nn.Module):
    """Bounds the angle at a negative between the directions to its anchor and its positive.

    loss = mean over pairs (a, p) of one label of  log( 1 + sum over n of another label of exp f(a, p, n) ),
    f = 4 tan^2(angle) (a + p) . n - 2 (1 + tan^2(angle)) a . p  on unit-norm embeddings. But for a constant, f is
    |a - p|^2 - 4 tan^2(angle) |n - (a + p) / 2|^2, which is below 0 where the angle at n is small enough.

    Memory grows with P x R, P pairs of one label by R rows. Rows of a memory serve as negatives only.

    Source: Wang et al., ICCV 2017, section 3.3 (the N-pair form; the constant is dropped there too). Differs from it:
    all pairs of a label instead of one, all images of other labels as negatives; without the N-pair loss added.

    Args:
        angle: upper bound of the angle, in degrees, in (0, 90); the paper finds 36 to 55 best after pre-training, but
            from scratch smaller ones learn faster.

    Raises:
        ValueError: if angle is not in (0, 90).

    Examples:
        >>> import torch
        >>> from siamese_lab.distances.cosine import Cosine
        >>> from siamese_lab.losses.angular import AngularLoss
        >>> from siamese_lab.structures.embedded import Embedded
        >>> z = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.6, 0.8]])
        >>> e = Embedded(z, torch.tensor([0, 0, 1, 1]), distance=Cosine())
        >>> loss, facts = AngularLoss(angle=45.0)(e)
        >>> round(loss.item(), 4), facts["active"].item()
        (1.2911, 0)
    """

    consumes: Consumes = "labels"
    requires: tuple[Property, ...] = (Property.COSINE,)
    uses_memory: bool = True

    def __init__(self, angle: float = 36.0) -> None:
        super().__init__()
        require_within("angle", angle, "(0, 90)", "it is the largest angle at a negative, in degrees")
        self.angle = angle

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss; counts the pairs of one label with a negative, `active` where a negative's angle is too large."""
        square = math.tan(math.radians(self.angle)) ** 2
        anchor, positive = e.positives()[:, : e.anchors].triu().nonzero(as_tuple=True)  # (P,); f(p, a) = f(a, p)
        cosine, valid = 1.0 - e.matrix(), e.negatives()[anchor]  # (A, R), (P, R)
        own = 2.0 * (1.0 + square) * cosine[anchor, positive][:, None]
        f = 4.0 * square * (cosine[anchor] + cosine[positive]) - own
        exceeds = valid & (f + 2.0 - 6.0 * square > 0)  # f with its constant
        pairs = valid.any(1).sum()
        loss = F.softplus(masked_logsumexp(f, valid)).sum() / pairs.clamp(min=1)
        return e.zero() + loss, {"active": exceeds.any(1).sum(), "tuples": pairs}
