"""Marginal means (`--by loss`): levels of some axes, averaged over the settings of the others that all of them have."""

from collections.abc import Mapping, Sequence

import numpy as np

from siamese_lab.compare.analysis.comparison import Configuration, Part, Run, by_size
from siamese_lab.compare.analysis.contrasts import better_way, configuration, figure_value, ranked
from siamese_lab.compare.selection.axes import axis_values
from siamese_lab.core.errors import LabError
from siamese_lab.core.text import nearest

Point = tuple[str | None, ...]


def axis_keys(by: str, axes: Sequence[str]) -> list[str]:
    """The keys of `--by`.

    Raises:
        LabError: if one is no axis.
    """
    found = list(dict.fromkeys(key.strip() for key in by.split(",")))
    known = f"axes: {', '.join(axes)}" if axes else "they have none"
    for key in found:
        if key == "seed":
            raise LabError(f"--by seed: the seeds are what every mean is taken over; name an axis instead ({known})")
        if key not in axes:
            raise LabError(f"--by {key or repr(key)}: it is no axis of these runs{nearest(key, axes)} ({known})")
    return found


def marginal_means(
    runs: Sequence[Run], by: Sequence[str], axes: Sequence[str], metric: str, part: Part
) -> tuple[list[Configuration], list[str]]:
    """One Configuration a level of `by`, the best first, and notes.

    A cell is one setting of the other axes. Levels are averaged over the cells and seeds that all of them have; an axis
    is no part of a cell where some level lacks it, where it belongs to the levels themselves (`loss.margin` of `loss`,
    if their margins differ), or where it is confounded with them; each level is then averaged over its own values of
    it.

    Args:
        runs: that count.
        by: keys, see `axis_keys`.
        axes: all axes.
        metric, part: what is compared.

    Raises:
        LabError: if the levels share no cell.
    """
    own = [axis for axis in axes if axis not in by and _belongs_to_levels(axis, by, runs)]
    others = [axis for axis in axes if axis not in by and axis not in own]
    table: dict[Point, dict[Point, dict[Point, dict[str, Run]]]] = {}  # level, cell, values of its own axes, seed
    for run in runs:
        level, cell, mine = (tuple(run.point.get(axis) for axis in some) for some in (by, others, own))
        table.setdefault(level, {}).setdefault(cell, {}).setdefault(mine, {})[run.seed] = run
    whole = {level: {mine for found in cells.values() for mine in found} for level, cells in table.items()}
    every = list(dict.fromkeys(cell for cells in table.values() for cell in cells))
    shared = [
        cell for cell in every if all(cells.get(cell, {}).keys() == whole[level] for level, cells in table.items())
    ]
    seeds = {cell: _common_seeds([cells[cell] for cells in table.values()]) for cell in shared}
    cells, common = _largest_crossing({cell: found for cell, found in seeds.items() if found})
    if not cells:
        raise LabError(
            f"--by {','.join(by)}: its levels have no setting of {', '.join(others) or 'the seeds'} in common that all "
            "of them have finished with the same seeds: finish the study, or compare every configuration without --by"
        )
    means = []
    for level, found in table.items():
        point = {axis: text for axis, text in zip(by, level, strict=True) if text is not None}
        weights = np.array([1 / len(found[cell]) for cell in cells for _ in found[cell]]) / len(cells)
        columns = [[of_seed[seed] for cell in cells for of_seed in found[cell].values()] for seed in common]
        values = [float(weights @ [figure_value(run, metric, part) for run in column]) for column in columns]
        influences = [_mean_influences(column, weights) for column in columns]
        means.append(configuration(point, common, values, influences, [run for column in columns for run in column]))
    notes = [f"averaged over {len(cells)} matched settings of {', '.join(others)}"] if others else []
    notes += _own_axes_notes(own, by, runs)
    used = sum(len(one.runs) for one in means)
    if used < len(runs):
        names = [" ".join(f"{a}={v}" for a, v in zip(others, cell, strict=True)) for cell in every if cell not in cells]
        which = f": {'; '.join(names[:5])}{' ...' if len(names) > 5 else ''}" if names and others else ""
        notes.append(
            f"{len(runs) - used} of {len(runs)} runs are left out of these means, since not every level has their "
            f"setting{which}"
        )
    return ranked(means, better_way(runs, metric, part)), notes


def is_confounded(axis: str, by: Sequence[str], runs: Sequence[Run]) -> bool:
    """Whether an axis is confounded with the levels: it has one value in each, and not the same in all."""
    sets = _values_by_level(axis, by, runs)
    return all(len(found) == 1 and None not in found for found in sets) and any(found != sets[0] for found in sets)


def _belongs_to_levels(axis: str, by: Sequence[str], runs: Sequence[Run]) -> bool:
    sets = _values_by_level(axis, by, runs)
    lacking = any(found == {None} for found in sets)
    differ = axis.rpartition(".")[0] in by and any(found != sets[0] for found in sets)
    return len(sets) > 1 and (lacking or differ or is_confounded(axis, by, runs))


def _values_by_level(axis: str, by: Sequence[str], runs: Sequence[Run]) -> list[set[str | None]]:
    found: dict[Point, set[str | None]] = {}
    for run in runs:
        found.setdefault(tuple(run.point.get(key) for key in by), set()).add(run.point.get(axis))
    return list(found.values())


def _own_axes_notes(own: Sequence[str], by: Sequence[str], runs: Sequence[Run]) -> list[str]:
    levels = " and ".join(by)
    return [
        f"{axis} goes with {levels}: these runs cannot tell which of the two a difference comes from"
        if is_confounded(axis, by, runs)
        else f"each {levels} is averaged over its own {axis} ({', '.join(axis_values(runs, axis))}), where it has one"
        for axis in own
    ]


def _common_seeds(found: Sequence[Mapping[Point, Mapping[str, Run]]]) -> frozenset[str]:
    """Seeds that every run of a cell has, at every level."""
    return frozenset.intersection(*(frozenset(runs) for cell in found for runs in cell.values()))


def _largest_crossing(seeds: Mapping[Point, frozenset[str]]) -> tuple[list[Point], list[str]]:
    """The cells and seeds, crossed, that use the most runs."""
    best: tuple[list[Point], list[str]] = ([], [])
    for wanted in sorted(set(seeds.values()), key=len, reverse=True):
        cells = [cell for cell, found in seeds.items() if found >= wanted]
        if len(cells) * len(wanted) > len(best[0]) * len(best[1]):
            best = cells, sorted(wanted, key=by_size)
    return best


def _mean_influences(runs: Sequence[Run], weights: np.ndarray) -> dict[str, float]:
    """The influences of a weighted mean of figures: the mean of theirs; none where they stand on other identities."""
    names = list(runs[0].influence)
    if any(list(run.influence) != names for run in runs):
        return {}
    table = np.array([list(run.influence.values()) for run in runs])  # (runs, identities)
    return dict(zip(names, (weights @ table).tolist(), strict=True))
