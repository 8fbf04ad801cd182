"""`search=tpe`, `random`, `cmaes`, `gp`: the jobs of a sweep are drawn, each by what is known of those before it.

outputs/<study>/search/trials.sqlite    the trials, shared by all processes that search
outputs/<study>/search/*.png            the pictures

Only validation is looked at: a run's objective is its best headline figure there.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from siamese_lab.core.checks import require_at_least, require_choice
from siamese_lab.core.errors import LabError
from siamese_lab.core.paths import outputs
from siamese_lab.runs.finished_search import search_folder, write_finished_search
from siamese_lab.runs.job import Job, describe_point
from siamese_lab.sweep.planning.plan_cache import valid_finished_search
from siamese_lab.sweep.planning.search_plan import point_job
from siamese_lab.sweep.planning.study_name import all_options
from siamese_lab.sweep.search.axes import Choices
from siamese_lab.sweep.search.storage import refuse_storage

if TYPE_CHECKING:
    from siamese_lab.sweep.planning.plan import Plan
    from siamese_lab.sweep.search.job_source import SearchJobs
    from siamese_lab.sweep.search.space import Space

log = logging.getLogger(__name__)

TO_RETRY = ("killed", "preempted", "failed", "oom", "timeout")
"""States of runs that another call tries again."""

MAX_CHECKED = 64  # combinations of options that are checked before the first job


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
        require_choice("sampler", self.sampler, ("tpe", "random", "cmaes", "gp"))
        if self.prune is not None:
            require_choice("prune", self.prune, ("median", "hyperband"), "null = nothing is pruned")
        require_at_least("trials", self.trials, 1, "it counts points")
        require_at_least("startup", self.startup, 1, "it counts random points")
        require_at_least("prune_after", self.prune_after, 0, "it counts epochs")
        require_at_least("retries", self.retries, 0, "it counts further attempts at a point")
        require_at_least("seed", self.seed, 0, "a whole number")
        refuse_storage(self.storage)


def run_search(
    plan: "Plan",
    go: Callable[["SearchJobs"], dict[str, str]],
    check: Callable[[Sequence[tuple[Job, str]]], None],
    config_dirs: Sequence[Path],
    skip_unfit: bool = False,
) -> dict[str, str]:
    """Searches until all points have ended; prints the best one, the points by state, the importance of each axis.

    Args:
        plan: of the study, with a `space`.
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
    finished = valid_finished_search(plan.study, plan.facts["key"])
    if finished is not None:
        print("\n".join(finished["lines"]))
        return dict(finished["states"])
    # here: Optuna, Hydra and matplotlib take seconds to import, and a finished search needs none of them
    from siamese_lab.sweep.search import samplers, storage
    from siamese_lab.sweep.search.job_source import SearchJobs
    from siamese_lab.sweep.search.report import report
    from siamese_lab.sweep.search.space import build_space, refuse_other_space
    from siamese_lab.sweep.search.trials import Trials, end_state, latest_trials

    def point(values: dict[str, str]) -> tuple[Job, str]:
        return point_job(plan.study, plan.facts["fixed"], config_dirs, values)

    s = read_settings(plan.facts.get("search"))
    space = build_space(plan.space, all_options(config_dirs))
    samplers.refuse_space(s.sampler, space)
    disk = storage.network_disk(outputs()) if s.storage == "sqlite" else None
    if disk:
        hint = "search.storage=journal is made for it"
        log.warning("%s is a network disk (%s), where SQLite may lose points: %s", outputs(), disk, hint)
    folder = search_folder(plan.study)
    study = storage.open_study(s.storage, folder, plan.study, headline_direction(plan))
    better: Literal["low", "high"] = "low" if study.direction.name == "MINIMIZE" else "high"
    with storage.storage_errors(s.storage):
        refuse_other_space(study, space, plan.facts["fixed"])
        study.pruner = samplers.build_pruner(s.prune, s.prune_after, s.startup)
        trials = Trials(study, space, s.sampler, s.seed, s.startup, s.trials, s.retries)
        source = SearchJobs(trials, point, better, s.prune is not None, s.storage)
        trials.end_lost()
        trials.retry(TO_RETRY)
        more = source.has_more()
    if more:
        _check_combinations(source, space, check, skip_unfit)
        plan.write()
        go(source)
    lines = report(source, folder, plan.facts["fixed"], s.sampler)
    print("\n".join(lines))
    with storage.storage_errors(s.storage):
        ended = [t for t in latest_trials(trials.all()).values() if t.state.is_finished() and "run" in t.user_attrs]
        states = {t.user_attrs["run"]: end_state(t) for t in ended}
        if trials.is_settled() and (source.exhausted or trials.points_left() <= 0):
            write_finished_search(plan.study, plan.facts["key"], lines, states)
    return states


def read_settings(section: Mapping[str, Any] | None) -> Search:
    """The section `search` of a config.

    Raises:
        LabError: if a value is out of its range.
    """
    try:
        return Search(**{key: value for key, value in (section or {}).items() if key != "_target_"})
    except (TypeError, ValueError) as error:
        raise LabError(f"search.{error}") from error


def headline_direction(plan: "Plan") -> Literal["low", "high"] | None:
    """Which way the headline figure of the first protocol is better; None of a plan that was reused."""
    # here: a search that is finished needs no Hydra
    from siamese_lab.config.instantiate import TARGET
    from siamese_lab.config.targets import resolve_target

    if plan.cfg is None:
        return None
    section = next(iter(plan.cfg.protocol.values()))
    found: Literal["low", "high"] = resolve_target(section[TARGET]).better  # type: ignore[attr-defined] # a protocol's
    return found


def _check_combinations(
    source: "SearchJobs", space: "Space", check: Callable[[Sequence[tuple[Job, str]]], None], skip_unfit: bool
) -> None:
    """Checks each combination of options before the first job, where there are not too many.

    Raises:
        LabError: that names those that do not go together, or that `check` refuses.
    """
    groups = {axis.key: axis.names for axis in space.axes if isinstance(axis, Choices) and axis.key in space.groups}
    if math.prod(map(len, groups.values())) > MAX_CHECKED:
        return
    misfits, probes = [], []
    for names in product(*groups.values()):
        chosen = dict(zip(groups, names, strict=True))
        try:
            probes.append(source.probe(chosen))
        except LabError as error:
            misfits.append(f"{describe_point(chosen)}: {error}")
    if misfits and not skip_unfit:
        raise LabError("\n".join(misfits))
    if not source.trials.all():  # else they were checked when the search was begun
        check(probes)
