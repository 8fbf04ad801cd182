import torch
from torch import Tensor, nn

from siamese_lab.core.checks import require_positive
from siamese_lab.distances._contract import Property
from siamese_lab.distances._tiled import tiled


class PairMLP(nn.Module):
    """Product, sum, absolute and squared difference of each dimension through one small network that all share.

    d = sum over dimensions k of g_k * v . relu(W [a_k b_k, a_k + b_k, |a_k - b_k|, (a_k - b_k)^2] + c), in (-inf, inf).
    Each of the four is symmetric in a and b, so d is. It starts as a distance: for a fixed a_k + b_k every hidden unit
    rises with |a_k - b_k|, and g and v are positive. There is no bias on d: `loss=bce` owns the bias of the logit.
    Unlike with a Euclidean distance, an embedding may be far from itself.

    Source: martinpiotte, "Whale recognition model with score 0.78563", Kaggle 2018, the head model.

    Args:
        dim: dimensions of an embedding, given by the backbone.
        hidden: units of the shared network, >= 1; the time and the memory of a matrix grow with dim x hidden.

    Raises:
        ValueError: if hidden is not positive.

    Examples:
        >>> import torch
        >>> from siamese_lab.distances.pair_mlp import PairMLP
        >>> a, b = torch.tensor([[3.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.0, 4.0], [1.0, 1.0]])
        >>> distance = PairMLP(dim=2, hidden=1)
        >>> _ = distance.weight.data.copy_(torch.tensor([[-0.5, 0.0, 1.0, 0.25]]))  # drawn at random at the start
        >>> distance.pairwise(a, b).tolist()
        [13.25, 0.0]
    """

    low, high = -float("inf"), float("inf")
    properties: tuple[Property, ...] = ()

    def __init__(self, *, dim: int, hidden: int = 32) -> None:
        super().__init__()
        require_positive("hidden", hidden, "it is the number of hidden units")
        signs = torch.tensor([-1.0, 1.0, 1.0, 1.0])  # a product falls where a difference grows
        random = torch.rand(hidden, 4)
        random[:, 1] = 2.0 * random[:, 1] - 1.0
        self.weight = nn.Parameter(signs * random)  # W
        self.bias = nn.Parameter(torch.zeros(hidden))  # c
        self.out = nn.Parameter(torch.full((hidden,), 1.0 / hidden))  # v
        self.dimensions = nn.Parameter(torch.ones(dim))  # g

    def index(self) -> None:
        """None: no search by matrix products ranks as this distance does."""

    def pairwise(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances (P,) of the rows of a (P, D) to those of b (P, D)."""
        gap = a - b
        seen = torch.stack(torch.broadcast_tensors(a * b, a + b, gap.abs(), gap.square()), -1)  # (..., D, 4)
        units = (seen @ self.weight.to(a.dtype).T + self.bias.to(a.dtype)).relu()  # (..., D, H)
        return units @ self.out.to(a.dtype) @ self.dimensions.to(a.dtype)

    def matrix(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances (N, M) of the rows of a (N, D) to those of b (M, D), in tiles."""
        return tiled(self.pairwise, a, b, a.shape[1] * (len(self.out) + 4))
