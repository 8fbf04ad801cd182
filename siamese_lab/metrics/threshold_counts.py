"""Counts of pairs below thresholds in one pass: exact at every same-label distance, and by identity on a grid."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from siamese_lab.metrics.pairs import Portion, SamePairs

CELLS = 1 << 16  # of the range of the distances; thresholds lie between cells: a lookup is faster than a search


@dataclass(frozen=True)
class Counts:
    """How many pairs lie below, and at or below, each edge.

    Args:
        edges: (M,) ascending, every same-label distance and the thresholds that were asked for.
        same_below, same_upto: (M,) same-label pairs with distance < edge, <= edge.
        different_below, different_upto: (M,) the same of different-label pairs.
        same_total, different_total: all of them.
    """

    edges: Tensor
    same_below: Tensor
    same_upto: Tensor
    different_below: Tensor
    different_upto: Tensor
    same_total: int
    different_total: int


@dataclass(frozen=True)
class IdentityCounts:
    """Counts by identity at G thresholds: a pair counts in both its identities, a same-label pair once.

    Args:
        same, different: (C, G + 1) int64 pairs accepted at each threshold; the last column holds all of the identity's
            pairs.
        same_sum, different_sum: (G + 1,) the same over all identities, each pair once.
        threshold_column: the column of the chosen threshold, or None.
    """

    same: Tensor
    different: Tensor
    same_sum: Tensor
    different_sum: Tensor
    threshold_column: int | None


def end_quantiles(distances: Tensor, points: int, low_end: bool) -> Tensor:
    """Quantiles of (P,) distances, ascending: half spread evenly, half crowded towards one end, and both extremes.

    The crowded ones are spaced logarithmically, from one in a million of the distances on.
    """
    if not len(distances):
        return distances
    ordered = sort_values(distances)
    even = torch.linspace(0, 1, points // 2, dtype=torch.float64)
    crowded = torch.logspace(-6, -0.3, points - points // 2, dtype=torch.float64)
    shares = torch.cat([even, crowded if low_end else 1 - crowded])
    places = (shares * (len(ordered) - 1)).round().long()
    return ordered[places.to(ordered.device)].unique()


class GridCounter:
    """Counts by identity, a portion at a time.

    Args:
        same, different: distances that place the thresholds: all same-label ones, a sample of the others.
        identities: C.
        size: most thresholds.
        threshold: one that must be among them, or None.
    """

    def __init__(self, same: Tensor, different: Tensor, identities: int, size: int, threshold: float | None) -> None:
        points = torch.cat(
            [end_quantiles(same, size // 3, low_end=False), end_quantiles(different, size // 2, low_end=True)]
        )
        self.low = float(min(same.min(), different.min()))
        self.scale = CELLS / max(float(points.max()) - self.low, 1e-30)
        cells = self.cell(points)
        if threshold is not None:
            chosen = self.cell(points.new_tensor([threshold]))
            cells = torch.cat([cells, chosen])
        cells = cells[cells < CELLS - 1].unique().long()  # at the last cell everything is accepted
        self.threshold_column = None if threshold is None else int(torch.searchsorted(cells, chosen.long())[0])
        self.columns = len(cells) + 1
        every_cell = torch.arange(CELLS, device=cells.device)
        self.lookup = torch.searchsorted(cells, every_cell).int()  # cell -> thresholds below it
        self.same = torch.zeros(identities, self.columns, dtype=torch.int64, device=same.device)
        self.different = torch.zeros_like(self.same)
        self.different_sum = torch.zeros(self.columns, dtype=torch.int64, device=same.device)

    def cell(self, distance: Tensor) -> Tensor:
        """Which cell each distance lies in, int32 of its shape; monotone, whatever the rounding."""
        return ((distance - self.low) * self.scale).clamp_(0, CELLS - 1).int()

    def add_same(self, pairs: SamePairs) -> None:
        """Counts the same-label pairs."""
        self._add(self.same, self._column(pairs.distance), pairs.identity)

    def add(self, portion: Portion) -> None:
        """Counts different-label pairs in both their identities."""
        column = self._column(portion.distance)
        self._add(self.different, column, portion.left)
        self._add(self.different, column, portion.right)
        self.different_sum += torch.bincount(column.flatten(), minlength=self.columns)

    def result(self) -> IdentityCounts:
        """The counts, on the CPU."""
        same, different = self.same.cumsum(1).cpu(), self.different.cumsum(1).cpu()
        return IdentityCounts(same, different, same.sum(0), self.different_sum.cumsum(0).cpu(), self.threshold_column)

    def _column(self, distance: Tensor) -> Tensor:
        return self.lookup.index_select(0, self.cell(distance).flatten()).view(distance.shape)

    def _add(self, table: Tensor, column: Tensor, identity: Tensor) -> None:
        if not identity.numel():
            return
        first, last = int(identity.min()), int(identity.max()) + 1  # a tile touches few identities
        place = (identity - first).to(torch.int32) * self.columns + column
        counts = torch.bincount(place.flatten(), minlength=(last - first) * self.columns)
        table[first:last] += counts.view(last - first, -1)


def count_pairs(same: Tensor, different: Iterator[Portion], extra: Tensor, grid: GridCounter | None = None) -> Counts:
    """Counts all pairs in one pass over the different-label ones, a portion in memory at a time.

    Args:
        same: (P,) all same-label distances.
        different: the different-label distances, in portions.
        extra: (E,) thresholds at which counts are wanted besides the same-label distances.
        grid: counts by identity meanwhile.
    """
    ordered = sort_values(same)
    edges = torch.cat([ordered, extra.to(ordered)]).unique()
    below, upto = torch.zeros_like(edges, dtype=torch.int64), torch.zeros_like(edges, dtype=torch.int64)
    total = 0
    for portion in different:
        distances = sort_values(portion.distance.flatten())  # sorted once, searched for the (fewer) edges
        below += torch.searchsorted(distances, edges)
        upto += torch.searchsorted(distances, edges, right=True)
        total += len(distances)
        if grid is not None:
            grid.add(portion)
    same_below, same_upto = torch.searchsorted(ordered, edges), torch.searchsorted(ordered, edges, right=True)
    return Counts(edges, same_below, same_upto, below, upto, len(same), total)


def sort_values(x: Tensor) -> Tensor:
    """Sorted values (N,). On a CPU by NumPy, whose vectorised sort (without indices) is some ten times as fast."""
    return x.sort().values if x.is_cuda else torch.from_numpy(np.sort(x.numpy()))
