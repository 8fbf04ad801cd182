import torch
from torch import Tensor, nn

from siamese_lab.distances._contract import Property
from siamese_lab.distances.euclidean import safe_sqrt, same_memory, squared_matrix


class Mahalanobis(nn.Module):
    """The Euclidean distance after a learned linear map, ||L (a - b)||, in [0, inf): Mahalanobis with the matrix L^T L.

    L starts as the identity where it has full rank; else its rows are random orthogonal directions, of a length that
    keeps squared distances the same on average. Where two embeddings are equal the gradient is zero.

    Source: Weinberger, Saul, JMLR 2009, eq. 2 and 3. Differs from it: L is learned with the network, by any loss, and
    starts as above.

    Args:
        dim: dimensions of an embedding, given by the backbone.
        rank: rows of L, from 1 to dim; None = half of dim, rounded up.
        squared: ||L (a - b)||^2 instead.

    Raises:
        ValueError: if rank is not in its range.

    Examples:
        >>> import torch
        >>> from siamese_lab.distances.mahalanobis import Mahalanobis
        >>> a, b = torch.tensor([[3.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.0, 4.0], [1.0, 1.0]])
        >>> distance = Mahalanobis(dim=2, rank=2)
        >>> _ = distance.map.data.copy_(torch.tensor([[2.0, 0.0], [0.0, 2.0]]))  # L
        >>> distance.pairwise(a, b).tolist()
        [10.0, 0.0]
    """

    low, high = 0.0, float("inf")
    properties: tuple[Property, ...] = (Property.NON_NEGATIVE,)

    def __init__(self, *, dim: int, rank: int | None = None, squared: bool = False) -> None:
        super().__init__()
        rank = (dim + 1) // 2 if rank is None else rank
        if not 0 < rank <= dim:
            raise ValueError(f"rank must lie in [1, {dim}], got {rank}: it is the number of dimensions kept of {dim}")
        self.squared = squared
        rows = torch.eye(dim) if rank == dim else torch.linalg.qr(torch.randn(dim, rank)).Q.T * (dim / rank) ** 0.5
        self.map = nn.Parameter(rows.contiguous())  # L (rank, D)

    def index(self) -> None:
        """None: no search by matrix products ranks as this distance does."""

    def pairwise(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances (P,) of the rows of a (P, D) to those of b (P, D)."""
        return self._root(((a - b) @ self.map.to(a.dtype).T).square().sum(-1))

    def matrix(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances (N, M) of the rows of a (N, D) to those of b (M, D), by one matrix product."""
        line = self.map.to(a.dtype).T
        squared = squared_matrix(a @ line, b @ line)
        if same_memory(a, b):
            squared = squared.fill_diagonal_(0.0)  # a distance to itself is not a rounding error
        return self._root(squared)

    def _root(self, squared: Tensor) -> Tensor:
        return squared if self.squared else safe_sqrt(squared)
