"""Runs the jobs of a study and shows how each ended."""

import logging
import sys
import time
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
from siamese_lab.sweep.execution import table
from siamese_lab.sweep.execution.job_source import Listed, Source
from siamese_lab.sweep.execution.launcher import Launcher
from siamese_lab.sweep.execution.outcome import refused
from siamese_lab.sweep.execution.stop import Stop

log = logging.getLogger(__name__)


def refuse_mixed_code(study: str, force: bool) -> None:
    """Sees to it that the runs of a study are of one code.

    Raises:
        LabError: if finished runs have another code hash than this package, unless forced.
    """
    if force or not is_study(outputs() / study):
        return
    now, others = code_hash(), dict[str, int]()
    for job in read_study(study).jobs:
        with suppress(LabError):
            info = job.folder.info()
            if info["state"] == "ok" and info.get("code") != now:
                others[str(info.get("code"))] = others.get(str(info.get("code")), 0) + 1
    if others:
        named = ", ".join(f"{count} by {code}" for code, count in others.items())
        raise LabError(
            f"finished runs of the study {study} were made by other code ({named}; this is {now}): --force mixes them, "
            "study=NAME begins a new study"
        )


def run_jobs(
    console: Console, study: str, jobs: Sequence[Job], launcher: Launcher, seconds: float | None = None
) -> int:
    """Checks and runs jobs whose configs are written, and prints how they ended; returns the exit code.

    Args:
        console: to print to.
        study: its name.
        jobs: in the order in which they are started.
        launcher: where they run.
        seconds: after which no further one is started; None = no such time.
    """
    from siamese_lab.sweep.execution.precheck import check_all

    rows = [table.row(job) for job in jobs]
    todo = [row for row in rows if row.state != "ok" and refused(row.job, launcher.retries) is None]
    if new := [row.job for row in todo if row.state == "queued"]:
        began = time.monotonic()
        number = check_all([(job, job.config_text()) for job in new], max(1, launcher.slots))
        console.print(f"Study {study}: {number} combinations checked in {time.monotonic() - began:.0f} s, each can run")
    console.print(f"Study {study}: {len(jobs)} runs, {len(jobs) - len(todo)} of them ended, {launcher.slots} at once")
    _, stop = watched(console, Listed(jobs), launcher, seconds)
    return _ended(console, study, jobs, stop.signals)


def watched(
    console: Console, source: Source, launcher: Launcher, seconds: float | None = None
) -> tuple[dict[str, str], Stop]:
    """Runs the jobs of a source and shows them meanwhile; returns {run id: state}, and what the user asked for.

    Args:
        console: gets a table that lives where it is a terminal, else a line for each job's beginning and end.
        source: of jobs.
        launcher: where they run.
        seconds: after which no further one is started; None = no such time.
    """
    from siamese_lab.sweep.execution import scheduler

    stop = Stop(seconds)
    live = Live(console=console, auto_refresh=False, transient=True) if sys.stdout.isatty() else None
    looked = [0.0]
    ended: list[str] = []

    def said(job: Job, state: str, reason: str) -> None:
        if state not in ("running", "lost"):
            ended.append(state)
        if live is None or state != "running":
            console.print(f"{state:<10} {job.name}" + (f": {reason}" if reason else ""), markup=False)

    def tick(running: "list[scheduler.Running]") -> None:
        if live is not None and time.monotonic() - looked[0] > 1:
            looked[0] = time.monotonic()
            title = f"{table.counts([*ended, *['running'] * len(running)])}"
            live.update(table.table(title, [table.row(one.job) for one in running]), refresh=True)

    with stop.listening():
        if live is not None:
            live.start()
        try:
            states = scheduler.run(source, launcher, stop, said, tick)
        finally:
            if live is not None:
                live.stop()
    if stop.words:
        log.warning(stop.words)
    return states, stop


def _ended(
    console: Console, study: str, jobs: Sequence[Job], signals: Sequence[int], fine: Collection[str] = ("ok", "pruned")
) -> int:
    """Prints how the jobs ended; returns the exit code, 0 if all are in a state that is `fine`: a search learns from
    one that diverged.
    """
    rows = [table.row(job) for job in jobs]
    console.print()
    console.print(table.table(f"Study {study}", rows))
    console.print(f"\n{table.counts([row.state for row in rows])}")
    good = all(row.state in fine for row in rows)
    _next(console, study, again=not good)
    if signals:
        return INTERRUPTED if signals[0] == SIGINT else EXIT_CODES["preempted"]
    return 0 if good else 1


def _next(console: Console, study: str, again: bool = False) -> None:
    console.print("\nnext")
    if again:
        console.print(f"  the same command again goes on; what failed for good: siamese-lab rerun {study}")
    console.print(f"  siamese-lab compare {study}\n  siamese-lab board {study}")
