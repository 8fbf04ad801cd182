"""How an attempt at a job ended: its state and the reason, from what the run wrote and from how its process went."""

import signal
from contextlib import suppress

from siamese_lab.core.errors import LabError
from siamese_lab.runs.job import Job
from siamese_lab.runs.states import state_of

COUNTED = ("failed", "oom", "timeout", "killed")
"""States of attempts that use up a retry. A run that diverged would diverge again, and is not retried at all."""


def settle(job: Job, code: int, asked: str | None) -> tuple[str, str]:
    """The state of a job whose process has ended, and why; run.json is put right where the process could not.

    Args:
        job: whose.
        code: the exit code, negative for a signal.
        asked: what the sweep had asked of it, "timeout", "pruned" or "preempted"; None = nothing.
    """
    try:
        info = job.folder.info() if job.folder.exists() else None
    except LabError as error:
        return "killed" if code < 0 else "failed", f"its run folder is not whole: {error}"
    if info is None:
        return _by_code(code, asked), last_words(job) or how(code)
    state, reason = str(info["state"]), str(info.get("reason") or "")
    if state == "running":  # it was killed, or could not write
        state, reason = _by_code(code, asked), how(code)
    if asked in ("timeout", "pruned") and state in ("preempted", "killed"):
        state, reason = asked, {"timeout": "longer than launcher.timeout", "pruned": "not promising"}[asked]
    if state != info["state"]:
        with suppress(OSError, LabError, ValueError):
            job.folder.finish(state, reason=reason)
    return state, reason or last_words(job) * (state != "ok")


def how(code: int) -> str:
    """An exit code in words."""
    if code in (-signal.SIGKILL, 137):
        return "killed by signal 9: if nobody did that, the machine ran out of memory"
    if code < 0:
        return f"killed by signal {-code}"
    return f"ended with exit code {code}"


def last_words(job: Job, lines: int = 1) -> str:
    """The end of what a job printed."""
    kept = [line.strip() for line in job.log_end().splitlines() if line.strip()]
    return " / ".join(kept[-lines:]).removeprefix("siamese-lab: ")[:500]


def used_up(job: Job) -> int:
    """Attempts so far that count against `launcher.retries`."""
    return sum(attempt["state"] in COUNTED and not attempt.get("forgiven") for attempt in job.attempts())


def refused(job: Job, retries: int) -> str | None:
    """Why a job that has not finished is not tried again; None where it is, as where a kill has left its files
    half-written.
    """
    try:
        state, attempts, used = job.state(), job.attempts(), used_up(job)
    except LabError:
        return None
    if state == "diverged" and not (attempts and attempts[-1].get("forgiven")):
        return "it diverged and would again"
    return f"it failed {used} times" if used > retries else None


def _by_code(code: int, asked: str | None) -> str:
    if code < 0 or code == 137:
        return asked if asked in ("timeout", "pruned") else "killed"
    return state_of(code) if code else "failed"  # an end without a result is no success
