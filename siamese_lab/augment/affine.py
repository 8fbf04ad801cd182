import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from siamese_lab.core.checks import require_within
from siamese_lab.core.random import generator

VIEWS_SEED = 9001  # of the views in evaluation: the same in every run


class Affine:
    """Random rotation, shear, scale and shift about the centre, drawn for each image; bilinear, zeros outside.

    Parameters are drawn on the CPU for the whole global batch, independent of the device and the number of processes.

    Source: Koch, Zemel, Salakhutdinov, 2015, section 4.2: each component is kept with p = 0.5.

    Args:
        rotate: largest angle, degrees, in [0, 180].
        shear: largest shear along x and y, in [0, 1).
        scale: largest relative change of size along x and y, in [0, 1).
        shift: largest shift along x and y, as a share of the side, in [0, 1); Koch: 2 of 105 pixels.
        p: chance of each of the four components, in [0, 1].

    Raises:
        ValueError: if a number is out of its range.

    Examples:
        >>> import torch
        >>> from siamese_lab.augment.affine import Affine
        >>> affine = Affine(rotate=10.0, shift=0.02)
        >>> drawn = affine.draw(3, torch.Generator().manual_seed(0))  # for three images
        >>> drawn["maps"].shape
        torch.Size([3, 2, 3])
        >>> affine.views(1)["maps"].abs().tolist()  # the first view changes nothing
        [[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]
    """

    def __init__(
        self, rotate: float = 10.0, shear: float = 0.3, scale: float = 0.2, shift: float = 0.02, p: float = 0.5
    ) -> None:
        require_within("rotate", rotate, "[0, 180]", "it is the largest angle in degrees")
        for name, value in (("shear", shear), ("scale", scale), ("shift", shift)):
            require_within(name, value, "[0, 1)", "it is the largest share")
        require_within("p", p, "[0, 1]", "it is the chance of each component")
        self.rotate, self.shear, self.scale, self.shift, self.p = rotate, shear, scale, shift, p

    def draw(self, n: int, g: torch.Generator) -> dict[str, Tensor]:
        """`maps` (n, 2, 3) from output to input coordinates in [-1, 1], as torch's affine_grid takes them."""
        u = torch.rand(n, 7, generator=g) * 2 - 1  # angle, shear x y, scale x y, shift x y
        kept = (torch.rand(n, 4, generator=g) < self.p)[:, [0, 1, 1, 2, 2, 3, 3]]
        return {"maps": self._maps(u * kept)}

    def views(self, n: int) -> dict[str, Tensor]:
        """`maps` (n, 2, 3): the identity and n - 1 fixed maps of half the strength, the same in every run."""
        u = torch.rand(n, 7, generator=generator(VIEWS_SEED)) - 0.5
        u[0] = 0
        return {"maps": self._maps(u)}

    def apply(self, x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Images (B, C, H, W), floating point, each seen through its map of `maps` (B, 2, 3)."""
        grid = F.affine_grid(parameters["maps"].to(x), list(x.shape), align_corners=False)
        return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    def _maps(self, u: Tensor) -> Tensor:
        """Maps (n, 2, 3) of numbers u (n, 7) in [-1, 1]: rotation x shear x scale, then the shift."""
        angle = u[:, 0] * math.radians(self.rotate)
        sx, sy = u[:, 1] * self.shear, u[:, 2] * self.shear
        cx, cy = 1 + u[:, 3] * self.scale, 1 + u[:, 4] * self.scale
        cos, sin, one = angle.cos(), angle.sin(), torch.ones_like(angle)
        turn = torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2)
        shear = torch.stack([one, sx, sy, one], 1).view(-1, 2, 2)
        scale = torch.diag_embed(torch.stack([1 / cx, 1 / cy], 1))  # output to input: the inverse
        return torch.cat([turn @ shear @ scale, 2 * self.shift * u[:, 5:, None]], 2)
