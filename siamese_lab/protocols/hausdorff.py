"""The modified Hausdorff distance of drawings: the baseline that needs no training, and proves loader and protocol."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Ink(NamedTuple):
    """Ink points of N drawings: `points` (N, P, 2) float64 centred by their mean, pixels; `there` (N, P) bool, false = padding."""

    points: Tensor
    there: Tensor


def ink(drawings: Sequence[Tensor]) -> Ink:
    """The ink points of drawings.

    Args:
        drawings: N bool tensors (H, W), true where there is ink.

    Raises:
        ValueError: if a drawing has no ink.
    """
    found = [drawing.nonzero().double() for drawing in drawings]
    for i, points in enumerate(found):
        if not len(points):
            raise ValueError(f"each drawing must have ink, but drawing {i} has none: is ink true and paper false?")
    centred = [points - points.mean(0) for points in found]
    there = [torch.ones(len(points), dtype=torch.bool) for points in found]
    return Ink(torch.nn.utils.rnn.pad_sequence(centred, batch_first=True), torch.nn.utils.rnn.pad_sequence(there, batch_first=True))


def modified_hausdorff(a: Ink, b: Ink, chunk: int = 32) -> Tensor:
    """Distances (N,), in pixels, of N drawings `a` to N drawings `b`, one by one; `chunk` of them at once.

    The larger of the two mean distances from a point of one drawing to the nearest point of the other.

    Source: Dubuisson and Jain, ICPR 1994, eq. 6 with g_2 and f_2 (d_22); centred first, as in Lake's demo of Omniglot.
    """
    parts = []
    for pa, ta, pb, tb in zip(*(x.split(chunk) for x in (*a, *b)), strict=True):
        width_a, width_b = int(ta.sum(1).max()), int(tb.sum(1).max())  # less padding
        pa, ta, pb, tb = pa[:, :width_a], ta[:, :width_a], pb[:, :width_b], tb[:, :width_b]
        d = torch.cdist(pa, pb, compute_mode="donot_use_mm_for_euclid_dist")  # (n, Pa, Pb); exact: near ties decide trials
        d = d.masked_fill(~ta[:, :, None] | ~tb[:, None, :], float("inf"))
        forth = d.amin(2).masked_fill(~ta, 0.0).sum(1) / ta.sum(1)
        back = d.amin(1).masked_fill(~tb, 0.0).sum(1) / tb.sum(1)
        parts.append(torch.maximum(forth, back))
    return torch.cat(parts)
