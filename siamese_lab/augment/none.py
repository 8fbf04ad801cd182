from collections.abc import Mapping

import torch
from torch import Tensor


class Unchanged:
    """Leaves every image as it is.

    Examples:
        >>> import torch
        >>> from siamese_lab.augment.none import Unchanged
        >>> unchanged = Unchanged()
        >>> x = torch.rand(2, 1, 4, 4)
        >>> torch.equal(unchanged.apply(x, unchanged.draw(2, torch.Generator())), x)
        True
    """

    def draw(self, n: int, g: torch.Generator) -> dict[str, Tensor]:
        """Nothing is drawn."""
        return {}

    def apply(self, x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """The images as they are."""
        return x

    def views(self, n: int) -> dict[str, Tensor]:
        """All views are the image itself."""
        return {}
