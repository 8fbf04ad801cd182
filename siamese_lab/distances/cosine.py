from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from siamese_lab.distances._contract import Property


class Cosine(nn.Module):
    """The cosine distance 1 - cos(a, b), in [0, 2]; a zero vector is at 1 from all.

    Examples:
        >>> import torch
        >>> from siamese_lab.distances.cosine import Cosine
        >>> a, b = torch.tensor([[3.0, 0.0], [0.0, 2.0]]), torch.tensor([[0.0, 4.0], [0.0, 5.0]])
        >>> distance = Cosine()
        >>> distance.pairwise(a, b).tolist()
        [1.0, 0.0]
    """

    low, high = 0.0, 2.0
    properties: tuple[Property, ...] = (Property.NON_NEGATIVE, Property.COSINE)

    def index(self) -> tuple[str, Callable[[Tensor], Tensor]]:
        """A search by "cosine" of the embeddings ranks as this distance does."""
        return "cosine", lambda z: z

    def pairwise(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances (P,) of the rows of a (P, D) to those of b (P, D)."""
        return (1.0 - (F.normalize(a, dim=-1) * F.normalize(b, dim=-1)).sum(-1)).clamp(self.low, self.high)  # rounding

    def matrix(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances (N, M) of the rows of a (N, D) to those of b (M, D), by one matrix product."""
        return (1.0 - F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T).clamp(self.low, self.high)
