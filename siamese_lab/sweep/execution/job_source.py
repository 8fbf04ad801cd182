"""Where the jobs of a sweep come from: a fixed list, or a search that decides the next one by what is known so far."""

from collections.abc import Iterable
from typing import Protocol

from siamese_lab.runs.job import Job


class Source(Protocol):
    """Gives jobs to `schedule.run`."""

    def next(self) -> Job | None:
        """The next job to start; None where there is none now."""

    def more(self) -> bool:
        """Whether there is another one, now or once a running one has ended."""

    def worthwhile(self, job: Job) -> bool:
        """Asked about each running job every second or so: False = it is stopped and counts as pruned."""

    def ended(self, job: Job, state: str) -> None:
        """A job has ended, or was found finished; `state` is one of `record.EXIT_CODES`."""


class Listed:
    """A source of jobs: a list."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self.jobs = list(jobs)

    def next(self) -> Job | None:
        """The next one."""
        return self.jobs.pop(0) if self.jobs else None

    def more(self) -> bool:
        """Whether there are any left."""
        return bool(self.jobs)

    def worthwhile(self, job: Job) -> bool:
        """All are."""
        return True

    def ended(self, job: Job, state: str) -> None:
        """Nothing follows from it."""
