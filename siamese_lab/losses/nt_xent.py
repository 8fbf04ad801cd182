import torch
from torch import Tensor, nn

from siamese_lab.core.checks import require_positive
from siamese_lab.losses._reductions import masked_logsumexp
from siamese_lab.structures.contracts import Consumes, Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples


class NTXentLoss(nn.Module):
    """A softmax for each positive pair, in which the anchor has to find this positive among all of its negatives.

    loss = - mean over all pairs (i, p) of one label of  log( exp(-d(i, p) / t) / (exp(-d(i, p) / t) + sum over
    negatives n of exp(-d(i, n) / t)) ). Other positives are in no denominator. With the cosine distance and two images
    a class this is the paper's loss (a constant in the exponent cancels). A pair counts from both its ends; `supcon`
    counts each anchor once instead.

    Source: Chen et al., ICML 2020, eq. 1; Sohn, NeurIPS 2016 (N-pair). Differs from them: positives are the images of
    one label, however many; works on any distance.

    Args:
        temperature: divides the distances; small = only the nearest negatives count. In (0, inf).

    Raises:
        ValueError: if temperature is not positive.

    Examples:
        >>> import torch
        >>> from siamese_lab.distances.cosine import Cosine
        >>> from siamese_lab.losses.nt_xent import NTXentLoss
        >>> from siamese_lab.structures.embedded import Embedded
        >>> z = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.6, 0.8]])
        >>> e = Embedded(z, torch.tensor([0, 0, 1, 1]), distance=Cosine())
        >>> loss, facts = NTXentLoss(temperature=0.5)(e)
        >>> round(loss.item(), 4), facts["active"].item()
        (0.6429, 1)
    """

    consumes: Consumes = "labels"
    requires: tuple[Property, ...] = ()
    uses_memory: bool = True

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        require_positive("temperature", temperature, "distances are divided by it")
        self.temperature = temperature

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss; counts positive pairs from each end, `active` if farther than the anchor's nearest negative."""
        logits, positives, negatives = -e.matrix() / self.temperature, e.positives(), e.negatives()
        total = masked_logsumexp(logits, negatives)[:, None]  # (A, 1)
        cost = torch.logaddexp(logits, total) - logits  # (A, R)
        count = positives.sum()
        nearest = logits.masked_fill(~negatives, -torch.inf).amax(1, keepdim=True)
        loss = cost.masked_fill(~positives, 0.0).sum() / count.clamp(min=1)
        return e.zero() + loss, {"active": (positives & (logits < nearest)).sum(), "tuples": count}
