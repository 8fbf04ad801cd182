"""What several losses share."""

import torch
from torch import Tensor


def each_kind(pull: Tensor, push: Tensor, same: Tensor) -> Tensor:
    """The mean of `pull` (P,) over the same-label pairs plus the mean of `push` (P,) over the others; a kind without pairs costs 0."""
    share = same.to(pull.dtype)
    positives, negatives = share.sum().clamp(min=1.0), (1.0 - share).sum().clamp(min=1.0)
    return (pull * share).sum() / positives + (push * (1.0 - share)).sum() / negatives


def misranked(d: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """Mask (A,) of the anchors that have a negative no farther than one of their positives, of distances and masks (A, R)."""
    return d.masked_fill(~positives, -torch.inf).amax(1) >= d.masked_fill(~negatives, torch.inf).amin(1)
