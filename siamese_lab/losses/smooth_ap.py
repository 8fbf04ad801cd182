from torch import Tensor, nn

from siamese_lab.core.checks import require_positive
from siamese_lab.losses._reductions import misranked_anchors
from siamese_lab.structures.contracts import Consumes, Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples


class SmoothAPLoss(nn.Module):
    """One minus the average precision of each image's ranking of the batch, with sigmoids in place of comparisons.

    loss = 1 - mean over anchors a, mean over its positives p of
    (1 + sum over its other positives q of s(p, q)) / (1 + sum over all other images q of s(p, q)),
    s(p, q) = sigmoid( (d(a, p) - d(a, q)) / t ): how much q ranks before p.

    Memory grows with P x R, P pairs of an anchor and a positive by R rows.

    Source: Brown et al., ECCV 2020, section 4 (on cosines). Differs from it: works on any distance; unlike in the
    authors' code, an image does not rank itself.

    Args:
        temperature: width of a comparison, in units of the distance, > 0; small = nearer to the true average precision,
            but with a gradient only between images at nearly equal distances. The paper's 0.01, for pre-trained
            networks, learns less from scratch.

    Raises:
        ValueError: if temperature is not positive.

    Examples:
        >>> import torch
        >>> from siamese_lab.distances.cosine import Cosine
        >>> from siamese_lab.losses.smooth_ap import SmoothAPLoss
        >>> from siamese_lab.structures.embedded import Embedded
        >>> z = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.6, 0.8]])
        >>> e = Embedded(z, torch.tensor([0, 0, 1, 1]), distance=Cosine())
        >>> loss, facts = SmoothAPLoss(temperature=0.1)(e)
        >>> round(loss.item(), 4), facts["active"].item()
        (0.2051, 2)
    """

    consumes: Consumes = "labels"
    requires: tuple[Property, ...] = ()
    uses_memory: bool = True

    def __init__(self, temperature: float = 0.05) -> None:
        super().__init__()
        require_positive("temperature", temperature, "distances are divided by it")
        self.temperature = temperature

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss; counts anchors with both kinds of pairs, `active` where a negative is as near as a positive."""
        d, positives, negatives = e.matrix(), e.positives(), e.negatives()
        anchors = positives.any(1) & negatives.any(1)
        anchor, positive = (positives & anchors[:, None]).nonzero(as_tuple=True)  # (P,) each
        gap = d[anchor, positive][:, None] - d[anchor]
        before = (gap / self.temperature).sigmoid()  # (P, R); 1/2 for the positive itself
        among = 0.5 + (before * positives[anchor]).sum(1)  # (P,) its rank among the positives
        precision = among / (among + (before * negatives[anchor]).sum(1))
        count = anchors.sum()
        loss = ((1.0 - precision) / positives.sum(1)[anchor]).sum() / count.clamp(min=1)
        return e.zero() + loss, {"active": misranked_anchors(d, positives, negatives).sum(), "tuples": count}
