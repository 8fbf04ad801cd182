from typing import Literal

import torch
from torch import Tensor, nn

from siamese_lab.core.checks import require_choice, require_positive
from siamese_lab.losses._reductions import masked_logsumexp
from siamese_lab.structures.contracts import Consumes, Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples


class SupConLoss(nn.Module):
    """A softmax over the batch in which each anchor has to find its positives among all other images.

    With q(i, p) = exp(-d(i, p) / t) / sum over a != i of exp(-d(i, a) / t), an anchor i costs - mean over its positives
    p of log q(i, p) (the sum outside the logarithm), or - log of the mean over its positives of q(i, p) (inside: one
    near positive is enough). The loss is the mean over the anchors that have a positive. With the cosine distance this
    is the paper's (a constant in the exponent cancels).

    Source: Khosla et al., NeurIPS 2020, eq. 2 (outside; theirs, better on ImageNet: 78.7 % against 67.4 %) and eq. 3
    (inside). Differs from it: works on any distance.

    Args:
        temperature: divides the distances; small = only the nearest neighbours count. In (0, inf).
        sum: "out" or "in": where the sum over the positives stands, outside or inside the logarithm.

    Raises:
        ValueError: if temperature is not positive, or sum is none of these.

    Examples:
        >>> import torch
        >>> from siamese_lab.distances.cosine import Cosine
        >>> from siamese_lab.losses.supcon import SupConLoss
        >>> from siamese_lab.structures.embedded import Embedded
        >>> z = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.6, 0.8]])
        >>> e = Embedded(z, torch.tensor([0, 0, 1, 1]), distance=Cosine())
        >>> loss, facts = SupConLoss(temperature=0.5)(e)
        >>> round(loss.item(), 4), facts["active"].item()
        (0.6429, 2)
    """

    consumes: Consumes = "labels"
    requires: tuple[Property, ...] = ()
    uses_memory: bool = True

    def __init__(self, temperature: float = 0.1, sum: Literal["out", "in"] = "out") -> None:
        super().__init__()
        require_positive("temperature", temperature, "distances are divided by it")
        require_choice("sum", sum, ("out", "in"), "where the sum over the positives stands")
        self.temperature, self.sum = temperature, sum

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss; counts anchors with a positive, `active` if their nearest neighbour has another label."""
        positives, negatives = e.positives(), e.negatives()
        others = positives | negatives
        logits = -e.matrix() / self.temperature  # (A, R)
        logits = logits.masked_fill(~others, torch.finfo(logits.dtype).min)  # finite: no NaN without others
        count, total = positives.sum(1), logits.logsumexp(1)
        anchors = count > 0
        if self.sum == "out":
            log_share = (logits - total[:, None]).masked_fill(~positives, 0.0).sum(1) / count.clamp(min=1)
        else:
            mean = masked_logsumexp(logits, positives) - total - count.clamp(min=1).to(total.dtype).log()
            log_share = mean.masked_fill(~anchors, 0.0)
        loss = -log_share.sum() / anchors.sum().clamp(min=1)
        missed = anchors & ~positives.gather(1, logits.argmax(1, keepdim=True)).squeeze(1)
        return e.zero() + loss, {"active": missed.sum(), "tuples": anchors.sum()}
