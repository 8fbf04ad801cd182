"""Which process a run belongs to, and whether it is still there."""

import math
import os
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypedDict


class ProcessRecord(TypedDict):
    """What tells a process from every other one: `ticks` is when it began, None where that cannot be told."""

    host: str
    pid: int
    ticks: int | None


def this_process() -> ProcessRecord:
    """This process, as run.json names it."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "ticks": start_ticks(os.getpid())}


def is_gone(info: Mapping[str, Any]) -> bool:
    """Whether the process that a run.json names is known to have ended; of another machine's processes nothing is
    known.
    """
    if info["host"] != socket.gethostname():
        return False
    if not _alive(info["pid"]):
        return True
    began = start_ticks(info["pid"])  # the number may have gone to another process since
    return None not in (began, info.get("ticks")) and began != info["ticks"]


def is_alive(info: Mapping[str, object]) -> bool:
    """Whether the process that a run.json names is known to be there: on this machine, and not ended."""
    return info["host"] == socket.gethostname() and not is_gone(info)


def is_stopped(pid: int) -> bool:
    """Whether a process stands still until it gets SIGCONT, and can react to nothing but SIGKILL."""
    return _letter(pid) in ("T", "t")


def describe_process(info: Mapping[str, object]) -> str:
    """The process that a run.json names, and what to do about it."""
    elsewhere = "; if that process is gone, write killed in place of running into its run.json"
    hint = elsewhere if info["host"] != socket.gethostname() else ""
    return f"process {info['pid']} on {info['host']}: wait for it or stop it first{hint}"


def start_ticks(pid: int) -> int | None:
    """When a process began, in the kernel's clock ticks since the machine did; None where that cannot be told."""
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
    """The state of a process, as ps shows it; "" where that cannot be told."""
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
