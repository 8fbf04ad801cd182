"""What several losses share."""

import torch
from torch import Tensor


def each_kind(cost: Tensor, same: Tensor, pairs: Tensor) -> Tensor:
    """The mean cost of the same-label pairs plus that of the others; a kind without pairs costs 0.

    Args:
        cost: of any shape.
        same: mask of the pairs of one label.
        pairs: mask of what is a pair at all.
    """
    positives = (same & pairs).count_nonzero()
    negatives = pairs.count_nonzero() - positives
    one = torch.ones((), dtype=cost.dtype, device=cost.device)
    share = torch.where(same, one / positives.clamp(min=1), one / negatives.clamp(min=1)).masked_fill(~pairs, 0.0)
    return (cost * share).sum()


def misranked(d: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """Mask (A,) of the anchors that have a negative no farther than one of their positives, of distances and masks (A,
    R).
    """
    return d.masked_fill(~positives, -torch.inf).amax(1) >= d.masked_fill(~negatives, torch.inf).amin(1)
