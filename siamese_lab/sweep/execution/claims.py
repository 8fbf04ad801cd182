"""Whether a job may be started now: another sweep may have claimed it, finished it or tried it, another process may
train its run.
"""

import os
import signal
from contextlib import suppress

from filelock import FileLock, Timeout

from siamese_lab.core.errors import LabError
from siamese_lab.core.processes import is_alive, is_gone, is_stopped
from siamese_lab.runs.attempts import AttemptRecord
from siamese_lab.runs.job import Job
from siamese_lab.runs.schema import RunRecord
from siamese_lab.sweep.execution.outcome import refused


def claimed(job: Job) -> FileLock | None:
    """The lock that keeps other sweeps from a job, until it is released or this process dies; None where another sweep
    has it.

    Raises:
        OSError: if it cannot be written.
    """
    claim = FileLock(job.file("lock"))
    try:
        claim.acquire(timeout=0)
    except Timeout:
        return None
    return claim


def trained(job: Job) -> bool:
    """Whether a process of this machine trains the run, though no sweep that lives has claimed it.

    It is one that a killed sweep has left behind and that writes its last checkpoint, or the user's own `siamese-lab
    resume`. One that was left behind and stands still (SIGSTOP) never gets to that, and is killed.
    """
    try:
        info = job.folder.info()
        attempts = job.attempts()
    except LabError:
        return False
    if info["state"] != "running" or not is_alive(info):
        return False
    if attempts and _left_behind(attempts[-1], info) and is_stopped(info["pid"]):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(info["pid"], signal.SIGKILL)
    return True


def settled(job: Job, since: str, retries: int) -> tuple[str, str] | None:
    """State and reason of a job that is not to be started; None where it is.

    Args:
        job: which, claimed.
        since: when this sweep began, as ISO text: what another one has tried since is not tried again.
        retries: see `outcome.refused`.
    """
    try:
        state = job.state()
        attempts = job.attempts()
    except LabError:  # half-written by a kill: the worker begins it anew
        return None
    if state == "ok":
        return state, ""
    last = attempts[-1] if attempts else {"ended": None}
    if last["ended"] is not None and last["ended"] > since and last["state"] not in ("preempted", "lost"):
        return state, str(last.get("reason") or "")
    why = refused(job, retries)
    return None if why is None else (state, why)


def _left_behind(attempt: AttemptRecord, info: RunRecord) -> bool:
    """Whether the run's process is of an attempt whose sweep is gone."""
    started = max([info["started"], *(one["at"] for one in info.get("resumed", []))])
    mine = attempt["state"] == "running" and attempt["started"] <= started
    return mine and "by" in attempt and is_gone(attempt["by"])
