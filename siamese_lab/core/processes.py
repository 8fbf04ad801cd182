"""Which process a run belongs to, and whether it is still there."""

import math
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import NotRequired, TypedDict


class ProcessRecord(TypedDict):
    """What identifies a process; `ticks` is when it began, None where that is unknown."""

    host: str
    pid: int
    ticks: NotRequired[int | None]


def this_process() -> ProcessRecord:
    """This process, as run.json names it."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "ticks": start_ticks(os.getpid())}


def is_gone(process: ProcessRecord) -> bool:
    """Whether a process is known to have ended; nothing is known of another machine's processes."""
    if process["host"] != socket.gethostname():
        return False
    if not _alive(process["pid"]):
        return True
    began, recorded = start_ticks(process["pid"]), process.get("ticks")
    return began is not None and recorded is not None and began != recorded  # the number is another process's now


def is_alive(process: ProcessRecord) -> bool:
    """Whether a process is known to be there: on this machine, and not ended."""
    return process["host"] == socket.gethostname() and not is_gone(process)


def is_stopped(pid: int) -> bool:
    """Whether a process stands still until it gets SIGCONT, and can react to nothing but SIGKILL."""
    return _letter(pid) in ("T", "t")


def describe_process(process: ProcessRecord) -> str:
    """The process that a run.json names, and what to do about it."""
    elsewhere = "; if that process is gone, write killed in place of running into its run.json"
    hint = elsewhere if process["host"] != socket.gethostname() else ""
    return f"process {process['pid']} on {process['host']}: wait for it or stop it first{hint}"


def start_ticks(pid: int) -> int | None:
    """When a process began, in the kernel's clock ticks since the machine did; None where it is unknown."""
    try:
        return int(
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
        )
    except (OSError, ValueError, IndexError):
        return None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return _letter(pid) != "Z"  # it has ended, and only waits for its parent to ask how


def _letter(pid: int) -> str:
    """The state of a process, as ps shows it; "" where it is unknown."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def available_cores() -> int:
    """Processors that this process may use: those it is bound to, no more than its control group has time on."""
    there = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # no control groups, or no limit: "max"
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="utf-8").split()
        there = min(there, max(1, math.ceil(int(quota) / int(period))))
    return there
