"""The space of a search: Hydra's sweep overrides as axes, and how a point of it is drawn.

The groups are drawn first, then only the values that exist for the options drawn. A value of an option is a parameter
of its own for each option, since a margin of `loss=contrastive` says nothing of one of `loss=triplet`, nor a rate of
`optimizer=sgd` of one of `adamw`: where `loss` is an axis, `loss.margin` is drawn as `loss.margin[contrastive]`.
"""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hydra.core.override_parser.types import Glob, IntervalSweep, Override, RangeSweep, Sweep

from siamese_lab.core.errors import LabError
from siamese_lab.sweep.search.axes import Axis, Numbers, Options, ParameterValue


@dataclass(frozen=True)
class Space:
    """What a search draws from.

    Args:
        axes: in the order of the command line.
        groups: keys of those that choose an option of a group.
    """

    axes: tuple[Axis, ...]
    groups: frozenset[str]

    def draw(
        self, suggest: Callable[[str, Axis], ParameterValue], exists: Callable[[dict[str, str]], Collection[str]]
    ) -> "Point":
        """Draws a point, define-by-run.

        Args:
            suggest: draws the value of a parameter by its name and axis.
            exists: the keys of value axes that the options drawn have.
        """
        stored: dict[str, ParameterValue] = {}
        values: dict[str, str] = {}
        for axis in self.axes:
            if axis.key in self.groups:
                stored[axis.key] = suggest(axis.key, axis)
                values[axis.key] = axis.spelt(stored[axis.key])
        there = exists(dict(values))
        for axis in self.axes:
            if axis.key in there and axis.key not in self.groups:
                name = self.name(axis.key, values)
                stored[name] = suggest(name, axis)
                values[axis.key] = axis.spelt(stored[name])
        return Point(stored, {axis.key: values[axis.key] for axis in self.axes if axis.key in values})

    def name(self, key: str, values: Mapping[str, str]) -> str:
        """The parameter's name of an axis where these options were drawn."""
        group = key.split(".")[0]
        return f"{key}[{values[group]}]" if group in self.groups and key != group else key

    def described(self) -> dict[str, Any]:
        """In plain values, to tell whether two searches draw from the same."""
        plain = {axis.key: asdict(axis) for axis in self.axes}
        return {
            key: {name: list(v) if isinstance(v, tuple) else v for name, v in fields.items() if name != "key"}
            for key, fields in plain.items()
        }


@dataclass(frozen=True)
class Point:
    """A point of the space.

    Args:
        stored: {parameter's name: value}, for Optuna.
        values: {key: value as an override has it}, which tells points apart.
    """

    stored: dict[str, ParameterValue]
    values: dict[str, str]


def space(overrides: Mapping[str, Override], groups: Mapping[str, Collection[str]]) -> Space:
    """The space that the sweep overrides of a command line span.

    Args:
        overrides: by key; lists, choice(), range(), interval(), tag(log, interval()), int(interval()), glob().
        groups: the options of each group, by its name.

    Raises:
        LabError: with every axis that cannot be searched.
    """
    misfits: list[str] = []
    found = [_axis(key, override, groups, misfits) for key, override in overrides.items()]
    if not found:
        misfits.append("a search needs an axis: loss=contrastive,triplet, or 'loss.margin=interval(0.05,1)'")
    if misfits:
        raise LabError("\n".join(misfits))
    axes = tuple(axis for axis in found if axis is not None)
    return Space(axes, frozenset(axis.key for axis in axes if axis.key in groups))


def refused(key: str) -> str | None:
    """Why a search may not have an axis; None if it may."""
    if key == "seed":
        return (
            "a search evaluates each point by one run, seed cannot be an axis: give it one value, then compare the "
            "best points over seeds, "
            "`siamese-lab train -m ... seed=1,2,3`"
        )
    if key in ("data", "protocol") or key.startswith("protocol."):
        return (
            f"{key} cannot be an axis of a search: figures of different {key.split('.')[0]}s cannot be held "
            "against each other"
        )
    if key.split(".")[0] in ("study", "name", "launcher", "search", "logger", "callback"):
        return f"{key} cannot be an axis of a search: it does not change what a run computes"
    return None


def _axis(key: str, override: Override, groups: Mapping[str, Collection[str]], misfits: list[str]) -> Axis | None:
    before, value, word = len(misfits), override.value(), override.input_line
    why = refused(key)
    if why:
        misfits.append(why)
        return None
    if isinstance(value, Glob):
        if key not in groups:
            misfits.append(f"{word}: glob() takes options of a group, and {key} is none: write the values, {key}=a,b")
            return None
        return _options(key, value.filter(list(groups[key])), word, misfits)
    if not isinstance(value, Sweep):
        misfits.append(f"{word} is no axis: it takes one value")
    elif isinstance(value, IntervalSweep):
        low, high = float(value.start or 0), float(value.end or 0)
        whole = "int" in value.tags or isinstance(value.start, int)
        if whole and math.isfinite(low) and math.isfinite(high):
            low, high = float(math.ceil(low)), float(math.floor(high))
        _numeric_misfits(key, low, high, value.tags, word, misfits)
        return Numbers(key, low, high, None, "log" in value.tags, whole) if len(misfits) == before else None
    elif isinstance(value, RangeSweep):
        numbers = [float(one) for one in sorted(value.range(), key=float)]
        if not numbers:
            misfits.append(f"{word} is empty: range(start, stop, step) goes from start up to, but not including, stop")
            return None
        whole = all(isinstance(one, int) for one in (value.start, value.stop, value.step))
        _numeric_misfits(key, numbers[0], numbers[-1], value.tags, word, misfits)
        log = "log" in value.tags
        if log and not (whole and abs(value.step) == 1):
            misfits.append(f"{word}: a logarithmic axis has no steps: write tag(log, interval(low, high))")
        high = numbers[-1] if whole else float(f"{numbers[-1]:.10g}")
        step = abs(float(value.step))
        return Numbers(key, numbers[0], high, None if log else step, log, whole) if len(misfits) == before else None
    else:
        return _options(key, list(override.sweep_string_iterator()), word, misfits)
    return None


def _options(key: str, names: list[str], word: str | None, misfits: list[str]) -> Options | None:
    if not names:
        misfits.append(f"{word} names no value")
    elif len(set(names)) < len(names):
        misfits.append(f"{word} names a value twice")
    else:
        return Options(key, tuple(names))
    return None


def _numeric_misfits(
    key: str, low: float, high: float, tags: Collection[str], word: str | None, misfits: list[str]
) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        misfits.append(f"{word}: {key} needs two finite numbers, the smaller one first")
    if "log" in tags and not low > 0:
        misfits.append(f"{word}: a logarithmic axis needs numbers above 0")
    unknown = sorted(set(tags) - {"log", "int"})
    if unknown:
        misfits.append(f"{word}: no tag {', '.join(unknown)} (tags: log, int)")
