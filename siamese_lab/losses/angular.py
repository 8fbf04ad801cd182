"""Angular loss."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siamese_lab.structures.contracts import Consumes, Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples


class AngularLoss(nn.Module):
    """Bounds the angle under which a negative sees its anchor and positive.

    loss = mean over pairs (a, p) of one label of  log( 1 + sum over n of another label of exp f(a, p, n) ),
    f = 4 tan^2(angle) (a + p) . n - 2 (1 + tan^2(angle)) a . p  on unit-norm embeddings. But for a constant, f is
    |a - p|^2 - 4 tan^2(angle) |n - (a + p) / 2|^2, which is below 0 where the angle at n is small enough.

    Takes memory of the order of P x R, P pairs of images of one label by R rows. Rows of a memory serve as negatives
    only.

    Source: Wang et al., ICCV 2017, section 3.3 (the N-pair form; the constant is dropped there too). Differs from it:
    all pairs of a label instead of one, all images of other labels as negatives; without the N-pair loss added.

    Args:
        angle: upper bound of the angle, in degrees, in (0, 90); the paper finds 36 to 55 best, after pre-training; from
            scratch the smaller ones learn faster.

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
        if not 0 < angle < 90:
            raise ValueError(
                f"angle must be in (0, 90), got {angle}: it is the largest angle at a negative, in degrees"
            )
        self.angle = angle

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss over the labels, whatever the `tuples`; the facts count pairs of one label.

        `active`: those that some negative sees under a larger angle; `tuples`: those with a negative.
        """
        square = math.tan(math.radians(self.angle)) ** 2
        # (P,) each; f is the same for (p, a)
        anchor, positive = e.positives()[:, : e.anchors].triu().nonzero(as_tuple=True)
        cosine, valid = 1.0 - e.matrix(), e.negatives()[anchor]  # (A, R), (P, R)
        f = (
            4.0 * square * (cosine[anchor] + cosine[positive])
            - 2.0 * (1.0 + square) * cosine[anchor, positive][:, None]
        )
        f = f.masked_fill(~valid, torch.finfo(f.dtype).min)  # finite: without a negative there is no NaN
        seen = valid & (f + 2.0 - 6.0 * square > 0)  # the constant
        pairs = valid.any(1).sum()
        return e.zero() + F.softplus(f.logsumexp(1)).sum() / pairs.clamp(min=1), {
            "active": seen.any(1).sum(),
            "tuples": pairs,
        }
