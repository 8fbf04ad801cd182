"""`siamese-lab status`: how far a study is, as a table that lives until the study is finished."""

import sys
import time

from rich.console import Group
from rich.live import Live
from rich.text import Text

from siamese_lab.runs.study import find_study, read_study
from siamese_lab.sweep.execution.table import count_states, read_row, seconds_left, study_table, sweep_console

REFRESH = 1.0  # seconds


def command(study: str, once: bool = False) -> int:
    """Prints the table; where a terminal watches, until no job is queued or running, or Ctrl-C.

    Args:
        study: name or folder.
        once: print it once.

    Raises:
        LabError: if there is no such study.
    """
    console = sweep_console()
    study = find_study(study) or study
    shown, going = _study_table(study)
    if once or not going or not sys.stdout.isatty():
        console.print(shown)
        return 0
    with Live(shown, console=console, auto_refresh=False) as live:
        while going:
            time.sleep(REFRESH)
            shown, going = _study_table(study)
            live.update(shown, refresh=True)
    return 0


def _study_table(name: str) -> tuple[Group, bool]:
    """The table, and whether something runs or is still to run."""
    study = read_study(name)
    rows = [read_row(job) for job in study.jobs]
    running = sum(one.state == "running" for one in rows)
    words = [count_states([one.state for one in rows])]
    rest = seconds_left(rows, max(1, running))
    if running and rest is not None:
        words.append(f"about {rest / 60:.0f} minutes to go" if rest >= 90 else f"about {rest:.0f} seconds to go")
    if study.superseded:
        words.append(f"{len(study.superseded)} earlier runs no longer count: their config or data have changed")
    going = any(one.state in ("running", "queued") for one in rows)
    return Group(study_table(f"Study {study.name}", rows), Text("\n" + "; ".join(words))), going
