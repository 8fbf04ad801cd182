"""The states of a run, and the exit code of each."""

from typing import Literal

State = Literal["running", "ok", "failed", "diverged", "oom", "pruned", "preempted", "timeout", "killed"]

EXIT_CODES = {
    "ok": 0,
    "failed": 1,
    "diverged": 3,
    "oom": 4,
    "pruned": 5,  # stopped by a search as not promising
    "preempted": 75,  # EX_TEMPFAIL: `siamese-lab resume` continues it
    "timeout": 124,  # as timeout(1)
    "killed": 137,  # as the shell says of SIGKILL
}
"""The exit code of each final state; a run without one of them yet is "running"."""


def state_of(exit_code: int) -> str:
    """The final state that goes with an exit code; "failed" for any other."""
    return next((state for state, code in EXIT_CODES.items() if code == exit_code), "failed")
