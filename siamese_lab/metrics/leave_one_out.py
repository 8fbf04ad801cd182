"""Leave-one-identity-out values of figures of pairs, computed from counts by identity."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from siamese_lab.metrics.roc import with_end_points
from siamese_lab.metrics.threshold_counts import IdentityCounts
from siamese_lab.statistics.influence import Figure, influences, interval

CHUNK = 1 << 20  # table entries worked on at once: 8 MB a step

Measure = Callable[[Tensor, Tensor], Tensor]


def leave_each_out(grid: IdentityCounts, measures: Sequence[Measure]) -> Tensor:
    """Each measure of the ROC curve with each identity left out.

    Args:
        grid: counts by identity.
        measures: functions of far (..., V) and tar (..., V); V is the grid's columns and a point before and after them.

    Returns:
        (C, len(measures)) float64; NaN where no pair of one kind is left.
    """
    step = max(1, CHUNK // grid.same.shape[1])
    parts = []
    for same, different in zip(grid.same.split(step), grid.different.split(step), strict=True):
        same, different = (grid.same_sum - same).double(), (grid.different_sum - different).double()  # (c, G + 1)
        empty = (same[:, -1] == 0) | (different[:, -1] == 0)
        far, tar = with_end_points(different / different[:, -1:].clamp(min=1), same / same[:, -1:].clamp(min=1))
        values = torch.stack([measure(far, tar) for measure in measures], 1)
        parts.append(values.masked_fill(empty[:, None], float("nan")))
    return torch.cat(parts)


def count_erring_identities(grid: IdentityCounts, column: int) -> tuple[int, int, int]:
    """How many identities have a rejected positive pair, an accepted positive pair and an accepted negative pair.

    Args:
        grid: counts by identity.
        column: of the threshold; -1 = one that accepts nothing.
    """
    if column < 0:
        return int((grid.same[:, -1] > 0).sum()), 0, 0
    accepted, wrong = grid.same[:, column], grid.different[:, column]
    return int((accepted < grid.same[:, -1]).sum()), int((accepted > 0).sum()), int((wrong > 0).sum())


def eer_column(grid: IdentityCounts) -> int:
    """The first column whose false accept rate reaches its false reject rate."""
    far, tar = grid.different_sum / grid.different_sum[-1], grid.same_sum / grid.same_sum[-1]
    return int((far + tar < 1).sum())


def far_column(grid: IdentityCounts, limit: float) -> int:
    """The last column whose false accept rate is at most `limit`; -1 if there is none."""
    return int((grid.different_sum <= limit * grid.different_sum[-1]).sum()) - 1


def with_interval(
    figure: Figure, without: Tensor, names: Sequence[str], erring: int, independent: int | None = None
) -> Figure:
    """The figure with its influences and interval.

    Args:
        figure: the value; one with a note (such as "too few negatives") gets no interval.
        without: (C,) its leave-one-out values.
        names: of the C identities.
        erring, independent: see `influence.interval`.
    """
    influence = influences(without.numpy(), names)
    low, high, note = interval(figure.value, influence, erring, independent)
    if figure.note:
        low, high, note = None, None, figure.note
    return replace(figure, low=low, high=high, influence=influence, note=note)
