"""Thumbnails of images in one sheet, for the projector."""

import math

from torch import Tensor
from torch.nn import functional as F

SIDE = 64  # pixels of a thumbnail at most
SPRITE = 8192  # pixels a side that browsers take


def thumbnails(images: Tensor) -> Tensor:
    """Thumbnails uint8 (n, 3, h, w) of images uint8 (n, C, H, W), h and w at most 64.

    Images that are not RGB show their first channel in grey.
    """
    n, channels, height, width = images.shape
    x = images if channels == 3 else images[:, :1].expand(-1, 3, -1, -1)
    scale = min(1.0, thumbnail_side(n) / max(height, width))
    if scale == 1.0:
        return x
    size = [max(1, round(height * scale)), max(1, round(width * scale))]
    return (
        F.interpolate(x.float(), size=size, mode="bilinear", antialias=True, align_corners=False)
        .round()
        .clamp(0, 255)
        .byte()
    )


def thumbnail_side(n: int) -> int:
    """Pixels of a thumbnail at most, so that a square of n of them is shown by every browser."""
    return min(SIDE, SPRITE // (math.isqrt(n - 1) + 1))


def sprite_sheet(images: Tensor) -> Tensor:
    """Thumbnails (n, 3, h, w) row by row in one image (3, k h, k w), k = ceil(sqrt n), as the projector wants it."""
    n, channels, height, width = images.shape
    k = math.isqrt(n - 1) + 1
    sheet = images.new_zeros(k * k, channels, height, width)
    sheet[:n] = images
    return sheet.view(k, k, channels, height, width).permute(2, 0, 3, 1, 4).reshape(channels, k * height, k * width)
