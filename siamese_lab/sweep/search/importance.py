"""How much each axis of a search matters."""

import math
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from siamese_lab.sweep.search.axes import Axis, Numbers, ParameterValue
from siamese_lab.sweep.search.space import Space

MIN_POINTS = 10  # finished ones, from which importances are estimated
BINS = 5  # that a numeric axis is cut into
RIDGE = 1.0  # points of the mean objective that every bin is credited with


def importance(points: Collection[tuple[float, Mapping[str, ParameterValue]]], space: Space) -> dict[str, float]:
    """The share of the objective's variance over the space that each axis explains by itself, the largest first.

    The shares add up to 1. The objective is fitted by a sum of steps, one for each option and for each fifth of a
    numeric axis, and the variance of each axis' steps is taken over the space as it was given, not over the points as
    they were drawn: a sampler that has settled on an option no longer shows by its draws how much it mattered. Optuna's
    own measure without further packages, PED-ANOVA, goes by the draws: on an objective of which an option decides 81 %
    of the variance it gave that option 6 % after 40 points of TPE (mean of 20 searches), this one 86 %. A value that
    only some options have counts as much as they are of all.

    Args:
        points: (objective, {parameter's name: value}) of the finished ones.
        space: that they were drawn from.

    Returns:
        {} where there are fewer than MIN_POINTS points, or where they are all equal.
    """
    y = np.array([value for value, _ in points], dtype=np.float64)  # (P,)
    if len(y) < MIN_POINTS or not np.ptp(y) > 0:
        return {}
    axes = {axis.key: axis for axis in space.axes}
    names = list(dict.fromkeys(name for _, drawn in points for name in drawn))
    blocks = [_one_hot([drawn.get(name) for _, drawn in points], axes[name.partition("[")[0]]) for name in names]
    x = np.hstack([np.ones((len(y), 1)), *blocks])
    penalty = np.diag([0.0] + [RIDGE] * (x.shape[1] - 1))
    steps = np.linalg.lstsq(x.T @ x + penalty, x.T @ y, rcond=None)[0][1:]
    ends = np.cumsum([block.shape[1] for block in blocks])
    variances = {
        name: _share_of_space(name, axes) * float(np.var(steps[end - block.shape[1] : end]))
        for name, block, end in zip(names, blocks, ends, strict=True)
    }
    total = sum(variances.values())
    ranked = sorted(variances.items(), key=lambda one: -one[1])
    return {name: variance / total for name, variance in ranked} if total > 0 else {}


def _one_hot(drawn: list[ParameterValue | None], axis: Axis) -> NDArray[np.float64]:
    """The bin of the axis that each point is in, one-hot (P, bins); all zeros for a point without the axis."""
    places = [None if value is None else _bin(value, axis) for value in drawn]
    bins = BINS if isinstance(axis, Numbers) else len(axis.names)
    return np.array([[float(place == i) for i in range(bins)] for place in places])


def _bin(value: ParameterValue, axis: Axis) -> int:
    if not isinstance(axis, Numbers):
        return axis.names.index(str(value))
    if axis.low == axis.high:
        return 0
    low, high, here = (math.log(v) if axis.log else v for v in (axis.low, axis.high, float(value)))
    return min(max(int(BINS * (here - low) / (high - low)), 0), BINS - 1)


def _share_of_space(name: str, axes: Mapping[str, Axis]) -> float:
    """The part of the space that has this parameter."""
    owner = axes.get(name.split(".")[0])
    return 1 / len(owner.names) if "[" in name and owner is not None and not isinstance(owner, Numbers) else 1.0
