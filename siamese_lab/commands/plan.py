"""`siamese-lab plan`: what a sweep would do, cost, and has done already; nothing is trained or written."""

import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from siamese_lab.core.paths import outputs
from siamese_lab.runs.job import Job, combination
from siamese_lab.sweep.execution.launcher import build_launcher
from siamese_lab.sweep.execution.table import Row, count_states, read_row
from siamese_lab.sweep.planning.plan import Plan
from siamese_lab.sweep.planning.planner import plan_study

log = logging.getLogger(__name__)


def command(
    words: list[str], config_dirs: Sequence[Path], zips: Sequence[str], cases: Sequence[str], skip_unfit: bool = False
) -> int:
    """Prints the plan; the arguments are those of `sweep.command`."""
    plan = plan_study(words, config_dirs, zips, cases, skip_unfit)
    for note in plan.notes:
        log.info(note)
    console = Console(highlight=False, soft_wrap=True)
    for line in describe(plan):
        console.print(line, markup=False)
    return 0


def describe(plan: Plan) -> list[str]:
    """The lines that `plan` prints."""
    slots = build_launcher(plan.launcher).slots if plan.launcher else 0
    at_once = f", {slots} at once" if slots else ""
    lines = [f"study      {plan.study}"]
    lines += [f"axis       {key}: {', '.join(values)}" for key, values in plan.axes.items()]
    if "search" in plan.facts:
        return [*lines, f"search     {plan.facts['search'].get('trials', '?')} trials{at_once}"]
    rows = [read_row(job) for job in plan.jobs]
    todo = [row for row in rows if row.state != "ok"]
    lines.append(f"runs       {len(rows)}: {count_states([row.state for row in rows])}; {len(todo)} to do{at_once}")
    lines.append(f"time       {_time(plan, rows, slots)}")
    lines.append(f"disk       {_disk([row.job for row in rows if row.state == 'ok'], len(todo))}")
    if budget := plan.facts.get("budget"):
        lines.append("budget     " + ", ".join(f"{key} {value}" for key, value in budget.items()))
    if plan.superseded:
        lines.append(f"not reused {len(plan.superseded)} earlier runs, of another config or other data")
    return lines


def _time(plan: Plan, rows: Sequence[Row], slots: int) -> str:
    """From what finished runs took, each combination by its own where one is finished."""
    known: dict[tuple[tuple[str, str], ...], list[float]] = {}
    for row in rows:
        if row.state == "ok" and row.seconds:
            known.setdefault(combination(row.job.point), []).append(row.seconds)
    todo = [row for row in rows if row.state != "ok"]
    if not todo:
        return "nothing to do"
    if not known:
        return "unknown: no run of this study has finished yet"
    every = [seconds for taken in known.values() for seconds in taken]
    mean = sum(every) / len(every)
    own = [known.get(combination(row.job.point)) for row in todo]
    seconds = sum(sum(taken) / len(taken) if taken else mean for taken in own) / slots
    guessed = sum(taken is None for taken in own)
    shown = f"{seconds:.0f} seconds" if seconds <= 90 else f"{seconds / 60:.0f} minutes"
    shown = shown if seconds <= 5400 else f"{seconds / 3600:.1f} hours"
    unlike = f"; {guessed} are of combinations of which none is finished" if guessed else ""
    return f"about {shown}, by {len(every)} finished runs{unlike}"


def _disk(finished: Sequence[Job], todo: int) -> str:
    root = outputs()
    while not root.exists() and root != root.parent:
        root = root.absolute().parent
    free = shutil.disk_usage(root).free
    if not finished:
        return f"{free / 1e9:.1f} GB free; what a run takes is not known before the first one has finished"
    sizes = [_folder_size(job.folder.path) for job in finished[:20]]
    mean = sum(sizes) / len(sizes)
    left = f"{free / 1e9:.1f} GB free{': not enough' if mean * todo > free else ''}"
    return f"{mean / 1e6:.1f} MB a run, {mean * todo / 1e6:,.0f} MB for the {todo} to do, {left}"


def _folder_size(path: Path) -> int:
    return sum((Path(folder) / name).stat().st_size for folder, _, names in os.walk(path) for name in names)
