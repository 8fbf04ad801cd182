"""Figures, and their intervals from leaving one identity out at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import copysign, inf, sqrt
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

LEAST_IDENTITIES = 50
LEAST_ERRING = 10
TOO_FEW = "too few identities"


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Args:
        value: in `unit`.
        low, high: the 95 % interval, or None where none can be given (`note` says why).
        n: how many trials, pairs or queries stand behind it.
        unit: "share" (in [0, 1], printed in %), "distance", ...
        better: which way is better.
        influence: {identity name: its influence on the value}; empty where not computed.
        note: a caveat to print beside the value, e.g. "too few negatives".
    """

    value: float
    low: float | None = None
    high: float | None = None
    n: int = 0
    unit: str = "share"
    better: Literal["low", "high"] = "high"
    influence: dict[str, float] = field(default_factory=dict)
    note: str = ""


def influences(without: ArrayLike, names: Sequence[str]) -> dict[str, float]:
    """The influence of each identity on a figure.

    It is (C - 1) x (mean of the leave-one-out values - the value without this identity).

    Args:
        without: (C,) the figure computed without each identity.
        names: C unique names.

    Returns:
        {name: influence}, summing to 0; empty where a figure without some identity does not exist (NaN).

    Raises:
        ValueError: if the two lengths differ.
    """
    values = np.asarray(without, dtype=np.float64)
    if len(values) != len(names):
        raise ValueError(f"need one name per leave-one-out value, got {len(names)} names for {len(values)} values")
    if not len(values) or not np.isfinite(values).all():
        return {}
    influence = (len(values) - 1) * (values.mean() - values)
    return dict(zip(names, influence.tolist(), strict=True))


def interval(
    value: float,
    influence: Mapping[str, float],
    erring: int,
    independent: int | None = None,
    span: tuple[float, float] = (0.0, 1.0),
) -> tuple[float | None, float | None, str]:
    """The 95 % interval of a figure over identities drawn anew.

    From the influences where at least 50 identities stand behind the figure and 10 of them with an error; else Wilson's
    where the trials are independent; else none. Near the ceiling a few identities make most of the figure's scatter,
    and to one side: both are accounted for. With C influences u, the standard error s, the skewness
    a = sum u^3 / (6 (sum u^2)^1.5) and the effective number of identities n = (sum u^2)^2 / sum u^4 (C / 3 where they
    are normal), the ends are those of Efron's accelerated interval for a mean (DiCiccio and Efron, Stat. Sci. 1996,
    section 4) with Student's quantile in place of the normal one:

        value + s w / (1 - a w)^2,    w = a -+ t(1.5 n degrees of freedom)

    `docs/statistics.md` says what it covers.

    Args:
        value: the figure.
        influence: {identity: influence}, see `influences`.
        erring: how many identities have an error (of the rarer outcome, for a proportion that may also be near 0).
        independent: the number of trials if they are independent of one another and `value` is a proportion of them,
            else None.
        span: the unit's range, to which the interval is clipped.

    Returns:
        low, high, note: low = high = None with the note "too few identities" where no interval can be given.
    """
    if len(influence) >= LEAST_IDENTITIES and erring >= LEAST_ERRING:
        low, high = (value + end for end in _accelerated_ends(list(influence.values())))
        return max(span[0], low), min(span[1], high), ""
    if independent:
        return *wilson(value, independent), ""
    return None, None, TOO_FEW


def _accelerated_ends(influence: Sequence[float]) -> tuple[float, float]:
    """How far the ends of the interval lie from the value, see `interval`."""
    u = np.asarray(influence, dtype=np.float64)
    squares = float((u**2).sum())
    if not squares > 0:
        return 0.0, 0.0
    error = sqrt(squares / (len(u) * (len(u) - 1)))
    skewness = float((u**3).sum()) / (6 * squares**1.5)
    quantile = student_quantile(0.975, 1.5 * squares**2 / float((u**4).sum()))
    low, high = (
        error * w / (1 - skewness * w) ** 2 if skewness * w < 1 else copysign(inf, w)
        for w in (skewness - quantile, skewness + quantile)
    )
    return low, high


def wilson(share: float, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a proportion of independent trials, in [0, 1] (Wilson, JASA 1927, eq. 6)."""
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = sqrt(z2 * (share * (1 - share) / trials + z2 / (4 * trials**2))) / (1 + z2 / trials)
    return max(0.0, middle - half), min(1.0, middle + half)


def student_quantile(probability: float, freedom: float) -> float:
    """The quantile of Student's t distribution: P(T <= result) = `probability`, with `freedom` > 0 degrees of freedom.

    The same number as `scipy.stats.t.ppf`.
    """
    from scipy.special import stdtrit  # here: scipy takes 0.15 s to import

    return float(stdtrit(freedom, probability))
