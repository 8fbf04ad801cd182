import torch
from torch import Tensor, nn

from siamese_lab.distances._contract import Property


class L1(nn.Module):
    """The L1 distance, the sum of |a - b|, in [0, inf); at most 2 sqrt(D) between unit-norm embeddings of D dimensions.

    Source: the energy of Chopra, Hadsell, LeCun, CVPR 2005, section 2.

    Examples:
        >>> import torch
        >>> from siamese_lab.distances.l1 import L1
        >>> a, b = torch.tensor([[3.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.0, 4.0], [1.0, 1.0]])
        >>> distance = L1()
        >>> distance.pairwise(a, b).tolist()
        [7.0, 0.0]
    """

    low, high = 0.0, float("inf")
    properties: tuple[Property, ...] = (Property.NON_NEGATIVE,)

    def index(self) -> None:
        """None: no search by matrix products ranks as this distance does."""

    def pairwise(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances (P,) of the rows of a (P, D) to those of b (P, D)."""
        return (a - b).abs().sum(-1)

    def matrix(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances (N, M) of the rows of a (N, D) to those of b (M, D), without an N x M x D tensor."""
        return torch.cdist(a, b, p=1.0)
