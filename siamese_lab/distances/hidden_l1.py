import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siamese_lab.core.checks import require_positive
from siamese_lab.distances._contract import Property
from siamese_lab.distances._tiled import tiled


class HiddenL1(nn.Module):
    """The vector |a - b| through one hidden layer: d = v . relu(W |a - b| + c), in (-inf, inf).

    It starts near the L1 distance: every hidden unit begins as an L1 distance with random weights in [0, 2], and d as
    their mean. Weights may turn negative in training. There is no bias on d: `loss=bce` owns the bias of the logit.

    Source: the head of Koch, Zemel, Salakhutdinov, ICML deep learning workshop 2015, section 3.1, with a hidden layer
    before its sum.

    Args:
        dim: dimensions of an embedding, given by the backbone.
        hidden: units of the hidden layer, >= 1.

    Raises:
        ValueError: if hidden is not positive.

    Examples:
        >>> import torch
        >>> from siamese_lab.distances.hidden_l1 import HiddenL1
        >>> a, b = torch.tensor([[3.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.0, 4.0], [1.0, 1.0]])
        >>> distance = HiddenL1(dim=2, hidden=4)
        >>> _ = distance.weight.data.fill_(1.0)  # drawn from [0, 2] at the start
        >>> distance.pairwise(a, b).tolist()
        [7.0, 0.0]
    """

    low, high = -float("inf"), float("inf")
    properties: tuple[Property, ...] = ()

    def __init__(self, *, dim: int, hidden: int = 32) -> None:
        super().__init__()
        require_positive("hidden", hidden, "it is the number of hidden units")
        self.weight = nn.Parameter(2.0 * torch.rand(hidden, dim))  # W
        self.bias = nn.Parameter(torch.zeros(hidden))  # c
        self.out = nn.Parameter(torch.full((hidden,), 1.0 / hidden))  # v

    def index(self) -> None:
        """None: no search by matrix products ranks as this distance does."""

    def pairwise(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances (P,) of the rows of a (P, D) to those of b (P, D)."""
        units = F.linear((a - b).abs(), self.weight.to(a.dtype), self.bias.to(a.dtype)).relu()  # (..., H)
        return units @ self.out.to(a.dtype)

    def matrix(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances (N, M) of the rows of a (N, D) to those of b (M, D), in tiles."""
        return tiled(self.pairwise, a, b, sum(self.weight.shape))
