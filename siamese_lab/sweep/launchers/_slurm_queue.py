"""The states of a user's SLURM jobs, asked for rarely, all at once. Unlike `sacct`, `squeue` needs no accounting."""

import subprocess
import time

EVERY = 10.0  # seconds between two questions
NEW = 30.0  # seconds for a job that was just submitted to be listed
GONE = "GONE"  # of a job that is listed no longer
FAILED = ("FAILED", "CANCELLED", "TIMEOUT", "DEADLINE", "NODE_FAIL", "BOOT_FAIL", "OUT_OF_MEMORY")
ENDED = frozenset(("COMPLETED", *FAILED, "PREEMPTED", "REVOKED", GONE))
"""States that a job does not leave; one that is put back into the queue is PENDING again."""


class Queue:
    """What `squeue` says."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[str, str]] = {}
        self._asked = float("-inf")
        self._answered = False
        self._since: dict[str, float] = {}

    def state(self, job: str) -> str:
        """The state of a job, as SLURM calls it; "UNKNOWN" where it does not answer."""
        self._ask(EVERY)
        since = self._since.setdefault(job, time.monotonic())
        if job in self._found:
            return self._found[job][0]
        return GONE if self._answered and self._asked - since > NEW else "UNKNOWN"

    def node(self, job: str) -> str:
        """Where a job runs; "" where it does not."""
        return self._found.get(job, ("", ""))[1]

    def has(self, job: str) -> bool:
        """Whether a job of an earlier sweep still waits or runs."""
        self._ask(1.0)
        return job in self._found and self._found[job][0] not in ENDED

    def _ask(self, age: float) -> None:
        """Asks anew where the last answer is older than this, in seconds."""
        if time.monotonic() - self._asked < age:
            return
        self._asked = time.monotonic()
        command = ["squeue", "--me", "--noheader", "--states=all", "--format=%i|%T|%N"]
        try:
            text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout  # noqa: S603
        except (OSError, subprocess.SubprocessError):  # too busy to answer: what it said before stands
            self._answered = False
            return
        rows = [line.split("|", 2) for line in text.splitlines() if line.count("|") >= 2]
        self._found, self._answered = {job: (state, node) for job, state, node in rows}, True
