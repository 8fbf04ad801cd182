"""`siamese-lab train -m`, or of a study file: runs all unfinished jobs of a study and says how each ended."""

import logging
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from rich.console import Console

from siamese_lab.config.ranges import duration
from siamese_lab.config.trust import TARGETS_VARIABLE, named_targets
from siamese_lab.runs.job import Job
from siamese_lab.runs.study import read_study
from siamese_lab.sweep.execution import forkserver, table
from siamese_lab.sweep.execution.build_launcher import build_launcher
from siamese_lab.sweep.execution.job_source import Source
from siamese_lab.sweep.execution.launcher import Launcher
from siamese_lab.sweep.execution.run import _ended, _next, refuse_mixed_code, run_jobs, watched
from siamese_lab.sweep.planning.plan import Plan
from siamese_lab.sweep.planning.planner import plan_study, refuse_over_budget

log = logging.getLogger(__name__)


def command(
    words: list[str],
    config_dirs: Sequence[Path],
    zips: Sequence[str],
    cases: Sequence[str],
    skip_unfit: bool = False,
    force: bool = False,
) -> int:
    """Runs a sweep; given again, it skips what is finished, goes on with what was stopped, and tries again what failed.

    Args:
        words: overrides, with several values for the axes.
        config_dirs: folders with more options.
        zips: axes that go together, "key,key".
        cases: points of a list, "key=value key=value".
        skip_unfit: leave out combinations that cannot work.
        force: go on in spite of finished runs of other code.

    Returns:
        0 if all jobs are finished, 1 if some are not, 130 or 75 after a signal.
    """
    console = table.console()
    os.environ[TARGETS_VARIABLE] = ",".join(named_targets(words, config_dirs))
    plan = plan_study(words, config_dirs, zips, cases, skip_unfit, execute=forkserver.forked)
    for note in plan.notes:
        log.info(note)
    if plan.search is not None:
        refuse_mixed_code(plan.study, force)
        return _search(console, plan, config_dirs, skip_unfit)
    rows = [table.row(job) for job in plan.jobs]
    if all(row.state == "ok" for row in rows):
        console.print(f"The study {plan.study} is finished: {len(rows)} runs.")
        _next(console, plan.study)
        return 0
    refuse_mixed_code(plan.study, force)
    refuse_over_budget(plan)
    plan.write()
    limit = duration(plan.budget.get("time"), "budget.time")
    seconds = None if limit is None else limit.total_seconds()
    return run_jobs(console, plan.study, plan.jobs, build_launcher(plan.launcher), seconds)


def _search(console: Console, plan: Plan, config_dirs: Sequence[Path], skip_unfit: bool) -> int:
    from siamese_lab.sweep.search import search

    stopped: list[int] = []

    @cache  # built once, and not at all by a search that is finished
    def launcher() -> Launcher:
        return build_launcher(plan.launcher)

    def check(jobs: Sequence[tuple[Job, str]]) -> None:
        from siamese_lab.sweep.execution.precheck import check_all

        check_all(jobs, max(1, launcher().slots))

    def go(source: Source) -> dict[str, str]:
        states, stop = watched(console, source, launcher())
        stopped.extend(stop.signals)
        return states

    states = search.run(plan, go, check, config_dirs, skip_unfit)
    jobs = [job for job in read_study(plan.study).jobs if job.run_id in states]
    return _ended(console, plan.study, jobs, stopped, fine=("ok", "pruned", "diverged"))
