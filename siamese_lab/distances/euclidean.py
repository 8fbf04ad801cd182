from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction, FunctionCtx, once_differentiable
from torch.nn import functional as F

from siamese_lab.distances._contract import Property


class Euclidean(nn.Module):
    """The Euclidean distance ||a - b||, in [0, inf); at most 2 between unit-norm embeddings.

    Where two embeddings are equal the gradient is zero, not NaN: squares below the smallest normal number count as 0.

    Examples:
        >>> import torch
        >>> from siamese_lab.distances.euclidean import Euclidean
        >>> a, b = torch.tensor([[3.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.0, 4.0], [1.0, 1.0]])
        >>> distance = Euclidean()
        >>> distance.pairwise(a, b).tolist()
        [5.0, 0.0]
    """

    low, high = 0.0, float("inf")
    properties: tuple[Property, ...] = (Property.NON_NEGATIVE,)

    def index(self) -> tuple[str, Callable[[Tensor], Tensor]]:
        """A search by "l2" of the embeddings ranks as this distance does."""
        return "l2", lambda z: z

    def pairwise(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances (P,) of the rows of a (P, D) to those of b (P, D)."""
        return safe_sqrt((a - b).square().sum(-1))

    def matrix(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances (N, M) of the rows of a (N, D) to those of b (M, D), by one matrix product."""
        return safe_sqrt(squared_matrix(a, b))


def squared_matrix(a: Tensor, b: Tensor) -> Tensor:
    """Squared Euclidean distances (N, M) by one matrix product; >= 0, and exactly 0 of each row to itself if b is a."""
    squared = torch.addmm(a.square().sum(1)[:, None] + b.square().sum(1)[None, :], a, b.T, alpha=-2.0).clamp(min=0.0)
    if same_memory(a, b):
        squared = squared.fill_diagonal_(0.0)  # a distance to itself is not a rounding error
    return squared


def same_memory(a: Tensor, b: Tensor) -> bool:
    """Whether the rows of one are the first rows of the other."""
    return a.data_ptr() == b.data_ptr() and a.stride() == b.stride()


def safe_sqrt(squared: Tensor) -> Tensor:
    """The square root with a zero gradient at 0."""
    result: Tensor = _Root.apply(squared)
    return result


class _Root(torch.autograd.Function):
    """Fewer passes over the distances than masks before and after a root: a loss on all pairs waits for them."""

    @staticmethod
    def forward(ctx: FunctionCtx, squared: Tensor) -> Tensor:
        result = F.threshold(squared, torch.finfo(squared.dtype).tiny, 0.0).sqrt_()
        ctx.save_for_backward(result)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: BackwardCFunction, gradient: Tensor) -> Tensor:
        (result,) = ctx.saved_tensors
        return (gradient / result).mul_(0.5).masked_fill_(result == 0, 0.0)
