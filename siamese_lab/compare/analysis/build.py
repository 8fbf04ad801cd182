"""Builds a Comparison of runs: chooses the figure and the runs that count, and computes means and differences."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from siamese_lab.compare.analysis import marginal
from siamese_lab.compare.analysis.comparison import FEW, Comparison, Configuration, Part, Run
from siamese_lab.compare.analysis.contrasts import better_way, contrasts, fronts, group_configurations
from siamese_lab.compare.selection.axes import find_axes
from siamese_lab.core.errors import LabError
from siamese_lab.core.text import first_few, nearest
from siamese_lab.runs.seal import Opening


def chosen_metric(runs: Sequence[Run], asked: str | None, part: Part) -> str:
    """The figure to compare.

    Args:
        runs: that count.
        asked: by the user; None = the one that checkpoints were chosen by.
        part: of the data. Of a sealed test part the figures of the protocols are not known yet, but those of validation
            are.

    Raises:
        LabError: if no run has it, naming the ones there are.
    """
    known = list(dict.fromkeys(name for run in runs for some in ("val", part) for name in run.parts.get(some, {})))
    if asked is None:
        headlines = Counter(run.headlines[0] for run in runs if run.headlines)
        usual = [name for name, _ in headlines.most_common() if name in known] or known
        if not usual:
            raise LabError(
                "these runs have no figure of validation: their data have no validation part; --open-test compares "
                "the test part's"
            )
        return usual[0]
    protocols = {key.split(".")[1] for run in runs for key in run.config if key.startswith("protocol.")}
    seen = {name.partition("/")[0] for name in known}
    only_of_test = part == "test" and asked.partition("/")[0] in protocols - seen and any(run.sealed for run in runs)
    if asked not in known and not only_of_test:
        tail = [name for name in known if name.partition("/")[2] == asked]
        hint = f": did you mean {tail[0]}?" if tail else nearest(asked, known)
        raise LabError(f"no run has a figure {asked or repr(asked)}{hint} (there are: {', '.join(known)})")
    return asked


def without_metric(runs: Sequence[Run], metric: str, part: Part) -> tuple[list[Run], list[Run]]:
    """The runs that have the figure; and those that do not, with the reason.

    Raises:
        LabError: if none has it.
    """
    kept = [run for run in runs if metric in run.parts.get(part, {})]
    rest = [replace(run, why=f"it has no figure {metric}") for run in runs if run not in kept]
    if not kept:
        there = sorted({name for run in runs for name in run.parts.get(part, {})})
        where = "validation" if part == "val" else "the test part"
        raise LabError(f"no run has a figure {metric} of {where} (there are: {', '.join(there) or 'none'})")
    return kept, rest


def build_comparison(
    runs: Sequence[Run],
    metric: str,
    part: Part,
    *,
    title: str = "",
    axes: Mapping[str, Sequence[str]] | None = None,
    by: str | None = None,
    notes: Sequence[str] = (),
    left_out: Sequence[Run] = (),
    openings: Sequence[Opening] = (),
) -> Comparison:
    """Builds the Comparison of these runs.

    Args:
        runs: that count, of one part, each with the figure and its influences.
        metric, part: what is compared.
        title: of it all.
        axes: of the study whose points the runs have; None = those in which the configs differ.
        by: the argument of `--by`.
        notes, left_out, openings: passed on to the Comparison.

    Raises:
        LabError: if `by` names no axis, or its levels have nothing in common.
    """
    notes = list(notes)
    if axes is None:
        runs, found = find_axes(runs)
    else:
        found = [axis for axis in axes if len({run.point.get(axis) for run in runs}) > 1]
        shared = {axis: runs[0].point[axis] for axis in axes if axis not in found and axis in runs[0].point}
        if shared:
            notes.append("all of them have " + ", ".join(f"{axis}={text}" for axis, text in shared.items()))
        runs = [replace(run, point={axis: run.point[axis] for axis in found if axis in run.point}) for run in runs]
    runs, repeated = _without_repeats(runs)
    direction = better_way(runs, metric, part)
    choices = group_configurations(runs, metric, part)
    keys = marginal.axis_keys(by, found) if by is not None else []
    shown = choices
    if keys:
        shown, more = marginal.marginal_means(runs, keys, found, metric, part)
        notes += more
    return Comparison(
        title=title,
        metric=metric,
        unit=str(runs[0].parts[part][metric]["unit"]),
        better=direction,
        part=part,
        axes=keys or found,
        by=keys,
        configurations=shown,
        contrasts=contrasts(shown, direction) if len(shown) > 1 else [],
        fronts=fronts(shown, direction),
        notes=[*notes, *_unequal_seeds(shown), *_winners_curse(shown)],
        left_out=[*left_out, *repeated],
        openings=openings,
        choices=choices,
    )


def _without_repeats(runs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """One run for each point and seed; the others with the reason."""
    kept: dict[tuple[tuple[tuple[str, str], ...], str], Run] = {}
    rest = []
    for run in runs:
        first = kept.setdefault((tuple(run.point.items()), run.seed), run)
        if first is not run:
            rest.append(replace(run, why=f"{first.name} is the same configuration with the same seed"))
    return list(kept.values()), rest


def _unequal_seeds(found: Sequence[Configuration]) -> list[str]:
    most = max(len(one.seeds) for one in found)
    fewer = [f"{one.name} ({len(one.seeds)})" for one in found if len(one.seeds) < most]
    return [f"not all configurations have {most} seeds: {first_few(fewer, 5)}"] if fewer else []


def _winners_curse(found: Sequence[Configuration]) -> list[str]:
    if len(found) <= FEW:
        return []
    return [
        f"{found[0].name} is the best of {len(found)} in these very runs, so its mean flatters it, and so do its "
        "differences to the others (the winner's curse): new seeds or the test part give an unbiased one"
    ]
