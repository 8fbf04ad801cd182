"""The difference of one figure in two runs by its influences alone: the reference for `estimates.difference`."""

from collections.abc import Mapping
from math import sqrt
from typing import NamedTuple

from scipy import stats as scipy_stats

from siamese_lab.statistics.influence import LEAST_IDENTITIES, TOO_FEW


def standard_error(influence: Mapping[str, float]) -> float:
    """The standard error of a figure: the root of sum of squared influences / (C (C - 1))."""
    squares, count = sum(x * x for x in influence.values()), len(influence)
    return sqrt(squares / (count * (count - 1))) if count > 1 else float("nan")


class Difference(NamedTuple):
    """`value` = a - b with its 95 % interval and its two-sided p value (None where too few identities stand behind)."""

    value: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    identities: int = 0
    note: str = ""


def paired_difference(
    value_a: float, influence_a: Mapping[str, float], value_b: float, influence_b: Mapping[str, float]
) -> Difference:
    """The difference a - b, paired by identity name: what makes an identity hard for both runs cancels. Unclipped."""
    if influence_a.keys() != influence_b.keys():
        alone = sorted(influence_a.keys() ^ influence_b.keys())
        raise ValueError(
            f"both figures must stand on the same identities, but {len(alone)} stand in one of them only (such as "
            f"{alone[0]!r}): evaluate both runs on the same data"
        )
    value, count = value_a - value_b, len(influence_a)
    if count < LEAST_IDENTITIES:
        return Difference(value, identities=count, note=TOO_FEW)
    error = standard_error({name: influence_a[name] - influence_b[name] for name in influence_a})
    half = float(scipy_stats.t.ppf(0.975, count - 1)) * error
    p = 2 * float(scipy_stats.t.sf(abs(value) / error, count - 1)) if error > 0 else float(value == 0)
    return Difference(value, value - half, value + half, p, count)
