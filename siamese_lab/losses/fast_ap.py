import torch
from torch import Tensor, nn

from siamese_lab.core.checks import require_at_least
from siamese_lab.losses._reductions import misranked_anchors
from siamese_lab.structures.contracts import Consumes, Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples


class FastAPLoss(nn.Module):
    """One minus the average precision of each image's ranking of the batch, by a histogram of distances with soft bins.

    loss = 1 - mean over anchors of  1 / N sum over bins of h H / G,
    h of its N positives in a bin, H positives and G images in this bin and all nearer ones. A distance counts in the
    two bins whose centres it lies between, by how near they are.

    Memory grows with A x R x bins.

    Source: Cakir et al., CVPR 2019, section 3. Bins over [0, 2] of the cosine distance are the paper's over [0, 4] of
    the squared Euclidean distance of unit-norm embeddings.

    Args:
        bins: parts that the range of distances is divided into, >= 1; there is a bin at each end of each part.

    Raises:
        ValueError: if bins is not positive.

    Examples:
        >>> import torch
        >>> from siamese_lab.distances.cosine import Cosine
        >>> from siamese_lab.losses.fast_ap import FastAPLoss
        >>> from siamese_lab.structures.embedded import Embedded
        >>> z = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.6, 0.8]])
        >>> e = Embedded(z, torch.tensor([0, 0, 1, 1]), distance=Cosine())
        >>> loss, facts = FastAPLoss(bins=10)(e)
        >>> round(loss.item(), 4), facts["active"].item()
        (0.25, 2)
    """

    consumes: Consumes = "labels"
    requires: tuple[Property, ...] = (Property.COSINE,)
    uses_memory: bool = True

    def __init__(self, bins: int = 10) -> None:
        super().__init__()
        require_at_least("bins", bins, 1, "it is the number of parts of the range of distances")
        self.bins = bins

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss; counts anchors with both kinds of pairs, `active` where a negative is as near as a positive."""
        d, positives, negatives = e.matrix(), e.positives(), e.negatives()
        anchors = positives.any(1) & negatives.any(1)
        centres = torch.linspace(0.0, 2.0, self.bins + 1, dtype=d.dtype, device=d.device)
        share = (1.0 - (d[:, :, None] - centres).abs() * (self.bins / 2)).clamp(min=0.0)  # (A, R, bins + 1)
        h, g = ((share * kind[:, :, None]).sum(1) for kind in (positives, positives | negatives))  # (A, bins + 1)
        found, seen = h.cumsum(1), g.cumsum(1)
        shares = h * found / seen.clamp(min=torch.finfo(d.dtype).eps)
        precision = shares.sum(1) / positives.sum(1).clamp(min=1)  # (A,)
        loss = (1.0 - precision).masked_fill(~anchors, 0.0).sum() / anchors.sum().clamp(min=1)
        return e.zero() + loss, {"active": misranked_anchors(d, positives, negatives).sum(), "tuples": anchors.sum()}
