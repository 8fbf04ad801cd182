"""Finds the axes of runs without a study: the keys in which their configs differ."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from siamese_lab.compare.analysis.comparison import Run, by_size
from siamese_lab.config.named_targets import watchers
from siamese_lab.config.schema import LEFT_OUT

TARGET = "_target_"
CHOICES = "choices."
NO_AXIS = ("seed", "protocol", *LEFT_OUT)
DATA, CODE = "data.fingerprint", "code"
FIRST = ("loss", "backbone", "distance", "miner", "sampling", "memory", "augment", "optimizer", "data")


def told_apart(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Finds the axes along which runs differ, and gives each run its point.

    A group of which they took different options is an axis by the option's name; its keys are axes where runs of one
    option differ in them.

    Args:
        runs: those that count.

    Returns:
        the runs with their points, and the axes.
    """
    groups = _differing([{key: value for key, value in run.config.items() if key.startswith(CHOICES)} for run in runs])
    chosen = [
        group.removeprefix(CHOICES)
        for group in groups
        if group.removeprefix(CHOICES) not in (*NO_AXIS, "experiment", "callback")
    ]
    chosen.sort(key=lambda group: (FIRST.index(group) if group in FIRST else len(FIRST), group))
    watching = set().union(*(watchers(run.config) for run in runs))
    plain = [{key: value for key, value in run.config.items() if _is_axis(key, watching)} for run in runs]
    keys = []
    for key in dict.fromkeys(key for one in plain for key in one):
        group = key.partition(".")[0]
        alike: dict[str, set[str | None]] = {}  # by the group's option
        for run, one in zip(runs, plain, strict=True):
            option = run.config.get(CHOICES + group, "") if group in chosen else ""
            if group not in chosen or key in one:
                alike.setdefault(option, set()).add(one.get(key))
        if any(len(values) > 1 for values in alike.values()):
            keys.append(key)
    values = {group: [run.config.get(CHOICES + group, "null") for run in runs] for group in chosen}
    values |= {key: [one.get(key) for one in plain] for key in keys}  # type: ignore[misc]
    if len({run.data for run in runs}) > 1:
        values[DATA] = [run.data for run in runs]
    if len({run.path.name for run in runs}) < len(runs):  # one config in two studies: the code may differ
        values[CODE] = [run.code for run in runs]
    values = {axis: column for axis, column in values.items() if len(set(column)) > 1}
    made = []
    for number, run in enumerate(runs):
        made.append(
            replace(run, point={axis: column[number] for axis, column in values.items() if column[number] is not None})
        )
    return made, list(values)


def axis_values(runs: Sequence[Run], axis: str) -> list[str]:
    """The values of an axis in these runs: numbers by size, words in the order in which they come."""
    found = list(dict.fromkeys(run.point[axis] for run in runs if axis in run.point))
    return sorted(found, key=by_size) if all_numbers(found) else found


def all_numbers(values: Sequence[str]) -> bool:
    """Whether all of these are numbers."""
    return bool(values) and all(by_size(value)[0] == 0 for value in values)


def _differing(tables: Sequence[dict[str, str]]) -> list[str]:
    return [
        key for key in dict.fromkeys(key for one in tables for key in one) if len({one.get(key) for one in tables}) > 1
    ]


def _is_axis(key: str, watching: Collection[str]) -> bool:
    none = (*NO_AXIS, *watching)
    return not key.endswith(TARGET) and not any(key == out or key.startswith(f"{out}.") for out in none)
