"""What every launcher offers: `launcher=local`, `ray` and `slurm` are classes with these methods, and need no common
base.
"""

from typing import Protocol

from siamese_lab.runs.job import Job


class Attempt(Protocol):
    """A job that was started."""

    @property
    def where(self) -> str:
        """For the table, e.g. "slot 0" or "node 10.0.0.2"."""

    def poll(self) -> int | None:
        """Its exit code; None while it runs or waits for its turn."""

    def stop(self) -> None:
        """Asks it to end with a checkpoint, as SIGTERM does."""

    def kill(self) -> None:
        """Ends it at once, with all its processes."""

    def lost(self) -> bool:
        """Whether it ended because its machine did: it is then started again."""


class Launcher(Protocol):
    """Where jobs run. All of them are fresh processes that do `worker.work(study folder, run id)`."""

    @property
    def slots(self) -> int:
        """Jobs at once. A launcher with a method `takes(job) -> int` says how many of them a job takes, else it is
        one.
        """

    @property
    def timeout(self) -> float | None:
        """Seconds until a job counts as hanging; None = never."""

    @property
    def retries(self) -> int:
        """Further attempts that a job gets in later calls of the same command."""

    def start(self, job: Job) -> Attempt:
        """Starts a job whose config lies at `job.file("yaml")`; its output is appended to `job.file("log")`."""

    def close(self) -> None:
        """Gives back what it holds; jobs that still run are killed."""
