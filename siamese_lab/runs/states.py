"""The states of a run, and the exit code of each."""

from typing import Literal

EXIT_CODES = {
    "ok": 0,
    "failed": 1,
    "diverged": 3,
    "oom": 4,
    "pruned": 5,  # by a search, since it did not look promising
    "preempted": 75,  # EX_TEMPFAIL: `siamese-lab resume` goes on where it stopped
    "timeout": 124,  # as timeout(1)
    "killed": 137,  # as the shell says of SIGKILL
}


"""What a command ends with for each final state; a run that has none of them yet is "running"."""


State = Literal["running", "ok", "failed", "diverged", "oom", "pruned", "preempted", "timeout", "killed"]


def state_of(exit_code: int) -> str:
    """The final state that goes with an exit code; "failed" for any other."""
    return next((state for state, code in EXIT_CODES.items() if code == exit_code), "failed")
