"""Whether a job may be started: another sweep may have claimed or finished it, another process may train its run."""

import os
import signal
from contextlib import suppress

from filelock import FileLock, Timeout

from siamese_lab.core.errors import LabError
from siamese_lab.core.processes import is_alive, is_gone, is_stopped
from siamese_lab.runs.attempts import AttemptRecord
from siamese_lab.runs.job import Job
from siamese_lab.runs.schema import RunRecord
from siamese_lab.sweep.execution.outcome import why_not_retried


def claim_job(job: Job) -> FileLock | None:
    """The lock that keeps other sweeps from a job until it is released or this process ends; None if another has it.

    Raises:
        OSError: if it cannot be written.
    """
    claim = FileLock(job.file("lock"))
    try:
        claim.acquire(timeout=0)
    except Timeout:
        return None
    return claim


def is_trained_elsewhere(job: Job) -> bool:
    """Whether a process of this machine trains the run, though no living sweep has claimed it.

    It was left behind by a killed sweep and writes its last checkpoint, or it is the user's own `siamese-lab resume`.
    One that was left behind and is stopped (SIGSTOP) will never get that far, and is killed.
    """
    try:
        info = job.folder.info()
        attempts = job.attempts()
    except LabError:
        return False
    if info["state"] != "running" or not is_alive(info):
        return False
    if attempts and _is_left_behind(attempts[-1], info) and is_stopped(info["pid"]):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(info["pid"], signal.SIGKILL)
    return True


def final_state(job: Job, since: str, retries: int) -> tuple[str, str] | None:
    """State and reason of a claimed job that is not to be started; None where it is.

    Args:
        since: when this sweep began, as ISO text: what another one has tried since is not tried again.
    """
    try:
        state = job.state()
        attempts = job.attempts()
    except LabError:  # half-written by a kill: the worker begins it anew
        return None
    if state == "ok":
        return state, ""
    last = attempts[-1] if attempts else None
    if last and last["ended"] and last["ended"] > since and last["state"] not in ("preempted", "lost"):
        return state, last.get("reason", "")
    reason = why_not_retried(job, retries)
    return None if reason is None else (state, reason)


def _is_left_behind(attempt: AttemptRecord, info: RunRecord) -> bool:
    """Whether the run's process belongs to an attempt whose sweep is gone."""
    begun = max([info["started"], *(one["at"] for one in info.get("resumed", []))])
    is_its = attempt["state"] == "running" and attempt["started"] <= begun
    return is_its and "by" in attempt and is_gone(attempt["by"])
