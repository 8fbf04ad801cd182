"""`search=tpe`, `random`, `cmaes`, `gp`: the jobs of a sweep are drawn, each by what is known of those before it.

outputs/<study>/search/trials.sqlite    the trials, shared by all processes that search
outputs/<study>/search/*.png            the pictures

Nothing but validation is looked at: a run's objective is its best headline figure there.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from siamese_lab.core.errors import LabError
from siamese_lab.core.paths import outputs
from siamese_lab.runs.finished_search import search_folder, write_finished_search
from siamese_lab.runs.job import Job
from siamese_lab.sweep.planning.plan_cache import valid_finished_search
from siamese_lab.sweep.search.axes import Options

if TYPE_CHECKING:
    from optuna import Study

    from siamese_lab.sweep.planning.plan import Plan
    from siamese_lab.sweep.search.job_source import SearchJobs
    from siamese_lab.sweep.search.space import Space

TO_RETRY = ("killed", "preempted", "failed", "oom", "timeout")
"""States of runs that another call tries again."""

CHECKED = 64  # combinations of options that are checked before the first job


@dataclass(frozen=True)
class Search:
    """How a search draws, how long it goes on, and where it keeps what it knows.

    Args:
        sampler: "tpe" (choices and numbers), "random", "cmaes" (numbers alone, two or more), "gp" (few numbers, few
            trials).
        trials: points that are tried, by all processes and calls together, at least 1. A killed run that is tried again
            is one point.
        storage: "sqlite" = a file in the study's folder; "journal" = the same for a folder on a network disk, which
            SQLite's locks may not be trusted on; or a database's URL without a password, e.g.
            postgresql+psycopg://user@host/name.
        startup: trials drawn at random before anything is learnt from them, at least 1.
        prune: what stops a run early by its validation curve: "median" (worse than half of the others were at that
            epoch), "hyperband" (not in the best third after 1, 3, 9, ... epochs), None = nothing.
        prune_after: epochs that every run gets, at least 0.
        retries: further attempts at a point whose run was killed or failed, at least 0.
        seed: of the drawing, at least 0; it has nothing to do with the runs' own.

    Raises:
        ValueError: if a value is out of its range.

    Examples:
        >>> from siamese_lab.sweep.search.search import Search
        >>> search = Search(sampler="tpe", trials=20, prune="median")
        >>> search.trials, search.startup, search.storage
        (20, 10, 'sqlite')
    """

    sampler: Literal["tpe", "random", "cmaes", "gp"] = "tpe"
    trials: int = 40
    storage: str = "sqlite"
    startup: int = 10
    prune: Literal["median", "hyperband"] | None = None
    prune_after: int = 2
    retries: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        from siamese_lab.sweep.search.storage import refuse_storage

        if self.sampler not in ("tpe", "random", "cmaes", "gp"):
            raise ValueError(f"sampler must be tpe, random, cmaes or gp, got {self.sampler!r}")
        if self.prune not in (None, "median", "hyperband"):
            raise ValueError(f"prune must be median, hyperband or null, got {self.prune!r}")
        for name, least in (("trials", 1), ("startup", 1), ("prune_after", 0), ("retries", 0), ("seed", 0)):
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} must be >= {least}, got {getattr(self, name)}")
        refuse_storage(self.storage)


def run(
    plan: "Plan",
    go: Callable[["SearchJobs"], dict[str, str]],
    check: Callable[[Sequence[tuple[Job, str]]], None],
    config_dirs: Sequence[Path],
    skip_unfit: bool = False,
) -> dict[str, str]:
    """Searches until all points are told; prints the best one, the points by state, the importance of each axis.

    Args:
        plan: of the study, with a `space` and the section `search`.
        go: runs the jobs of a source until it has no more; returns {run id: state}.
        check: refuses jobs that cannot run, before the first one is begun.
        config_dirs: folders with options of the user's own.
        skip_unfit: look past options that do not go together, instead of refusing the search.

    Returns:
        {run id: state} of all points of the search so far.

    Raises:
        LabError: if the space cannot be searched, if it is another one than that of the points so far, or if the
            storage fails.
    """
    from siamese_lab.sweep.planning.search_plan import point_job

    known = valid_finished_search(plan.study, plan.facts["key"])
    if known is not None:
        print("\n".join(known["lines"]))
        return dict(known["states"])
    from siamese_lab.sweep.search import samplers, storage
    from siamese_lab.sweep.search.job_source import SearchJobs
    from siamese_lab.sweep.search.report import report
    from siamese_lab.sweep.search.same_space import refuse_other
    from siamese_lab.sweep.search.trials import Trials, ended, points

    def point(values: dict[str, str]) -> tuple[Job, str]:
        return point_job(plan.study, plan.fixed, config_dirs, values)

    s = settings(plan.search)
    space = drawn_from(plan.space, config_dirs)
    samplers.refuse(s.sampler, space)
    folder = search_folder(plan.study)
    disk = storage.network_disk(outputs()) if s.storage == "sqlite" else None
    if disk:
        print(
            f"siamese-lab: {outputs()} is a network disk ({disk}), where SQLite may lose points: "
            "search.storage=journal is made for it"
        )
    study = storage.study(s.storage, folder, plan.study, direction(plan))
    with storage.told(s.storage):
        refuse_other(study, space, plan.fixed)
        study.pruner = samplers.pruner(s.prune, s.prune_after, s.startup)
        trials = Trials(study, space, s.sampler, s.seed, s.startup, s.trials, s.retries)
        source = SearchJobs(trials, point, better(study), s.prune is not None, s.storage)
        trials.reap()
        trials.again(TO_RETRY)
        more = source.more()
    if more:
        check_combinations(source, space, check, skip_unfit)
        plan.write()
        go(source)
    lines = report(source, folder, plan.fixed, s.sampler)
    print("\n".join(lines))
    with storage.told(s.storage):
        states = {
            t.user_attrs["run"]: ended(t)
            for t in points(trials.all()).values()
            if t.state.is_finished() and "run" in t.user_attrs
        }
        if trials.settled() and (source.exhausted or trials.left() <= 0):
            write_finished_search(plan.study, plan.facts["key"], lines, states)
    return states


def settings(section: Mapping[str, Any] | None) -> Search:
    """The section `search` of a config.

    Raises:
        LabError: if a value is out of its range.
    """
    try:
        return Search(**{key: value for key, value in (section or {}).items() if key != "_target_"})
    except (TypeError, ValueError) as error:
        raise LabError(f"search.{error}") from error


def drawn_from(overrides: dict[str, Any], config_dirs: Sequence[Path]) -> "Space":
    """The space of a command line's sweep overrides."""
    from siamese_lab.config.groups import folders, group_names, option_names
    from siamese_lab.core.paths import config_dir
    from siamese_lab.sweep.search.space import space

    dirs = folders(config_dir(), config_dirs)
    return space(overrides, {group: option_names(group, dirs) for group in group_names(dirs)})


def direction(plan: "Plan") -> Literal["low", "high"] | None:
    """Which way the headline figure of the first protocol is better; None of a plan that was not composed since its
    study stands.
    """
    from siamese_lab.config.instantiate import TARGET
    from siamese_lab.config.targets import resolve_target

    if plan.cfg is None:
        return None
    section = next(iter(plan.cfg.protocol.values()))
    found: Literal["low", "high"] = resolve_target(section[TARGET]).better  # type: ignore[attr-defined]
    return found


def better(study: "Study") -> Literal["low", "high"]:
    """Which way a study's objective is better."""
    return "low" if study.direction.name == "MINIMIZE" else "high"


def check_combinations(
    source: "SearchJobs", space: "Space", check: Callable[[Sequence[tuple[Job, str]]], None], skip_unfit: bool
) -> None:
    """Looks at each combination of options before the first job, where they are not too many.

    Raises:
        LabError: that names those that do not go together, or that `check` refuses.
    """
    group_names = [axis for axis in space.axes if isinstance(axis, Options) and axis.key in space.groups]
    if math.prod(len(axis.names) for axis in group_names) > CHECKED:
        return
    misfits, probes = [], []
    for names in product(*(axis.names for axis in group_names)):
        chosen = {axis.key: name for axis, name in zip(group_names, names, strict=True)}
        try:
            probes.append(source.probe(chosen))
        except LabError as error:
            misfits.append(f"{' '.join(f'{key}={name}' for key, name in chosen.items())}: {error}")
    if misfits and not skip_unfit:
        raise LabError("\n".join(misfits))
    if source.trials.all():  # they went through the check when the search was begun
        return
    check(probes)
