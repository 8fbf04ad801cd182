"""Finds the axes of runs without a study: the keys in which their configs differ."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from siamese_lab.compare.analysis.comparison import Run, by_size
from siamese_lab.config.named_targets import watchers
from siamese_lab.config.schema import LEFT_OUT

TARGET = "_target_"
CHOICES = "choices."
NO_AXIS = ("seed", "protocol", *LEFT_OUT)
DATA, CODE = "data.fingerprint", "code"
FIRST = ("loss", "backbone", "distance", "miner", "sampling", "memory", "augment", "optimizer", "data")


def find_axes(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Finds the axes along which runs differ, and gives each run its point.

    A group of which they took different options is an axis by the option's name; its keys are axes where runs of one
    option differ in them.

    Args:
        runs: those that count.

    Returns:
        the runs with their points, and the axes.
    """
    options = [{k.removeprefix(CHOICES): v for k, v in run.config.items() if k.startswith(CHOICES)} for run in runs]
    chosen = [group for group in _differing(options) if group not in (*NO_AXIS, "experiment", "callback")]
    chosen.sort(key=lambda group: (FIRST.index(group) if group in FIRST else len(FIRST), group))
    watching = set().union(*(watchers(run.config) for run in runs))
    plain = [{key: value for key, value in run.config.items() if _is_axis(key, watching)} for run in runs]
    columns: dict[str, list[str | None]] = {group: [one.get(group, "null") for one in options] for group in chosen}
    for key in dict.fromkeys(key for one in plain for key in one):
        group = key.partition(".")[0]
        by_option: dict[str, set[str | None]] = {}
        for option, one in zip(options, plain, strict=True):
            if group not in chosen or key in one:
                by_option.setdefault(option.get(group, "") if group in chosen else "", set()).add(one.get(key))
        if any(len(values) > 1 for values in by_option.values()):
            columns[key] = [one.get(key) for one in plain]
    columns[DATA] = [run.data for run in runs]
    if len({run.path.name for run in runs}) < len(runs):  # one config in two studies: the code may differ
        columns[CODE] = [run.code for run in runs]
    columns = {axis: column for axis, column in columns.items() if len(set(column)) > 1}
    pointed = []
    for number, run in enumerate(runs):
        known = {axis: text for axis, column in columns.items() if (text := column[number]) is not None}
        pointed.append(replace(run, point=known))
    return pointed, list(columns)


def axis_values(runs: Sequence[Run], axis: str) -> list[str]:
    """The values of an axis in these runs: numbers by size, words in the order in which they come."""
    found = list(dict.fromkeys(run.point[axis] for run in runs if axis in run.point))
    return sorted(found, key=by_size) if all_numbers(found) else found


def all_numbers(values: Sequence[str]) -> bool:
    """Whether all of these are numbers."""
    return bool(values) and all(by_size(value)[0] == 0 for value in values)


def _differing(tables: Sequence[Mapping[str, str]]) -> list[str]:
    keys = dict.fromkeys(key for one in tables for key in one)
    return [key for key in keys if len({one.get(key) for one in tables}) > 1]


def _is_axis(key: str, watching: Collection[str]) -> bool:
    none = (*NO_AXIS, *watching)
    return not key.endswith(TARGET) and not any(key == out or key.startswith(f"{out}.") for out in none)
