"""Means and paired differences of configurations over seeds and identities, with intervals and p values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import repeat
from typing import Literal

import numpy as np

from siamese_lab.statistics import influence
from siamese_lab.statistics.crossed import LEVEL, SeedsNeeded, crossed, half_widths, p_value, seeds_needed

ROUNDING = 1e-12  # a scatter as small against the value is rounding
Over = Literal["seeds and identities", "seeds", "identities", "nothing"]


class Unusable(StrEnum):
    """Why the identities could not be used; the variance then comes from the seeds alone."""

    NONE = "no influences"
    FEW = "too few identities"
    DIFFER = "other identities with each seed"
    NOT_FINITE = "influences that are not finite"


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, or a difference of two means, with its interval.

    Args:
        value: in the figure's unit.
        low, high: the 95 % interval, not clipped to the unit's range; for one of several differences it is widened so
            that all of them hold with 95 %. None with one seed and `unusable` identities, and with `no_scatter`.
        p: two-sided p value of no difference, not adjusted; None for a mean and where there is no interval.
        over: what the interval generalises to: other seeds, other identities or both.
        seeds: how many seeds stand behind it.
        identities: how many identities the variance was taken over; 0 where it was not.
        needed: the seeds that show a difference of this size with 80 % power, shown already or not; None where no
            number would do, with one seed, and for a mean. It is rough: it takes what was observed for the truth.
        more_than: where `needed` is None since no number up to this one would do; else None.
        unusable: why the identities were not used; None where they were.
        no_scatter: whether all values agree, so that nothing is known of their variance.
        comparisons: how many differences the interval, `adjusted_p` and `needed` account for.
    """

    value: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    over: Over = "nothing"
    seeds: int = 0
    identities: int = 0
    needed: int | None = None
    more_than: int | None = None
    unusable: Unusable | None = None
    no_scatter: bool = False
    comparisons: int = 1

    @property
    def adjusted_p(self) -> float | None:
        """The p value adjusted for all comparisons (Bonferroni): below 0.05 exactly where the interval leaves out 0."""
        return None if self.p is None else min(1.0, self.p * self.comparisons)

    @property
    def out_of_reach(self) -> bool:
        """Whether no number of seeds would show a difference of this size."""
        return self.p is not None and self.seeds > 1 and self.needed is None and self.more_than is None


def mean(values: Sequence[float], influences: Sequence[Mapping[str, float]]) -> Estimate:
    """A configuration's mean over seeds.

    Args:
        values: S >= 1 figures, one a seed, finite.
        influences: S mappings {identity: influence} as in `influence.Figure`; empty where a run has none.

    Raises:
        ValueError: if the two are not of one length, empty or not finite.
    """
    matrix, unusable = _matrix(_count_seeds(values, influences), influences)
    return _estimate(np.asarray(values, dtype=np.float64), matrix, unusable)


def difference(
    a_values: Sequence[float],
    a_influences: Sequence[Mapping[str, float]],
    b_values: Sequence[float],
    b_influences: Sequence[Mapping[str, float]],
    comparisons: int = 1,
) -> Estimate:
    """The difference a - b of two configurations, paired seed by seed and identity by identity.

    What makes a seed good or an identity hard for both cancels. See `crossed` for the variance and the reference
    distribution.

    Args:
        a_values, b_values: S >= 1 figures each, finite; those at one place are of the same seed.
        a_influences, b_influences: their influences; those at one place stand on the same identities.
        comparisons: how many differences could have been looked at: K (K - 1) / 2 of K configurations, also where only
            those to the best one are printed, since these values decided which one is best. Each is tested at
            0.05 / comparisons, so that at most 5 % of studies show one wrongly.

    Raises:
        ValueError: if the four are not of one length, empty or not finite, or a seed's two figures stand on other
            identities.
    """
    if len(a_values) != len(b_values):
        raise ValueError(f"need the same seeds in both configurations, got {len(a_values)} and {len(b_values)} values")
    seeds = _count_seeds(a_values, a_influences)
    _count_seeds(b_values, b_influences)
    for a, b in zip(a_influences, b_influences, strict=True):
        if a and b and a.keys() != b.keys():
            alone = sorted(a.keys() ^ b.keys())
            raise ValueError(
                f"both figures must stand on the same identities, but {len(alone)} stand in one of them only (such as "
                f"{alone[0]!r}): evaluate both runs on the same data"
            )
    matrix, unusable = _matrix(2 * seeds, [*a_influences, *b_influences])
    values = np.asarray(a_values, dtype=np.float64) - np.asarray(b_values, dtype=np.float64)
    return _estimate(values, None if matrix is None else matrix[:seeds] - matrix[seeds:], unusable, comparisons)


def _count_seeds(values: Sequence[float], influences: Sequence[Mapping[str, float]]) -> int:
    """The number of seeds."""
    if not len(values):
        raise ValueError("need the value of one seed at least, got none")
    if len(values) != len(influences):
        raise ValueError(f"need the influences of each seed, got {len(influences)} for {len(values)} values")
    if not np.isfinite(values).all():
        raise ValueError(f"values must be finite, got {list(values)}: leave out the seeds that have none")
    return len(values)


def _matrix(rows: int, influences: Sequence[Mapping[str, float]]) -> tuple[np.ndarray | None, Unusable | None]:
    """The influences (rows, C), one identity a column; None with the reason where there is no such table."""
    names = list(influences[0])
    if not all(influences):
        return None, Unusable.NONE
    if len(names) < influence.LEAST_IDENTITIES:
        return None, Unusable.FEW
    table = np.empty((rows, len(names)))
    for row, own in enumerate(influences):
        if list(own) == names:
            table[row] = np.fromiter(own.values(), dtype=np.float64, count=len(names))
        elif len(own) == len(names) and all(map(own.__contains__, names)):
            table[row] = np.fromiter(map(own.get, names, repeat(0.0)), dtype=np.float64, count=len(names))
        else:
            return None, Unusable.DIFFER
    if not np.isfinite(table).all():
        return None, Unusable.NOT_FINITE
    return table, None


def _estimate(
    values: np.ndarray, influence: np.ndarray | None, unusable: Unusable | None, comparisons: int | None = None
) -> Estimate:
    """From one value a seed (S,) and their influences (S, C) or None; a difference where there are `comparisons`."""
    value, seeds = float(values.mean()), len(values)
    if seeds == 1 and influence is None:
        return Estimate(value, seeds=seeds, unusable=unusable)
    parts = crossed(values if seeds > 1 else None, influence)
    # a few coarse figures may agree by chance: that proves nothing
    if parts.variance <= (ROUNDING * value) ** 2 and value:
        return Estimate(value, seeds=seeds, unusable=unusable, no_scatter=True)
    level = LEVEL / (comparisons or 1)
    half = float(half_widths(parts, np.float64(level))) if parts.variance > 0 else 0.0
    p, needed = None, SeedsNeeded(None, None)
    if comparisons is not None:
        p = p_value(parts, value)
        if seeds > 1:
            needed = seeds_needed(parts, value, level)
    over: Over = "seeds" if influence is None else "identities" if seeds == 1 else "seeds and identities"
    return Estimate(
        value, value - half, value + half, p, over, seeds, parts.identities, *needed, unusable, False, comparisons or 1
    )
