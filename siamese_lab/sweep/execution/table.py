"""A study as a table: each job with its state, how far it is, its best validation figure, and why it ended as it
did.
"""

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
from siamese_lab.runs.schema import RunRecord
from siamese_lab.runs.states import EXIT_CODES

LONG = 60  # jobs above which a table leaves out most of those that went well
COLOURS = {"ok": "green", "running": "cyan", "queued": "bright_black", "pruned": "bright_black", "preempted": "yellow"}


WIDE = 160  # columns where no terminal says how many it has


def console() -> Console:
    """Where tables are printed; a file or a pipe gets lines of their full length, as far as that is of use."""
    here = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, soft_wrap=not sys.stdout.isatty(), width=None if here else WIDE)


@dataclass(frozen=True)
class Row:
    """What is known of a job.

    Args:
        job: which.
        state: "queued", "running", or one of `record.EXIT_CODES`.
        epoch: validated so far, and `epochs` planned; 0 where unknown.
        figure: the best on validation so far, with its name; None where there is none.
        seconds: taken, or since it began.
        reason: why it ended as it did.
    """

    job: Job
    state: str
    epoch: int = 0
    epochs: int = 0
    figure: tuple[str, float] | None = None
    seconds: float | None = None
    reason: str = ""


def row(job: Job) -> Row:
    """Reads a job's files; those that a kill has left half-written tell nothing."""
    try:
        state = job.state()
        attempts = job.attempts()
    except LabError as error:
        return Row(job, "killed", reason=str(error))
    info: RunRecord | None = None
    with suppress(LabError):
        info = job.folder.info()
    reason = str((attempts[-1].get("reason") if attempts else "") or (info and info.get("reason")) or "")
    figure, epoch, epochs = _progress(job)
    seconds = info.get("seconds") if info else None
    if state == "running" and info:
        since = (attempts[-1]["started"] if attempts else None) or info["started"]
        seconds = (datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds()
    return Row(job, state, epoch, epochs, figure, seconds, "" if state in ("ok", "running", "queued") else reason)


def _progress(job: Job) -> tuple[tuple[str, float] | None, int, int]:
    """The best figure on validation so far, the epochs validated, and the epochs planned; None and 0 where unknown."""
    try:
        history = read_history(job.folder.path)
        best, monitor, entries = best_entry(history), history["monitor"], history["entries"]
        figure = None if best is None else (monitor.removeprefix("val/"), float(best[monitor]))
        return figure, int(entries[-1]["epoch"]) + 1 if entries else 0, int(history.get("max_epochs", 0))
    except (LabError, KeyError, TypeError, ValueError, AttributeError):
        return None, 0, 0


def table(title: str, rows: Sequence[Row]) -> Table:
    """The rows as a table; of a long study only those that did not go well, those that run, and the ten latest others.

    Args:
        title: above it.
        rows: in the study's order.
    """
    made = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for heading in ("job", "state", "epoch", "best on validation", "seconds", "why"):
        right = heading in ("epoch", "best on validation", "seconds")
        made.add_column(
            heading, justify="right" if right else "left", no_wrap=heading not in ("job", "why"), overflow="fold"
        )
    kept = list(rows)
    if len(rows) > LONG:
        plain = [one for one in rows if one.state in ("ok", "queued", "pruned")]
        left_out = {id(one) for one in plain[10:]}
        kept = [one for one in rows if id(one) not in left_out]
    for one in kept:
        colour = COLOURS.get(one.state, "red")
        made.add_row(
            printable(one.job.name),
            f"[{colour}]{one.state}[/]",
            f"{one.epoch}/{one.epochs}" if one.epochs else "",
            "" if one.figure is None else format_value(one.figure[1], "share"),
            "" if one.seconds is None else f"{one.seconds:.0f}",
            printable(one.reason[:200]).replace("[", r"\["),
        )
    if len(kept) < len(rows):
        made.add_row(f"... and {len(rows) - len(kept)} more", "", "", "", "", "")
    return made


def counts(states: Sequence[str]) -> str:
    """E.g. "22 ok, 1 diverged, 1 running"."""
    found = Counter(states)
    order = [*EXIT_CODES, "running", "queued"]
    return ", ".join(f"{found[state]} {state}" for state in order if found[state]) or "no jobs"


def left(rows: Sequence[Row], slots: int) -> float | None:
    """Seconds that the rest of a study will take, by the mean of those that are finished; None where there is none."""
    taken = [one.seconds for one in rows if one.state == "ok" and one.seconds]
    if not taken:
        return None
    mean = sum(taken) / len(taken)
    open_ = sum(mean for one in rows if one.state == "queued")
    open_ += sum(max(0.0, mean - (one.seconds or 0)) for one in rows if one.state == "running")
    return open_ / max(1, slots)
