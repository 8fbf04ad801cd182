import torch
from torch import Tensor, nn

from siamese_lab.core.checks import require_at_least
from siamese_lab.distances._contract import Property


class WeightedL1(nn.Module):
    """The L1 distance with a learned weight for each dimension, the sum of w_k |a_k - b_k|, in (-inf, inf).

    Weights may turn negative. With `loss=bce`, which owns the bias, this is the head of Koch et al.:
    p(same) = sigmoid(bias - distance). Their alphas are our -w.

    Source: Koch, Zemel, Salakhutdinov, ICML deep learning workshop 2015, section 3.1; Taigman et al., CVPR 2014,
    section 4.2.

    Args:
        dim: dimensions of an embedding, given by the backbone.
        mean: of the starting weights; any number (> 0 for a distance).
        std: standard deviation of the starting weights, >= 0; Koch: mean 0, std 0.2.

    Raises:
        ValueError: if std is negative, or if mean and std are both 0 (nothing would be learned from).

    Examples:
        >>> import torch
        >>> from siamese_lab.distances.weighted_l1 import WeightedL1
        >>> a, b = torch.tensor([[3.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.0, 4.0], [1.0, 1.0]])
        >>> distance = WeightedL1(dim=2, mean=0.5)
        >>> distance.pairwise(a, b).tolist()
        [3.5, 0.0]
    """

    low, high = -float("inf"), float("inf")
    properties: tuple[Property, ...] = ()

    def __init__(self, *, dim: int, mean: float = 1.0, std: float = 0.0) -> None:
        super().__init__()
        require_at_least("std", std, 0, "it is the spread of the starting weights")
        if mean == 0 and std == 0:
            raise ValueError("mean and std are both 0: every distance would be 0, without a gradient for the backbone")
        self.weight = nn.Parameter(torch.full((dim,), float(mean)) + std * torch.randn(dim))

    def index(self) -> None:
        """None: no search by matrix products ranks as this distance does."""

    def pairwise(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances (P,) of the rows of a (P, D) to those of b (P, D)."""
        return (a - b).abs() @ self.weight.to(a.dtype)

    def matrix(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances (N, M) without an N x M x D tensor: w scales the embeddings, negative weights on their own."""
        weight = self.weight.to(a.dtype)
        gain, loss = weight.clamp(min=0.0), weight.clamp(max=0.0)
        distances = torch.cdist(a * gain, b * gain, p=1.0)
        if bool((weight < 0).any()):
            distances = distances - torch.cdist(a * loss, b * loss, p=1.0)
        return distances
