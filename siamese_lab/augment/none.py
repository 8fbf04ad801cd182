"""No augmentation."""

import torch
from torch import Tensor


class Unchanged:
    """No augmentation."""

    def draw(self, n: int, g: torch.Generator) -> Tensor:
        """Identity maps (n, 2, 3)."""
        return torch.eye(2, 3).repeat(n, 1, 1)

    def apply(self, x: Tensor, maps: Tensor) -> Tensor:
        """The images as they are."""
        return x

    def views(self, n: int) -> Tensor:
        """The identity, n times."""
        return torch.eye(2, 3).repeat(n, 1, 1)
