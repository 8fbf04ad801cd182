"""The modified Hausdorff distance of drawings: the baseline that needs no training, and proves loader and protocol."""

import torch
from torch import Tensor

BLOCK = 128  # points compared at once with all others: what lies in the processor's cache is several times as fast


def ink(drawing: Tensor) -> Tensor:
    """The ink points of a drawing, (P, 2) float32 rows and columns in pixels, centred by their mean.

    Args:
        drawing: bool (H, W), true where there is ink.

    Raises:
        ValueError: if there is none.
    """
    points = drawing.nonzero().double()
    if not len(points):
        raise ValueError("a drawing must have ink, this one has none: is ink true and paper false?")
    return (points - points.mean(0)).float()


def modified_hausdorff(a: Tensor, b: Tensor) -> Tensor:
    """The distance of two drawings in pixels, a number: the larger of the two mean distances from a point to the
    nearest of the other drawing's.

    Source: Dubuisson and Jain, ICPR 1994, eq. 6 with g_2 and f_2 (d_22); on centred points, as in Lake's demo of
    Omniglot.

    Args:
        a, b: ink points (P, 2), (Q, 2).
    """
    y, x = b.T.contiguous()
    there, back = [], torch.full_like(x, float("inf"))
    for part in a.split(BLOCK):
        # (block, Q); a matrix product would round, and near ties decide trials
        dy, dx = (
            part[:, :1] - y,
            part[:, 1:] - x,
        )
        squared = dy.square_().addcmul_(dx, dx)
        there.append(squared.amin(1))
        back = torch.minimum(back, squared.amin(0))
    return torch.maximum(torch.cat(there).sqrt().mean(), back.sqrt().mean())
