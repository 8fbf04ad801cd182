"""Intervals, p values and power of a mean over crossed seeds and identities (each seed evaluated on each identity).

With d(s, c) = mean + seed(s) + identity(c) + both(s, c), where `both` holds the interaction and the noise of the
images, the variance of the mean over S seeds and C identities is the sum of three parts. The scatter of the seeds'
means estimates the first and the third, that of the identities' means the second and the third, so the third is taken
off once (Cameron, Gelbach, Miller, JBES 2011, eq. 2.11, with the guard that no sum is less than either of its two
estimates).
"""

from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from math import exp, log
from typing import NamedTuple

import numpy as np
from scipy.special import chdtri, ndtr, ndtri, stdtr, stdtrit

LEVEL = 0.05
POWER = 0.8
MOST_SEEDS = 1000  # `seeds_needed` looks no further
EXPONENT = 1.1  # see `half_widths`
CREDIT = 0.25  # see `half_widths`
LEAST_P = 1e-300  # p values are not told apart below it


@dataclass(frozen=True)
class Crossed:
    """Estimates of the variance of a mean over S seeds and C identities: each >= 0, in squared units of the value.

    Args:
        by_seeds: from the scatter of the seeds' values; holds the seeds' own part and `both`. 0 where seeds are not
            used.
        by_identities: from the scatter of the influences of the seeds' mean; holds the identities' own part and `both`.
            0 where identities are not used.
        both: the part of interaction and noise, counted in each of the two; at most `by_identities`.
        seeds: S; 1 where seeds are not used.
        identities: C; 0 where identities are not used.
    """

    by_seeds: float
    by_identities: float
    both: float
    seeds: int
    identities: int

    @property
    def variance(self) -> float:
        """The variance of the mean: by seeds + by identities - both, at least the larger of the first two."""
        return max(self.by_seeds + self.by_identities - self.both, self.by_identities)

    def with_seeds(self, seeds: int) -> "Crossed":
        """The estimates for another number of seeds: the seeds' part and `both` change, the identities' stays."""
        shrink = self.seeds / seeds
        both = self.both * shrink
        return Crossed(
            max(self.by_seeds, self.both) * shrink, self.by_identities - self.both + both, both, seeds, self.identities
        )


class SeedsNeeded(NamedTuple):
    """How many seeds would show a difference.

    Args:
        seeds: the least number that does; None where there is none, or none was found.
        more_than: where none was found, the largest number that was tried; else None. Both are None where no number of
            seeds would do.
    """

    seeds: int | None
    more_than: int | None


def crossed(values: np.ndarray | None, influence: np.ndarray | None) -> Crossed:
    """Estimates the variances from values (S,) and the seeds' influences (S, C); None for what is not to be used.

    A column of `influence` is an identity, the same in every row. With one row `values` must be None.
    """
    by_seeds = by_identities = both = 0.0
    seeds, identities = 1, 0
    if values is not None:
        seeds = len(values)
        by_seeds = float(values.var(ddof=1)) / seeds
    if influence is not None:
        identities = influence.shape[1]
        middle = influence.mean(axis=0)  # (C,)
        by_identities = float(middle @ middle) / (identities * (identities - 1))
        if values is not None:
            rest = (influence - middle).ravel()
            both = min(float(rest @ rest) / (seeds * identities * (seeds - 1) * (identities - 1)), by_identities)
    return Crossed(by_seeds, by_identities, both, seeds, identities)


def half_widths(
    parts: Crossed, levels: np.ndarray | np.float64, by_seeds: np.ndarray | float | None = None
) -> np.ndarray:
    """The half widths of the intervals that miss the truth with these probabilities, in units of the value.

    The square of the quantile lies between that of Student's t with C - 1 and that with S - 1 degrees of freedom, by
    the share of the variance that the few seeds must vouch for, to the power 1.1:

        q^2 = t(C - 1)^2 + (t(S - 1)^2 - t(C - 1)^2) share^1.1,    share = (by seeds - credit x both) / variance, at
        least 0.

    The credit, 1/4 (S - 2) / (S - 1) at the 5 % level and less below (as the gap of the two squares grows), is for what
    of the seeds' scatter is known from the many identities anyway. With seeds or identities alone it is Student's t
    exactly.

    Why not Satterthwaite's degrees of freedom: they come from the estimated shares, so a small scatter of 3 seeds, by
    chance, gives many degrees and a narrow interval. Of 4,000 simulated studies a mix, that erred in up to 7.7 % with 3
    seeds and 13.7 % with 2; this rule in 1.5 to 6.0 % with 3 and 5, 0.5 to 4.5 % with 2, where 5 % are meant, and in at
    most 1.1 % where 1 % is.

    Args:
        parts: with a variance above 0.
        levels: probabilities, any shape.
        by_seeds: instead of that of `parts`, any shape that fits the levels.

    Returns:
        of the shape of both.
    """
    scatter = parts.by_seeds if by_seeds is None else by_seeds
    variance = np.maximum(scatter + (parts.by_identities - parts.both), parts.by_identities)
    many, few = _freedoms(parts)
    least = stdtrit(many, levels / 2) ** 2
    gap = stdtrit(few, levels / 2) ** 2 - least
    usual = max(_two_sided_quantile(few, LEVEL) ** 2 - _two_sided_quantile(many, LEVEL) ** 2, 0.0)
    credit: np.ndarray | float = 0.0
    if parts.both and usual:
        credit = CREDIT * (parts.seeds - 2) / (parts.seeds - 1) * usual / np.maximum(gap, usual)
    share = np.maximum(scatter - credit * parts.both, 0) / variance
    return np.sqrt(variance * (least + gap * share**EXPONENT))


def p_value(parts: Crossed, value: float) -> float:
    """The two-sided p value of no difference: the level at which the interval round `value` just touches 0.

    To 6 digits, at least 1e-300 unless it is 0. Without any variance it is 1 for a value of 0 and 0 for any other.
    """
    if not parts.variance > 0:
        return float(value == 0)
    size = abs(value)
    ends = sorted(max(2 * float(stdtr(freedom, -size / parts.variance**0.5)), LEAST_P) for freedom in _freedoms(parts))
    low, high = (log(end) for end in ends)
    while high - low > 0.01:  # the answer lies between: a finer and finer table
        logs = np.linspace(low, high, 32)
        at = min(max(int((half_widths(parts, np.exp(logs)) > size).sum()), 1), 31)
        low, high = float(logs[at - 1]), float(logs[at])
    wide, narrow = half_widths(parts, np.exp([low, high]))
    along = (wide - size) / (wide - narrow) if wide > narrow else 0.0
    return min(exp(low + min(max(along, 0.0), 1.0) * (high - low)), 1.0)


def power(parts: Crossed, value: float, level: float = LEVEL, pilot: int | None = None) -> float:
    """The probability that a study like this one shows a true difference of `value`, in [0, 1].

    Args:
        parts: its variances.
        value: the true difference, in units of the value.
        level: of the test.
        pilot: how many seeds `by_seeds` was estimated from: the power is then averaged over what the true one may be,
            by_seeds (S - 1) / chi^2(S - 1). None = it is the true one.
    """
    true = np.array([parts.by_seeds])
    if pilot is not None:
        true = np.maximum(parts.by_seeds / _scatter(pilot - 1), parts.both)
    variance = np.maximum(true + (parts.by_identities - parts.both), parts.by_identities)[:, None]
    if not variance.all():
        return float(value != 0)
    # over what other such studies may estimate
    half = half_widths(parts, np.float64(level), true[:, None] * _scatter(parts.seeds - 1))
    deviation = np.sqrt(variance)
    return float((ndtr((abs(value) - half) / deviation) + ndtr((-abs(value) - half) / deviation)).mean())


def seeds_needed(parts: Crossed, value: float, level: float = LEVEL) -> SeedsNeeded:
    """The least number of seeds that shows a true difference of `value` with 80 % power.

    The power is averaged over what the scatter of the seeds may truly be, given what the S seeds of `parts` show: three
    seeds know little of it, and often show too small a one. Needs two seeds at least in `parts`. No number of seeds
    does where the identities alone scatter too much, or `value` is 0; no number above `MOST_SEEDS` is tried.
    """
    quantile = _two_sided_quantile(parts.identities - 1, level) if parts.identities else -float(ndtri(level / 2))
    known = (value / (quantile + float(ndtri(POWER)))) ** 2  # the variance that would do, were it known
    if not known > parts.by_identities - parts.both:
        return SeedsNeeded(None, None)

    def is_enough(seeds: int) -> bool:
        return power(parts.with_seeds(seeds), value, level, parts.seeds) >= POWER

    if not is_enough(MOST_SEEDS):
        return SeedsNeeded(None, MOST_SEEDS)
    return SeedsNeeded(bisect_left(range(MOST_SEEDS + 1), True, lo=2, key=is_enough), None)


def _freedoms(parts: Crossed) -> tuple[int, int]:
    """Degrees of freedom of the identities and of the seeds; of what is not used, the other's."""
    many, few = parts.identities - 1, parts.seeds - 1
    return (many if many > 0 else few), (few if few > 0 else many)


@lru_cache(maxsize=1024)
def _two_sided_quantile(freedom: int, level: float) -> float:
    """The absolute value that Student's t exceeds with probability `level`."""
    return -float(stdtrit(freedom, level / 2))


@lru_cache(maxsize=256)
def _scatter(freedom: int) -> np.ndarray:
    """Chi-square / degrees of freedom at the middles of 64 equally likely bins."""
    return chdtri(freedom, 1 - (np.arange(64) + 0.5) / 64) / freedom
