"""Figures of ROC curves given as polylines. The functions of far (..., V) and tar (..., V) take batches of curves."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from siamese_lab.metrics.threshold_counts import Counts

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Curves:
    """What verification's plots are drawn from.

    Args:
        threshold: (T,) distances, ascending: a pair at or below is accepted. T <= 2000.
        far, tar: (T,) share of the different-label, same-label pairs accepted.
        false_accepts, true_accepts: (T,) the same as int64 counts; with the two totals they give precision and recall.
        different_total, same_total: pairs.
        bins: (B + 1,) edges of the histograms, distances; the last bin takes all beyond it.
        same_histogram, different_histogram: (B,) int64 pairs in each bin.
    """

    threshold: Array
    far: Array
    tar: Array
    false_accepts: NDArray[np.int64]
    true_accepts: NDArray[np.int64]
    different_total: int
    same_total: int
    bins: Array
    same_histogram: NDArray[np.int64]
    different_histogram: NDArray[np.int64]


def vertices(counts: Counts) -> tuple[Tensor, Tensor]:
    """The exact curve: far (V,), tar (V,) float64 on the CPU, from (0, 0) to (1, 1), just below and at each edge.

    Between two edges there are only different-label pairs, so straight lines join the vertices; pairs of both kinds at
    one distance give a slope, which is what counting ties as one half means.
    """
    accepted = torch.stack([counts.different_below, counts.different_upto], 1).flatten().double().cpu()
    tar = torch.stack([counts.same_below, counts.same_upto], 1).flatten().double().cpu() / counts.same_total
    return with_end_points(accepted / counts.different_total, tar)


def with_end_points(far: Tensor, tar: Tensor) -> tuple[Tensor, Tensor]:
    """The curves (..., V) with the end points (0, 0) and (1, 1): (..., V + 2)."""
    zero, one = torch.zeros_like(far[..., :1]), torch.ones_like(far[..., :1])
    return torch.cat([zero, far, one], -1), torch.cat([zero, tar, one], -1)


def auc(far: Tensor, tar: Tensor) -> Tensor:
    """Area under the curves (..., V), in [0, 1]: the share of positive-negative couples of pairs in the right order.

    A tie counts one half.
    """
    return ((tar[..., 1:] + tar[..., :-1]) * far.diff(dim=-1)).sum(-1) / 2


def eer(far: Tensor, tar: Tensor) -> Tensor:
    """Equal error rate of the curves (..., V): where far = 1 - tar, by a straight line between vertices. In [0, 1]."""
    excess = far + tar - 1  # rises from -1 to 1
    after = (excess < 0).sum(-1, keepdim=True)
    x0, x1 = excess.gather(-1, after - 1), excess.gather(-1, after)
    f0, f1 = far.gather(-1, after - 1), far.gather(-1, after)
    return (f0 - x0 / (x1 - x0) * (f1 - f0)).squeeze(-1)


def tar_at(far: Tensor, tar: Tensor, limit: float, smooth: bool = False) -> Tensor:
    """The largest tar of the curves (..., V) at a vertex with far <= limit.

    A threshold reaches vertices alone. With `smooth`, tar is interpolated at far = limit on the line to the next
    vertex: leave-one-out values would otherwise move by whole vertices only.
    """
    last = (far <= limit).sum(-1, keepdim=True) - 1
    t0 = tar.gather(-1, last)
    if smooth:
        after = (last + 1).clamp(max=far.shape[-1] - 1)
        f0, f1, t1 = far.gather(-1, last), far.gather(-1, after), tar.gather(-1, after)
        t0 = t0 + torch.where(f1 > f0, (limit - f0) / (f1 - f0).clamp(min=1e-300), 0.0) * (t1 - t0)
    return t0.squeeze(-1)


def best_threshold(counts: Counts) -> float:
    """The threshold of the best balanced accuracy (the mean of true accept and true reject rate); the lowest of equals.

    Where no pair lies between it and the next edge it is put half-way, so that separable pairs are split in the middle.
    """
    balanced = counts.same_upto.double() / counts.same_total - counts.different_upto.double() / counts.different_total
    best = int((balanced == balanced.max()).nonzero()[0])
    below, upto = counts.same_below + counts.different_below, counts.same_upto + counts.different_upto
    following = int(torch.searchsorted(below, upto[best], right=True)) - 1  # the last edge with no further pair below
    edge = counts.edges[best]
    if following <= best:
        return float(edge)
    beyond = counts.edges[following]
    middle = (edge + (beyond - edge) / 2).float() if edge.dtype == torch.float32 else edge + (beyond - edge) / 2
    return float(torch.minimum(middle, torch.nextafter(beyond, edge)))


def curves(counts: Counts, bins: Tensor, points: int = 2000) -> Curves:
    """The curve at no more than `points` edges and the histograms over `bins`, which must be among the edges.

    The points kept lie nearest to even steps along the curve, with far both linear and logarithmic.
    """
    far, tar = counts.different_upto.double() / counts.different_total, counts.same_upto.double() / counts.same_total
    decades = (far.clamp(min=1 / counts.different_total).log10() / 8).diff().abs()
    steps = far.diff() + tar.diff() + decades
    way = torch.cat([steps.new_zeros(1), steps.cumsum(0)])
    kept = torch.searchsorted(way, torch.linspace(0, float(way[-1]), points - 1, dtype=way.dtype, device=way.device))
    kept = torch.cat([kept.clamp(max=len(way) - 1), kept.new_tensor([len(way) - 1])]).unique()
    place = torch.searchsorted(counts.edges, bins.to(counts.edges))
    threshold, far_kept, tar_kept = (x[kept].cpu().numpy() for x in (counts.edges.double(), far, tar))

    def histogram(below: Tensor, total: int) -> NDArray[np.int64]:
        cumulative = below[place].cpu()
        cumulative[0], cumulative[-1] = 0, total
        return cumulative.diff().numpy()

    return Curves(
        threshold,
        far_kept,
        tar_kept,
        counts.different_upto[kept].cpu().numpy(),
        counts.same_upto[kept].cpu().numpy(),
        counts.different_total,
        counts.same_total,
        bins.double().cpu().numpy(),
        histogram(counts.same_below, counts.same_total),
        histogram(counts.different_below, counts.different_total),
    )
