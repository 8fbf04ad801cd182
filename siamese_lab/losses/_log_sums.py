"""Logarithms of masked sums of exponentials, finite where nothing is summed."""

import torch
from torch import Tensor


def log_sum(x: Tensor, mask: Tensor, dim: int = 1) -> Tensor:
    """log of the sum of exp(x) over what `mask` keeps; a huge negative number, without a gradient, where it keeps
    nothing.
    """
    return x.masked_fill(~mask, torch.finfo(x.dtype).min).logsumexp(dim)  # finite: -inf would give NaN gradients


def log_one_plus_sum(x: Tensor, mask: Tensor, dim: int = 1) -> Tensor:
    """log of 1 + the sum of exp(x) over what `mask` keeps; 0 where it keeps nothing."""
    total = log_sum(x, mask, dim)
    return torch.logaddexp(total, torch.zeros_like(total))
