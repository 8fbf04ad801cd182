"""What a search prints in the end, and the pictures it draws."""

import shlex
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from siamese_lab.core.errors import LabError
from siamese_lab.core.paths import outputs
from siamese_lab.plots._style import save_png
from siamese_lab.runs.history import read_history
from siamese_lab.sweep.search.importance import MIN_POINTS, importance
from siamese_lab.sweep.search.plots import TriedPoint, history_plot, importance_plot, value_plots
from siamese_lab.sweep.search.space import without_bookkeeping
from siamese_lab.sweep.search.storage import storage_errors
from siamese_lab.sweep.search.trials import end_state, latest_trials

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from siamese_lab.sweep.search.job_source import SearchJobs

PICTURES = ("history.png", "importance.png", "values.png")


def report(source: "SearchJobs", folder: Path, fixed: Sequence[str], sampler: str) -> list[str]:
    """How a search stands, as lines; draws its pictures where they are not drawn yet.

    Args:
        folder: `outputs/<study>/search`.
        fixed: the overrides that all runs share.
    """
    name, space = source.trials.study.study_name, source.trials.space
    with storage_errors(source.storage):
        everything = source.trials.all()
        latest = list(latest_trials(everything).values())
    points = [_as_point(t) for t in latest]
    finished = [p for p in points if p.finished is not None]
    shares = importance([(p.finished, p.values) for p in points if p.finished is not None], space)
    best = _best_trial(latest, source.better)
    metric = _metric(name, best)
    counted = f"{len(latest)} point{'' if len(latest) == 1 else 's'} by {sampler}"
    lines = [f"search     {name}: {counted}, {_count_states(points)}{_count_set_aside(everything)}"]
    if source.exhausted:
        lines.append("           it stops here: every point of the space has been drawn")
    with_figure = sum(p.value is not None for p in points)
    lines += _best_lines(name, best, metric, source.better, fixed, with_figure)
    if shares:
        lines.append(f"importance {', '.join(f'{axis} {100 * share:.0f} %' for axis, share in shares.items())}")
    elif latest:
        lines.append(f"importance of the axes: not estimated from fewer than {MIN_POINTS} finished points")
    if source.finished or not (folder / PICTURES[0]).exists():
        save_png(history_plot(points, metric, source.better, name), folder / PICTURES[0])
        if shares:
            save_png(importance_plot(shares, len(finished), name), folder / PICTURES[1])
        axes = {axis.key: axis for axis in space.axes}
        by_name = {key: axes[key.partition("[")[0]] for key in [*shares, *(key for p in finished for key in p.values)]}
        if by_name:
            save_png(value_plots(points, by_name, metric, name), folder / PICTURES[2])
    drawn = [file for file in PICTURES if (folder / file).exists()]
    lines.append(f"pictures   {folder}/{{{','.join(drawn)}}}" if len(drawn) > 1 else f"pictures   {folder / drawn[0]}")
    return lines


def _as_point(trial: "FrozenTrial") -> TriedPoint:
    return TriedPoint(trial.value, "running" if trial.state.name == "RUNNING" else end_state(trial), trial.params)


def _best_trial(trials: Collection["FrozenTrial"], better: Literal["low", "high"]) -> "FrozenTrial | None":
    """The finished trial with the best objective, the first of equals."""
    sign = 1 if better == "low" else -1
    finished = [(sign * t.value, t.number, t) for t in trials if t.state.name == "COMPLETE" and t.value is not None]
    return min(finished)[2] if finished else None


def _best_lines(
    study: str, best: "FrozenTrial | None", metric: str, better: Literal["low", "high"], fixed: Sequence[str], of: int
) -> list[str]:
    if best is None:
        return ["best       none: no run has finished with a figure"]
    point: dict[str, str] = best.user_attrs["point"]
    chosen = [f"{key}={value}" for key, value in point.items()]
    words = without_bookkeeping(fixed)
    unseeded = [word for word in words if not word.startswith("seed=")]
    seeds = shlex.join([f"study={study}_best", *unseeded, *chosen, "seed=1,2,3,4,5"])
    return [
        f"best       {metric} {best.value:.4g} ({better} is better), run {best.user_attrs['run']}: {' '.join(chosen)}",
        f"           chosen as the best of {of}: expect a little worse on another seed, and on the test part",
        f"again      siamese-lab train {shlex.join([*words, *chosen])}",
        f"seeds      siamese-lab train -m {seeds}",
    ]


def _metric(study: str, best: "FrozenTrial | None") -> str:
    if best is not None:
        try:
            return read_history(outputs() / study / best.user_attrs["run"])["monitor"]
        except (LabError, KeyError):  # of a run on a machine that shares the database alone
            pass
    return "objective"


def _count_states(points: Collection[TriedPoint]) -> str:
    found = Counter(point.state for point in points)
    return ", ".join(f"{count} {state}" for state, count in found.most_common()) or "none begun"


def _count_set_aside(trials: Collection["FrozenTrial"]) -> str:
    repeats, unfit = (sum(why in t.user_attrs for t in trials) for why in ("repeats", "unfit"))
    repeated = f"; {repeats} more drawn again and answered at once" if repeats else ""
    return repeated + (f"; {unfit} that cannot run" if unfit else "")
