"""`siamese-lab train -m`, or of a study file: runs all jobs of a study that are not finished, and says how each ended."""

import sys
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from signal import SIGINT
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live

from siamese_lab.errors import INTERRUPTED, LabError
from siamese_lab.limits import duration
from siamese_lab.provenance import code_hash
from siamese_lab.record import EXIT_CODES
from siamese_lab.runs import outputs
from siamese_lab.sweep import server, table
from siamese_lab.sweep.job import Job
from siamese_lab.sweep.launched import launched
from siamese_lab.sweep.launching import Launcher
from siamese_lab.sweep.outcome import refused
from siamese_lab.sweep.plan_record import Plan
from siamese_lab.sweep.planning import planned, refuse_over_budget
from siamese_lab.sweep.source import Listed, Source
from siamese_lab.sweep.stop import Stop
from siamese_lab.sweep.study import Study

if TYPE_CHECKING:
    from siamese_lab.sweep import schedule


def command(
    words: list[str], config_dirs: Sequence[Path], zips: Sequence[str], cases: Sequence[str], skip_unfit: bool = False, force: bool = False
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
    plan = planned(words, config_dirs, zips, cases, skip_unfit, anew=server.forked)
    for note in plan.notes:
        print(f"siamese-lab: {note}", file=sys.stderr)
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
    limit = duration(plan.budget.get("time"))
    return run_jobs(console, plan.study, plan.jobs, launched(plan.launcher), None if limit is None else limit.total_seconds())


def refuse_mixed_code(study: str, force: bool) -> None:
    """Sees to it that the runs of a study are of one code.

    Raises:
        LabError: if finished runs have another code hash than this package, unless forced.
    """
    if force or not (outputs() / study / "study.json").exists():
        return
    now, others = code_hash(), dict[str, int]()
    for job in Study.read(study).jobs:
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


def run_jobs(console: Console, study: str, jobs: Sequence[Job], launcher: Launcher, seconds: float | None = None) -> int:
    """Checks and runs jobs whose configs are written, and prints how they ended; returns the exit code.

    Args:
        console: to print to.
        study: its name.
        jobs: in the order in which they are started.
        launcher: where they run.
        seconds: after which no further one is started; None = no such time.
    """
    from siamese_lab.sweep.trial_run import check_all

    rows = [table.row(job) for job in jobs]
    todo = [row for row in rows if row.state != "ok" and refused(row.job, launcher.retries) is None]
    if new := [row.job for row in todo if row.state == "queued"]:
        began = time.monotonic()
        number = check_all([(job, job.file("yaml").read_text(encoding="utf-8")) for job in new], max(1, launcher.slots))
        console.print(f"Study {study}: {number} combinations checked in {time.monotonic() - began:.0f} s, each can run")
    console.print(f"Study {study}: {len(jobs)} runs, {len(jobs) - len(todo)} of them ended, {launcher.slots} at once")
    _, stop = watched(console, Listed(jobs), launcher, seconds)
    return _ended(console, study, jobs, stop.signals)


def watched(console: Console, source: Source, launcher: Launcher, seconds: float | None = None) -> tuple[dict[str, str], Stop]:
    """Runs the jobs of a source and shows them meanwhile; returns {run id: state}, and what the user asked for.

    Args:
        console: gets a table that lives where it is a terminal, else a line for each job's beginning and end.
        source: of jobs.
        launcher: where they run.
        seconds: after which no further one is started; None = no such time.
    """
    from siamese_lab.sweep import schedule

    stop = Stop(seconds)
    live = Live(console=console, auto_refresh=False, transient=True) if sys.stdout.isatty() else None
    looked = [0.0]
    ended: list[str] = []

    def said(job: Job, state: str, reason: str) -> None:
        if state not in ("running", "lost"):
            ended.append(state)
        if live is None or state != "running":
            console.print(f"{state:<10} {job.name}" + (f": {reason}" if reason else ""), markup=False)

    def tick(running: "list[schedule.Running]") -> None:
        if live is not None and time.monotonic() - looked[0] > 1:
            looked[0] = time.monotonic()
            title = f"{table.counts([*ended, *['running'] * len(running)])}"
            live.update(table.table(title, [table.row(one.job) for one in running]), refresh=True)

    with stop.listening():
        if live is not None:
            live.start()
        try:
            states = schedule.run(source, launcher, stop, said, tick)
        finally:
            if live is not None:
                live.stop()
    if stop.words:
        print(f"siamese-lab: {stop.words}", file=sys.stderr)
    return states, stop


def _search(console: Console, plan: Plan, config_dirs: Sequence[Path], skip_unfit: bool) -> int:
    from siamese_lab.sweep import search

    stopped: list[int] = []
    launcher: list[Launcher] = []  # made once, and not at all by a search that is finished

    def where() -> Launcher:
        launcher[:] = launcher or [launched(plan.launcher)]
        return launcher[0]

    def check(jobs: Sequence[tuple[Job, str]]) -> None:
        from siamese_lab.sweep.trial_run import check_all

        check_all(jobs, max(1, where().slots))

    def go(source: Source) -> dict[str, str]:
        states, stop = watched(console, source, where())
        stopped.extend(stop.signals)
        return states

    states = search.run(plan, go, check, config_dirs, skip_unfit)
    jobs = [job for job in Study.read(plan.study).jobs if job.run_id in states]
    return _ended(console, plan.study, jobs, stopped, fine=("ok", "pruned", "diverged"))


def _ended(console: Console, study: str, jobs: Sequence[Job], signals: Sequence[int], fine: Collection[str] = ("ok", "pruned")) -> int:
    """Prints how the jobs ended; returns the exit code, 0 if all are in a state that is `fine`: a search learns from one that diverged."""
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
