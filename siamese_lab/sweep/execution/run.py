"""Runs the jobs of a study and shows how each ended."""

import logging
import sys
import time
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from signal import SIGINT

from rich.console import Console
from rich.live import Live

from siamese_lab.core.errors import INTERRUPTED, LabError
from siamese_lab.core.paths import outputs
from siamese_lab.runs.job import Job
from siamese_lab.runs.listing import is_study
from siamese_lab.runs.provenance import code_hash
from siamese_lab.runs.states import EXIT_CODES
from siamese_lab.runs.study import read_study
from siamese_lab.sweep.execution.job_source import JobList, JobSource
from siamese_lab.sweep.execution.launcher import Launcher
from siamese_lab.sweep.execution.outcome import why_not_retried
from siamese_lab.sweep.execution.precheck import check_jobs
from siamese_lab.sweep.execution.scheduler import Running, schedule
from siamese_lab.sweep.execution.stop import Stop
from siamese_lab.sweep.execution.table import count_states, read_row, study_table

log = logging.getLogger(__name__)


def refuse_mixed_code(study: str, force: bool) -> None:
    """Makes sure that the runs of a study are of one code.

    Raises:
        LabError: if finished runs have another code hash than this package, unless forced.
    """
    if force or not is_study(outputs() / study):
        return
    current, others = code_hash(), Counter[str]()
    for job in read_study(study).jobs:
        with suppress(LabError):
            info = job.folder.info()
            if info["state"] == "ok" and info.get("code") != current:
                others[str(info.get("code"))] += 1
    if others:
        listed = ", ".join(f"{count} by {code}" for code, count in others.items())
        raise LabError(
            f"finished runs of the study {study} were made by other code ({listed}; this is {current}): --force mixes "
            "them, study=NAME begins a new study"
        )


def run_jobs(
    console: Console, study: str, jobs: Sequence[Job], launcher: Launcher, seconds: float | None = None
) -> int:
    """Checks and runs jobs whose configs are written, and prints how they ended; returns the exit code.

    Args:
        jobs: in the order in which they are started.
        seconds: after which no further one is started; None = no such time.
    """
    rows = [read_row(job) for job in jobs]
    todo = [row for row in rows if row.state != "ok" and why_not_retried(row.job, launcher.retries) is None]
    if new := [row.job for row in todo if row.state == "queued"]:
        began = time.monotonic()
        number = check_jobs([(job, job.config_text()) for job in new], max(1, launcher.slots))
        console.print(f"Study {study}: {number} combinations checked in {time.monotonic() - began:.0f} s, each can run")
    console.print(f"Study {study}: {len(jobs)} runs, {len(jobs) - len(todo)} of them ended, {launcher.slots} at once")
    _, stop = run_and_show(console, JobList(jobs), launcher, seconds)
    return print_outcome(console, study, jobs, stop.signals)


def run_and_show(
    console: Console, source: JobSource, launcher: Launcher, seconds: float | None = None
) -> tuple[dict[str, str], Stop]:
    """Runs the jobs of a source and shows them meanwhile; returns {run id: state}, and what was asked of the sweep.

    Args:
        console: gets a live table where it is a terminal, else a line for each job's beginning and end.
        seconds: after which no further one is started; None = no such time.
    """
    stop = Stop(seconds)
    live = Live(console=console, auto_refresh=False, transient=True) if sys.stdout.isatty() else None
    refreshed = 0.0
    ended: list[str] = []

    def on_change(job: Job, state: str, reason: str) -> None:
        if state not in ("running", "lost"):
            ended.append(state)
        if live is None or state != "running":
            console.print(f"{state:<10} {job.name}" + (f": {reason}" if reason else ""), markup=False)

    def on_tick(running: list[Running]) -> None:
        nonlocal refreshed
        if live is not None and time.monotonic() - refreshed > 1:
            refreshed = time.monotonic()
            title = count_states([*ended, *["running"] * len(running)])
            live.update(study_table(title, [read_row(one.job) for one in running]), refresh=True)

    with stop.catch_signals():
        if live is not None:
            live.start()
        try:
            states = schedule(source, launcher, stop, on_change, on_tick)
        finally:
            if live is not None:
                live.stop()
    if stop.reason:
        log.warning(stop.reason)
    return states, stop


def print_outcome(
    console: Console, study: str, jobs: Sequence[Job], signals: Sequence[int], fine: Collection[str] = ("ok", "pruned")
) -> int:
    """Prints how the jobs ended; returns the exit code, 0 if all of them are in a state that is `fine`."""
    rows = [read_row(job) for job in jobs]
    console.print()
    console.print(study_table(f"Study {study}", rows))
    console.print(f"\n{count_states([row.state for row in rows])}")
    good = all(row.state in fine for row in rows)
    print_next_steps(console, study, again=not good)
    if signals:
        return INTERRUPTED if signals[0] == SIGINT else EXIT_CODES["preempted"]
    return 0 if good else 1


def print_next_steps(console: Console, study: str, again: bool = False) -> None:
    """Prints the commands that come next; with `again`, how to go on with what is not finished."""
    console.print("\nnext")
    if again:
        console.print(f"  the same command again goes on; what failed for good: siamese-lab rerun {study}")
    console.print(f"  siamese-lab compare {study}\n  siamese-lab board {study}")
