"""A study as a table: each job with its state, its progress, its best validation figure, and why it ended as it did."""

import os
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from siamese_lab.core.errors import LabError
from siamese_lab.core.text import format_value, printable
from siamese_lab.runs.history import best_entry, read_history
from siamese_lab.runs.job import Job
from siamese_lab.runs.states import EXIT_CODES

LONG = 60  # jobs above which a table leaves out most of those that went well
COLOURS = {"ok": "green", "running": "cyan", "queued": "bright_black", "pruned": "bright_black", "preempted": "yellow"}
WIDE = 160  # columns where no terminal says how many it has


def sweep_console() -> Console:
    """Where tables are printed; a file or a pipe gets lines of their full length, as far as that is of use."""
    sized = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, soft_wrap=not sys.stdout.isatty(), width=None if sized else WIDE)


@dataclass(frozen=True)
class Row:
    """What is known of a job.

    Args:
        state: "queued", "running", or one of `runs.states.EXIT_CODES`.
        epoch: validated so far, and `epochs` planned; 0 where unknown.
        figure: the best on validation so far; None where there is none.
        seconds: taken, or since it began.
        reason: why it ended as it did.
    """

    job: Job
    state: str
    epoch: int = 0
    epochs: int = 0
    figure: float | None = None
    seconds: float | None = None
    reason: str = ""


def read_row(job: Job) -> Row:
    """Reads a job's files; those that a kill has left half-written tell nothing."""
    try:
        state = job.state()
        attempts = job.attempts()
    except LabError as error:
        return Row(job, "killed", reason=str(error))
    seconds, started, reason = None, None, ""
    with suppress(LabError):
        info = job.folder.info()
        seconds, started, reason = info.get("seconds"), info["started"], info.get("reason") or ""
    if state == "running" and started is not None:
        since = (attempts[-1]["started"] if attempts else None) or started
        seconds = (datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds()
    reason = (attempts[-1].get("reason") if attempts else "") or reason
    epoch, epochs, figure = _progress(job)
    return Row(job, state, epoch, epochs, figure, seconds, "" if state in ("ok", "running", "queued") else reason)


def _progress(job: Job) -> tuple[int, int, float | None]:
    """The epochs validated, the epochs planned, the best figure on validation; 0 and None where unknown."""
    try:
        history = read_history(job.folder.path)
        best, entries = best_entry(history), history["entries"]
        epoch = int(entries[-1]["epoch"]) + 1 if entries else 0
        return epoch, int(history.get("max_epochs", 0)), None if best is None else float(best[history["monitor"]])
    except (LabError, KeyError, TypeError, ValueError, AttributeError):
        return 0, 0, None


def study_table(title: str, rows: Sequence[Row]) -> Table:
    """The rows as a table; of a long study those that did not go well, those that run, and the first ten others."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for heading in ("job", "state", "epoch", "best on validation", "seconds", "why"):
        right = heading in ("epoch", "best on validation", "seconds")
        wraps = heading in ("job", "why")
        table.add_column(heading, justify="right" if right else "left", no_wrap=not wraps, overflow="fold")
    uneventful = [row for row in rows if row.state in ("ok", "queued", "pruned")]
    left_out = {id(row) for row in uneventful[10:]} if len(rows) > LONG else set()
    for row in rows:
        if id(row) in left_out:
            continue
        table.add_row(
            printable(row.job.name),
            f"[{COLOURS.get(row.state, 'red')}]{row.state}[/]",
            f"{row.epoch}/{row.epochs}" if row.epochs else "",
            "" if row.figure is None else format_value(row.figure, "share"),
            "" if row.seconds is None else f"{row.seconds:.0f}",
            printable(row.reason[:200]).replace("[", r"\["),
        )
    if left_out:
        table.add_row(f"... and {len(left_out)} more", "", "", "", "", "")
    return table


def count_states(states: Sequence[str]) -> str:
    """The states with their numbers, e.g. "22 ok, 1 diverged, 1 running"."""
    found = Counter(states)
    order = [*EXIT_CODES, "running", "queued"]
    return ", ".join(f"{found[state]} {state}" for state in order if found[state]) or "no jobs"


def seconds_left(rows: Sequence[Row], slots: int) -> float | None:
    """Seconds that the rest of a study will take, by the mean of the finished runs; None where there is none."""
    taken = [row.seconds for row in rows if row.state == "ok" and row.seconds]
    if not taken:
        return None
    mean = sum(taken) / len(taken)
    queued = sum(mean for row in rows if row.state == "queued")
    running = sum(max(0.0, mean - (row.seconds or 0)) for row in rows if row.state == "running")
    return (queued + running) / max(1, slots)
