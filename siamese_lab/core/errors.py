"""The exceptions that reach the user as a message instead of a traceback."""

from collections.abc import Sequence

INTERRUPTED = 130  # the exit code of a command that Ctrl-C ended, as the shell says of SIGINT


class LabError(Exception):
    """An error that the user can mend; its message says what was needed, what came and what to do.

    Args:
        message: shown as it is, without a traceback.
        exit_code: of the command; 2 = bad input, nothing was done.
        misfits: the single faults, where the message lists several; a caller may list them in a message of its own.
    """

    def __init__(self, message: str, exit_code: int = 2, misfits: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.exit_code, self.misfits = exit_code, tuple(misfits) or (message,)


class Stopped(Exception):  # noqa: N818 - it is no error of anything
    """Raised to end a run where it is; `training/exit_state.py` has what the user then reads.

    Args:
        reason: "SIGINT", "SIGTERM", "max_time" or "diverged".
        step: optimizer steps done.
    """

    def __init__(self, reason: str, step: int) -> None:
        super().__init__(f"{reason} after step {step}")
        self.reason, self.step = reason, step


class Lost(Exception):  # noqa: N818
    """Raised when another process of the run has ended.

    Args:
        rank: its number, from 1.
        exit_code: what it ended with.
        words: the end of what it said.
    """

    def __init__(self, rank: int, exit_code: int, words: str) -> None:
        super().__init__(f"process {rank} ended with {exit_code}")
        self.rank, self.exit_code, self.words = rank, exit_code, words
