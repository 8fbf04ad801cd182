"""The space of a search: Hydra's sweep overrides as axes, and how a point of it is drawn.

The groups are drawn first, then only the values that exist for the options drawn. A value of an option is a parameter
of its own for each option, since a margin of `loss=contrastive` says nothing of one of `loss=triplet`, nor a rate of
`optimizer=sgd` of one of `adamw`: where `loss` is an axis, `loss.margin` is drawn as `loss.margin[contrastive]`.
"""

import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import Glob, IntervalSweep, Override, RangeSweep, Sweep

from siamese_lab.core.errors import LabError
from siamese_lab.sweep.search.axes import Axis, Choices, Numbers, ParameterValue
from siamese_lab.sweep.search.storage import OWN_STUDY

if TYPE_CHECKING:
    from optuna import Study

BOOKKEEPING = ("study", "name", "launcher", "search")
"""Sections that do not change what a run computes."""


@dataclass(frozen=True)
class DrawnPoint:
    """A point of the space.

    Args:
        stored: {parameter's name: value}, for Optuna.
        values: {key: value as an override has it}, which tells points apart.
    """

    stored: dict[str, ParameterValue]
    values: dict[str, str]


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
        self, suggest: Callable[[str, Axis], ParameterValue], value_keys: Callable[[dict[str, str]], Collection[str]]
    ) -> DrawnPoint:
        """Draws a point, define-by-run.

        Args:
            suggest: draws the value of a parameter by its name and axis.
            value_keys: the keys of value axes that the options drawn have.
        """
        stored: dict[str, ParameterValue] = {}
        values: dict[str, str] = {}
        for axis in self.axes:
            if axis.key in self.groups:
                stored[axis.key] = suggest(axis.key, axis)
                values[axis.key] = axis.as_word(stored[axis.key])
        known = value_keys(dict(values))
        for axis in self.axes:
            if axis.key in known and axis.key not in self.groups:
                name = self._parameter_name(axis.key, values)
                stored[name] = suggest(name, axis)
                values[axis.key] = axis.as_word(stored[name])
        return DrawnPoint(stored, {axis.key: values[axis.key] for axis in self.axes if axis.key in values})

    def _parameter_name(self, key: str, values: Mapping[str, str]) -> str:
        group = key.split(".")[0]
        return f"{key}[{values[group]}]" if group in self.groups and key != group else key


def build_space(overrides: Mapping[str, Override], groups: Mapping[str, Collection[str]]) -> Space:
    """The space that the sweep overrides of a command line span.

    Args:
        overrides: by key; lists, choice(), range(), interval(), tag(log, interval()), int(interval()), glob().
        groups: the options of each group, by its name.

    Raises:
        LabError: with every axis that cannot be searched.
    """
    misfits: list[str] = []
    found = [_build_axis(key, override, groups, misfits) for key, override in overrides.items()]
    if not found:
        misfits.append("a search needs an axis: loss=contrastive,triplet, or 'loss.margin=interval(0.05,1)'")
    if misfits:
        raise LabError("\n".join(misfits))
    axes = tuple(axis for axis in found if axis is not None)
    return Space(axes, frozenset(axis.key for axis in axes if axis.key in groups))


def without_bookkeeping(words: Iterable[str]) -> list[str]:
    """The words that decide what a run computes."""
    return [word for word in words if word.partition("=")[0].split(".")[0] not in BOOKKEEPING]


def refuse_other_space(study: "Study", space: Space, fixed: Sequence[str]) -> None:
    """Records in a new study what its trials are drawn from, and refuses another space or other words later.

    Raises:
        LabError: naming what differs.
    """
    plain = {axis.key: {name: value for name, value in asdict(axis).items() if name != "key"} for axis in space.axes}
    current = json.loads(json.dumps({"axes": plain, "fixed": sorted(without_bookkeeping(fixed))}))
    earlier = study.user_attrs.get("drawn from")
    if earlier is None or not study.get_trials(deepcopy=False):  # of a search that was refused
        study.set_user_attr("drawn from", current)
        return
    changes = []
    for key in sorted(earlier["axes"].keys() | current["axes"].keys()):
        old, new = earlier["axes"].get(key), current["axes"].get(key)
        if old != new:
            changes.append(f"{key} was {_describe_axis(old)} and is {_describe_axis(new)}")
    if set(earlier["fixed"]) != set(current["fixed"]):
        old, new = (" ".join(one["fixed"]) or "none" for one in (earlier, current))
        changes.append(f"the fixed overrides were {old} and are {new}")
    if changes:
        raise LabError(
            f"the trials of {study.study_name} were drawn from another space: {'; '.join(changes)}: {OWN_STUDY}"
        )


def _describe_axis(axis: Mapping[str, Any] | None) -> str:
    if axis is None:
        return "no axis"
    if "names" in axis:
        return ",".join(axis["names"])
    step = "" if axis["step"] is None else f" in steps of {axis['step']:g}"
    return f"{axis['low']:g} to {axis['high']:g}{step}" + " (log)" * axis["log"] + " (whole)" * axis["whole"]


def _refusal(key: str) -> str | None:
    """Why a search may not have an axis; None if it may."""
    section = key.split(".")[0]
    if key == "seed":
        return (
            "a search evaluates each point by one run, seed cannot be an axis: give it one value, then compare the "
            "best points over seeds, `siamese-lab train -m ... seed=1,2,3`"
        )
    if key == "data" or section == "protocol":
        return f"{key} cannot be an axis of a search: figures of different {section}s cannot be held against each other"
    if section in (*BOOKKEEPING, "logger", "callback"):
        return f"{key} cannot be an axis of a search: it does not change what a run computes"
    return None


def _build_axis(key: str, override: Override, groups: Mapping[str, Collection[str]], misfits: list[str]) -> Axis | None:
    """The axis of a sweep override; None where something was added to the misfits."""
    value, word = override.value(), override.input_line
    refusal = _refusal(key)
    if refusal:
        misfits.append(refusal)
    elif isinstance(value, Glob) and key not in groups:
        misfits.append(f"{word}: glob() takes options of a group, and {key} is none: write the values, {key}=a,b")
    elif isinstance(value, Glob):
        return _choices(key, value.filter(list(groups[key])), word, misfits)
    elif not isinstance(value, Sweep):
        misfits.append(f"{word} is no axis: it takes one value")
    elif isinstance(value, IntervalSweep):
        low, high = float(value.start or 0), float(value.end or 0)
        whole = "int" in value.tags or isinstance(value.start, int)
        if whole and math.isfinite(low) and math.isfinite(high):
            low, high = float(math.ceil(low)), float(math.floor(high))
        return _numbers(Numbers(key, low, high, None, "log" in value.tags, whole), value.tags, word, misfits)
    elif isinstance(value, RangeSweep):
        return _range(key, value, word, misfits)
    else:
        return _choices(key, list(override.sweep_string_iterator()), word, misfits)
    return None


def _choices(key: str, names: list[str], word: str | None, misfits: list[str]) -> Choices | None:
    if not names:
        misfits.append(f"{word} names no value")
    elif len(set(names)) < len(names):
        misfits.append(f"{word} names a value twice")
    else:
        return Choices(key, tuple(names))
    return None


def _range(key: str, value: RangeSweep, word: str | None, misfits: list[str]) -> Numbers | None:
    numbers = [float(one) for one in sorted(value.range(), key=float)]
    if not numbers:
        misfits.append(f"{word} is empty: range(start, stop, step) goes from start up to, but not including, stop")
        return None
    whole = all(isinstance(one, int) for one in (value.start, value.stop, value.step))
    step, log = abs(float(value.step)), "log" in value.tags
    if log and not (whole and step == 1):
        misfits.append(f"{word}: a logarithmic axis has no steps: write tag(log, interval(low, high))")
    high = numbers[-1] if whole else float(f"{numbers[-1]:.10g}")
    return _numbers(Numbers(key, numbers[0], high, None if log else step, log, whole), value.tags, word, misfits)


def _numbers(axis: Numbers, tags: Collection[str], word: str | None, misfits: list[str]) -> Numbers | None:
    before = len(misfits)
    if not (math.isfinite(axis.low) and math.isfinite(axis.high) and axis.low <= axis.high):
        misfits.append(f"{word}: {axis.key} needs two finite numbers, the smaller one first")
    if axis.log and not axis.low > 0:
        misfits.append(f"{word}: a logarithmic axis needs numbers above 0")
    if unknown := sorted(set(tags) - {"log", "int"}):
        misfits.append(f"{word}: no tag {', '.join(unknown)} (tags: log, int)")
    return axis if len(misfits) == before else None
