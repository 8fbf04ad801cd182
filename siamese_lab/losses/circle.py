import torch
from torch import Tensor, nn

from siamese_lab.core.checks import require_positive, require_within
from siamese_lab.losses._reductions import masked_logsumexp
from siamese_lab.structures.contracts import Consumes, Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples


class CircleLoss(nn.Module):
    """Wants positives more similar than 1 - margin and negatives less than margin; the worst pairs weigh the most.

    With the similarity s = 1 - d, an anchor costs log(1 + sum over negatives of exp(scale a_n (s_n - margin)) * sum
    over positives of exp(-scale a_p (s_p - 1 + margin))), where a_n = max(0, s_n + margin) and a_p = max(0, 1 + margin
    - s_p) are weights without a gradient. The loss is the mean over the anchors that have a pair of each kind.

    Source: Sun et al., CVPR 2020, eq. 6 with the choices of section 3.3, for each anchor (their s is the cosine, as is
    ours with the cosine distance); 0.4 and 80 are theirs for fine-grained retrieval.

    Args:
        margin: how far from 1 and 0 similarities may stay, in (0, 1), a cosine.
        scale: the paper's gamma, > 0; large = only the worst pairs count.

    Raises:
        ValueError: if margin is not in (0, 1) or scale is not positive.

    Examples:
        >>> import torch
        >>> from siamese_lab.distances.cosine import Cosine
        >>> from siamese_lab.losses.circle import CircleLoss
        >>> from siamese_lab.structures.embedded import Embedded
        >>> z = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.6, 0.8]])
        >>> e = Embedded(z, torch.tensor([0, 0, 1, 1]), distance=Cosine())
        >>> loss, facts = CircleLoss(margin=0.4, scale=10.0)(e)
        >>> round(loss.item(), 4), facts["active"].item()
        (2.3976, 2)
    """

    consumes: Consumes = "labels"
    requires: tuple[Property, ...] = ()
    uses_memory: bool = True

    def __init__(self, margin: float = 0.4, scale: float = 80.0) -> None:
        super().__init__()
        require_within("margin", margin, "(0, 1)", "positives aim at a similarity of 1 - margin, negatives at margin")
        require_positive("scale", scale, "similarities are multiplied by it")
        self.margin, self.scale = margin, scale

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss; counts anchors with both kinds of pairs, `active` where a pair is beyond its margin."""
        similarity, positives, negatives = 1.0 - e.matrix(), e.positives(), e.negatives()
        slack = similarity.detach()
        pull = (1.0 + self.margin - slack).clamp(min=0.0) * (1.0 - self.margin - similarity)  # (A, R)
        push = (slack + self.margin).clamp(min=0.0) * (similarity - self.margin)
        both = masked_logsumexp(self.scale * pull, positives) + masked_logsumexp(self.scale * push, negatives)  # (A,)
        anchors = positives.any(1) & negatives.any(1)
        cost = torch.logaddexp(both.masked_fill(~anchors, 0.0), torch.zeros_like(both)).masked_fill(~anchors, 0.0)
        missed = anchors & ((positives & (pull > 0)) | (negatives & (push > 0))).any(1)
        return e.zero() + cost.sum() / anchors.sum().clamp(min=1), {"active": missed.sum(), "tuples": anchors.sum()}
