"""How an attempt at a job ended: its state and the reason, from what the run wrote and from how its process went."""

import signal
from contextlib import suppress

from siamese_lab.core.errors import LabError
from siamese_lab.runs.job import Job
from siamese_lab.runs.states import state_of

COUNTED = ("failed", "oom", "timeout", "killed")
"""States of attempts that use up a retry. A run that diverged would diverge again, and is not retried at all."""


def record_outcome(job: Job, code: int, asked: str | None) -> tuple[str, str]:
    """The state of a job whose process has ended, and why; run.json is corrected where the process could not do it.

    Args:
        code: the exit code, negative for a signal.
        asked: what the sweep had asked of it, "timeout", "pruned" or "preempted"; None = nothing.
    """
    try:
        info = job.folder.info() if job.folder.exists() else None
    except LabError as error:
        return "killed" if code < 0 else "failed", f"its run folder is not whole: {error}"
    if info is None:
        return _state_by_code(code, asked), _last_output(job) or _describe_code(code)
    state, reason = str(info["state"]), str(info.get("reason") or "")
    if state == "running":  # it was killed, or could not write
        state, reason = _state_by_code(code, asked), _describe_code(code)
    if asked in ("timeout", "pruned") and state in ("preempted", "killed"):
        state, reason = asked, {"timeout": "longer than launcher.timeout", "pruned": "not promising"}[asked]
    if state != info["state"]:
        with suppress(OSError, LabError, ValueError):
            job.folder.finish(state, reason=reason)
    return state, reason or ("" if state == "ok" else _last_output(job))


def why_not_retried(job: Job, retries: int) -> str | None:
    """Why an unfinished job is not tried again; None where it is, as where a kill has left its files half-written."""
    try:
        state, attempts = job.state(), job.attempts()
    except LabError:
        return None
    if state == "diverged" and not (attempts and attempts[-1].get("forgiven")):
        return "it diverged and would again"
    failed = sum(attempt["state"] in COUNTED and not attempt.get("forgiven") for attempt in attempts)
    return f"it failed {failed} times" if failed > retries else None


def _describe_code(code: int) -> str:
    if code in (-signal.SIGKILL, 137):
        return "killed by signal 9: if nobody did that, the machine ran out of memory"
    return f"killed by signal {-code}" if code < 0 else f"ended with exit code {code}"


def _last_output(job: Job) -> str:
    """The last line that a job printed."""
    lines = [line.strip() for line in job.log_end().splitlines() if line.strip()]
    return lines[-1].removeprefix("siamese-lab: ")[:500] if lines else ""


def _state_by_code(code: int, asked: str | None) -> str:
    if code < 0 or code == 137:
        return asked if asked in ("timeout", "pruned") else "killed"
    return state_of(code) if code else "failed"  # an end without a result is no success
