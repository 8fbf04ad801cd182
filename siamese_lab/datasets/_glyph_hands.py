"""Random distortions of glyphs, as if each image was drawn by another person."""

import math

import torch
from torch import Tensor
from torch.nn import functional

WAVES = 3  # cosines along each side of the warp: constant, half a wave, a whole wave


def distort(pictures: Tensor, size: int, strength: float, generator: torch.Generator) -> Tensor:
    """Gives each picture a stroke width, an affine map and a warp of its own.

    At strength 1: turned by up to 20 degrees, sheared by up to 0.35, each side scaled by 0.7 to 1.2, shifted by up to
    10 % of the picture, warped by a field of a few waves of 2 % each (standard deviation), and its strokes made thinner
    or thicker.

    Args:
        pictures: float32 (B, 1, S, S) in 0 to 1, from `soften`.
        size: of the result in pixels.
        strength: 0 (only scaled down) to 1.5.
        generator: on the CPU.

    Returns:
        uint8 (B, 1, size, size).
    """
    count = len(pictures)

    def uniform(low: float, high: float) -> Tensor:
        return (low + (high - low) * torch.rand(count, generator=generator)) * strength

    angle, shear_x, shear_y = uniform(-20, 20) * (math.pi / 180), uniform(-0.35, 0.35), uniform(-0.15, 0.15)
    scale_x, scale_y = uniform(math.log(0.7), math.log(1.2)).exp(), uniform(math.log(0.7), math.log(1.2)).exp()
    shift_x, shift_y = uniform(-0.2, 0.2), uniform(-0.2, 0.2)  # the picture is 2 wide
    threshold = 0.45 + uniform(-0.25, 0.2)
    waves = torch.randn(count, 2, WAVES, WAVES, generator=generator) * (0.04 * strength)

    # output -> input: the inverse of turn * shear * scale
    cos, sin = angle.cos(), angle.sin()
    a, b = (cos - shear_y * sin) / scale_x, (sin + shear_y * cos) / scale_x
    c, d = (shear_x * cos - sin) / scale_y, (shear_x * sin + cos) / scale_y
    theta = torch.stack([torch.stack([a, b, shift_x], 1), torch.stack([c, d, shift_y], 1)], 1)  # (B, 2, 3)
    side = 2 * size  # twice the size, then averaged: smooth edges
    grid = functional.affine_grid(theta, [count, 1, side, side], align_corners=False)
    x = torch.linspace(0, math.pi, side)
    basis = torch.stack([(k * x).cos() for k in range(WAVES)], 1)  # (side, WAVES)
    warp = basis @ waves @ basis.T  # (B, 2, side, side)
    drawn = functional.grid_sample(
        pictures, grid + warp.permute(0, 2, 3, 1), mode="bilinear", padding_mode="zeros", align_corners=False
    )
    ink = ((drawn - threshold[:, None, None, None]) * 6 + 0.5).clamp(0, 1)
    return (functional.avg_pool2d(ink, 2) * 255).round().to(torch.uint8)


def soften(pictures: Tensor) -> Tensor:
    """Pictures uint8 (n, S, S) -> float32 (n, 1, S, S), blurred, at most 1: a threshold then sets the stroke width."""
    blurred = functional.avg_pool2d(functional.avg_pool2d(pictures[:, None].float(), 5, 1, 2), 3, 1, 1)
    return blurred / blurred.amax((1, 2, 3), keepdim=True).clamp(min=1e-6)
