"""Supervised contrastive loss."""

import torch
from torch import Tensor, nn

from siamese_lab.batch import Embedded, Tuples


class SupConLoss(nn.Module):
    """A softmax over the batch in which each anchor has to find its positives among all other images.

    loss = - mean over anchors i, mean over its positives p of  log( exp(-d(i, p) / t) / sum over a != i of exp(-d(i, a) / t) ).
    With the cosine distance this is the paper's loss (a constant in the exponent cancels). Anchors without a positive do not count.

    Source: Khosla et al., NeurIPS 2020, eq. 2 (the sum outside the logarithm). Differs from it: works on any distance.

    Args:
        temperature: divides the distances; small = only the nearest neighbours count. In (0, inf).

    Raises:
        ValueError: if temperature is not positive.
    """

    eats = "labels"

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature must be > 0, got {temperature}: distances are divided by it")
        self.temperature = temperature

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss over the labels, whatever the `tuples`; the facts count anchors.

        `active`: those whose nearest neighbour has another label; `tuples`: those with a positive.
        """
        positives, negatives = e.positives(), e.negatives()
        others = positives | negatives
        logits = -e.matrix() / self.temperature  # (A, R)
        logits = logits.masked_fill(~others, torch.finfo(logits.dtype).min)  # finite: an anchor alone in its batch gives no NaN
        log_share = (logits - logits.logsumexp(1, keepdim=True)).masked_fill(~positives, 0.0)
        count = positives.sum(1)
        anchors = count > 0
        loss = -(log_share.sum(1) / count.clamp(min=1)).sum() / anchors.sum().clamp(min=1)
        missed = anchors & ~positives.gather(1, logits.argmax(1, keepdim=True)).squeeze(1)
        return e.zero() + loss, {"active": missed.sum(), "tuples": anchors.sum()}
