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
from siamese_lab.sweep.execution import forkserver
from siamese_lab.sweep.execution.job_source import JobSource
from siamese_lab.sweep.execution.launcher import Launcher, build_launcher
from siamese_lab.sweep.execution.precheck import check_jobs
from siamese_lab.sweep.execution.run import print_next_steps, print_outcome, refuse_mixed_code, run_and_show, run_jobs
from siamese_lab.sweep.execution.table import read_row, sweep_console
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
    console = sweep_console()
    os.environ[TARGETS_VARIABLE] = ",".join(named_targets(words, config_dirs))
    plan = plan_study(words, config_dirs, zips, cases, skip_unfit, execute=forkserver.run_forked)
    for note in plan.notes:
        log.info(note)
    if "search" in plan.facts:
        refuse_mixed_code(plan.study, force)
        return _search(console, plan, config_dirs, skip_unfit)
    rows = [read_row(job) for job in plan.jobs]
    if all(row.state == "ok" for row in rows):
        console.print(f"The study {plan.study} is finished: {len(rows)} runs.")
        print_next_steps(console, plan.study)
        return 0
    refuse_mixed_code(plan.study, force)
    refuse_over_budget(plan)
    plan.write()
    limit = duration(plan.facts.get("budget", {}).get("time"), "budget.time")
    seconds = None if limit is None else limit.total_seconds()
    return run_jobs(console, plan.study, plan.jobs, build_launcher(plan.launcher), seconds)


def _search(console: Console, plan: Plan, config_dirs: Sequence[Path], skip_unfit: bool) -> int:
    from siamese_lab.sweep.search.search import run_search

    stopped: list[int] = []

    @cache  # built once, and not at all by a search that is finished
    def launcher() -> Launcher:
        return build_launcher(plan.launcher)

    def check(jobs: Sequence[tuple[Job, str]]) -> None:
        check_jobs(jobs, max(1, launcher().slots))

    def go(source: JobSource) -> dict[str, str]:
        states, stop = run_and_show(console, source, launcher())
        stopped.extend(stop.signals)
        return states

    states = run_search(plan, go, check, config_dirs, skip_unfit)
    jobs = [job for job in read_study(plan.study).jobs if job.run_id in states]
    return print_outcome(console, plan.study, jobs, stopped, fine=("ok", "pruned", "diverged"))
