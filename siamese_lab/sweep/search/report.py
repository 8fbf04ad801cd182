"""What a search prints in the end, and the pictures it draws."""

import shlex
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from siamese_lab.core.errors import LabError
from siamese_lab.core.paths import outputs
from siamese_lab.plots._style import save_png
from siamese_lab.runs.history import read_history
from siamese_lab.sweep.search.importance import ENOUGH, importance
from siamese_lab.sweep.search.plots import Tried, history_plot, importance_plot, value_plots
from siamese_lab.sweep.search.space import Space
from siamese_lab.sweep.search.storage import told
from siamese_lab.sweep.search.trials import ended, points

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from siamese_lab.sweep.search.job_source import SearchJobs


FINISHED = ("ok", "timeout")
PICTURES = ("history.png", "importance.png", "values.png")


def report(source: "SearchJobs", folder: Path, fixed: Sequence[str], sampler: str) -> list[str]:
    """How a search stands, in words; draws its pictures where they are not drawn yet.

    Args:
        source: of the jobs.
        folder: `outputs/<study>/search`.
        fixed: the overrides that all runs share.
        sampler: its name.
    """
    study, space = source.trials.study, source.trials.space
    with told(source.storage):
        everything = source.trials.all()
        latest = list(points(everything).values())
    tried = [one(t) for t in latest]
    shares = importance([(t.value, t.values) for t in tried if t.value is not None and t.state in FINISHED], space)
    best = best_of(latest, source.better)
    metric = _metric(study.study_name, best)
    lines = [
        f"search     {study.study_name}: {_counted(len(latest), 'point')} by {sampler}, "
        f"{_states(latest)}{_aside(everything)}"
    ]
    if source.exhausted:
        lines.append("           it stops here: every point of the space has been drawn")
    lines += _best(study.study_name, best, metric, source.better, fixed, len([t for t in tried if t.value is not None]))
    if shares:
        lines.append(f"importance {', '.join(f'{name} {100 * share:.0f} %' for name, share in shares.items())}")
    elif latest:
        lines.append(f"importance of the axes: not estimated from fewer than {ENOUGH} finished points")
    if source.new or not (folder / PICTURES[0]).exists():
        draw(folder, tried, shares, space, metric, source.better, study.study_name)
    drawn = [name for name in PICTURES if (folder / name).exists()]
    lines.append(f"pictures   {folder}/{{{','.join(drawn)}}}" if len(drawn) > 1 else f"pictures   {folder / drawn[0]}")
    return lines


def one(trial: "FrozenTrial") -> Tried:
    """A trial as it is drawn."""
    state = trial.state.name
    return Tried(trial.value, "running" if state == "RUNNING" else ended(trial), trial.params)


def best_of(trials: Collection["FrozenTrial"], better: Literal["low", "high"]) -> "FrozenTrial | None":
    """The finished trial with the best objective, the first of equals."""
    sign = 1 if better == "low" else -1
    finished = [(sign * t.value, t.number, t) for t in trials if t.state.name == "COMPLETE" and t.value is not None]
    return min(finished)[2] if finished else None


def draw(
    folder: Path,
    tried: Sequence[Tried],
    shares: Mapping[str, float],
    space: Space,
    metric: str,
    better: Literal["low", "high"],
    title: str,
) -> None:
    """Writes the pictures that there are points for."""
    save_png(history_plot(tried, metric, better, title), folder / PICTURES[0])
    finished = [t for t in tried if t.value is not None and t.state in FINISHED]
    if shares:
        save_png(importance_plot(shares, len(finished), title), folder / PICTURES[1])
    names = dict.fromkeys([*shares, *(name for t in finished for name in t.values)])
    axes = {axis.key: axis for axis in space.axes}
    if names:
        by_name = {name: axes[name.partition("[")[0]] for name in names}
        save_png(value_plots(tried, by_name, metric, title), folder / PICTURES[2])


def _best(
    study: str, best: "FrozenTrial | None", metric: str, better: Literal["low", "high"], fixed: Sequence[str], of: int
) -> list[str]:
    if best is None:
        return ["best       none: no run has finished with a figure"]
    point: dict[str, str] = best.user_attrs["point"]
    chosen = [f"{key}={value}" for key, value in point.items()]
    words = [
        word for word in fixed if word.partition("=")[0].split(".")[0] not in ("search", "launcher", "study", "name")
    ]
    command = shlex.join([*words, *chosen])
    seeds = shlex.join(
        [f"study={study}_best", *(w for w in words if not w.startswith("seed=")), *chosen, "seed=1,2,3,4,5"]
    )
    return [
        f"best       {metric} {best.value:.4g} ({better} is better), run {best.user_attrs['run']}: {' '.join(chosen)}",
        f"           chosen as the best of {of}: expect a little worse on another seed, and on the test part",
        f"again      siamese-lab train {command}",
        f"seeds      siamese-lab train -m {seeds}",
    ]


def _metric(study: str, best: "FrozenTrial | None") -> str:
    if best is not None:
        try:
            return str(read_history(outputs() / study / best.user_attrs["run"])["monitor"])
        except (LabError, KeyError):  # of a run on a machine that shares the database alone
            pass
    return "objective"


def _states(trials: Collection["FrozenTrial"]) -> str:
    found: Any = Counter("running" if t.state.name == "RUNNING" else ended(t) for t in trials)
    return ", ".join(f"{count} {state}" for state, count in found.most_common()) or "none begun"


def _aside(trials: Collection["FrozenTrial"]) -> str:
    repeats, unfit = (sum(why in t.user_attrs for t in trials) for why in ("repeats", "unfit"))
    said = f"; {_counted(repeats, 'more')} drawn again and answered at once" if repeats else ""
    return said + (f"; {unfit} that cannot run" if unfit else "")


def _counted(count: int, name: str) -> str:
    return f"{count} {name}" if count == 1 or name == "more" else f"{count} {name}s"
