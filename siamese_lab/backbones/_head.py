"""The last step of a backbone: features to embeddings."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siamese_lab.core.checks import require_positive


class Head(nn.Module):
    """A linear map to `dim` dimensions, then the unit sphere if `normalise`.

    Args:
        features: length of the trunk's output.
        dim: dimensions of an embedding, >= 1.
        normalise: divide each embedding by its norm.

    Raises:
        ValueError: if dim is not positive.
    """

    def __init__(self, features: int, dim: int, normalise: bool) -> None:
        super().__init__()
        require_positive("dim", dim, "it is the number of dimensions of an embedding")
        self.linear = nn.Linear(features, dim)
        self.normalise = normalise

    def forward(self, features: Tensor) -> Tensor:
        """Embeddings (B, dim) of features (B, F); normalised in at least float32."""
        z: Tensor = self.linear(features)
        if not self.normalise:
            return z
        with torch.autocast(z.device.type, enabled=False):
            return F.normalize(z.float() if z.dtype in (torch.float16, torch.bfloat16) else z, dim=1)


def count_features(trunk: nn.Module, shape: tuple[int, ...]) -> int:
    """The number of features that `trunk` makes of one image of `shape` (C, H, W).

    Raises:
        ValueError: if the image is too small for the trunk.
    """
    size, training = "x".join(map(str, shape)), trunk.training
    try:
        with torch.no_grad():  # eval: a dry run must not count in the batch statistics
            features = int(trunk.eval()(torch.zeros(1, *shape)).shape[1])
    except RuntimeError as error:
        raise ValueError(f"images of {size} do not fit this backbone: {error}; a larger data.size may") from error
    if features == 0:
        raise ValueError(f"images of {size} are too small for this backbone: nothing is left; set a larger data.size")
    trunk.train(training)
    return features
