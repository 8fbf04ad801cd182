"""Where the jobs of a sweep come from: a fixed list, or a search that decides the next one by what is known so far."""

from collections.abc import Iterable
from typing import Protocol

from siamese_lab.runs.job import Job


class JobSource(Protocol):
    """Gives jobs to `scheduler.schedule`."""

    def next_job(self) -> Job | None:
        """The next job to start; None where there is none now."""

    def has_more(self) -> bool:
        """Whether there is another one, now or once a running one has ended."""

    def should_continue(self, job: Job) -> bool:
        """Asked about each running job every second or so: False = it is stopped and counts as pruned."""

    def record_end(self, job: Job, state: str) -> None:
        """Called when a job has ended, or was found finished; `state` is one of `runs.states.EXIT_CODES`."""


class JobList:
    """A source of jobs: a list."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self.jobs = list(jobs)

    def next_job(self) -> Job | None:
        """The first that is left."""
        return self.jobs.pop(0) if self.jobs else None

    def has_more(self) -> bool:
        """Whether there are any left."""
        return bool(self.jobs)

    def should_continue(self, job: Job) -> bool:
        """True: none is pruned."""
        return True

    def record_end(self, job: Job, state: str) -> None:
        """Does nothing."""
