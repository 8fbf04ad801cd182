from collections.abc import Callable

from torch import Tensor, nn

from siamese_lab.distances._contract import Property
from siamese_lab.distances.euclidean import squared_matrix


class SquaredEuclidean(nn.Module):
    """The squared Euclidean distance ||a - b||^2, in [0, inf); 2 - 2 cos(a, b) <= 4 between unit-norm embeddings.

    Source: Schroff et al., CVPR 2015, section 3.1; Snell et al., NeurIPS 2017, section 2.4.

    Examples:
        >>> import torch
        >>> from siamese_lab.distances.squared_euclidean import SquaredEuclidean
        >>> a, b = torch.tensor([[3.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.0, 4.0], [1.0, 1.0]])
        >>> distance = SquaredEuclidean()
        >>> distance.pairwise(a, b).tolist()
        [25.0, 0.0]
    """

    low, high = 0.0, float("inf")
    properties: tuple[Property, ...] = (Property.NON_NEGATIVE,)

    def index(self) -> tuple[str, Callable[[Tensor], Tensor]]:
        """A search by "l2" of the embeddings ranks as this distance does."""
        return "l2", lambda z: z

    def pairwise(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances (P,) of the rows of a (P, D) to those of b (P, D)."""
        return (a - b).square().sum(-1)

    def matrix(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances (N, M) of the rows of a (N, D) to those of b (M, D), by one matrix product."""
        return squared_matrix(a, b)
