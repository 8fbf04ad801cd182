from typing import Literal

import torch
from torch import Tensor, nn

from siamese_lab.core.checks import require_choice
from siamese_lab.distances._contract import Property
from siamese_lab.distances._tiled import tiled


class Chi2(nn.Module):
    """The chi-square distance with learned weights, the sum of w_k (f_k - g_k)^2 / (f_k + g_k), in (-inf, inf).

    The features f and g of embeddings a and b must not be negative. `relu` clamps at zero, which changes nothing behind
    a backbone that ends with a ReLU, as DeepFace's does. `square` takes f = a^2: the features of a unit-norm embedding
    then sum to 1, as a histogram's do, and a and -a are the same. A dimension where both features are 0 adds nothing.
    Weights start at 1 and may turn negative.

    Source: Taigman et al., CVPR 2014, section 4.1. Differs from it: the weights are learned with the network instead of
    by a linear SVM after it, and features are not divided by their largest value in the training set.

    Args:
        dim: dimensions of an embedding, given by the backbone.
        features: "relu" or "square".

    Raises:
        ValueError: if features is neither.

    Examples:
        >>> import torch
        >>> from siamese_lab.distances.chi2 import Chi2
        >>> a, b = torch.tensor([[3.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.0, 4.0], [1.0, 1.0]])
        >>> distance = Chi2(dim=2)
        >>> distance.pairwise(a, b).tolist()
        [7.0, 0.0]
    """

    low, high = -float("inf"), float("inf")
    properties: tuple[Property, ...] = ()

    def __init__(self, *, dim: int, features: Literal["relu", "square"] = "relu") -> None:
        super().__init__()
        require_choice("features", features, ("relu", "square"), "chi-square compares numbers that are not negative")
        self.features = features
        self.weight = nn.Parameter(torch.ones(dim))

    def index(self) -> None:
        """None: no search by matrix products ranks as this distance does."""

    def pairwise(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances (P,) of the rows of a (P, D) to those of b (P, D)."""
        return self._compare(self._features(a), self._features(b))

    def matrix(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances (N, M) of the rows of a (N, D) to those of b (M, D), in tiles."""
        return tiled(self._compare, self._features(a), self._features(b), a.shape[1])

    def _features(self, z: Tensor) -> Tensor:
        return z.relu() if self.features == "relu" else z.square()

    def _compare(self, f: Tensor, g: Tensor) -> Tensor:
        total, gap = f + g, f - g
        total = total.masked_fill(total <= torch.finfo(total.dtype).tiny, 1.0)  # 0 / 0 is 0, and has no gradient
        return (gap * (gap / total)) @ self.weight.to(f.dtype)
