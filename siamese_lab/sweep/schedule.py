"""Runs the jobs of a study in a launcher's slots. Several sweeps may do so at once on one study: each job is claimed by a lock."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import FrameType

from filelock import FileLock, Timeout

from siamese_lab.errors import LabError
from siamese_lab.sweep.job import Job
from siamese_lab.sweep.launching import Attempt, Launcher
from siamese_lab.sweep.outcome import refused, settle
from siamese_lab.sweep.source import Source

POLL = 0.05  # seconds
LOOK = 1.0  # seconds between two looks at whether a job is worth while, or free again
GRACE = 60.0  # seconds for a checkpoint, once a job was asked to end
ALIKE = 3  # first jobs that fail for one reason, after which no further one is started
LOST = 5  # times that a job is started again since its machine is gone


@dataclass
class Running:
    """A job that runs, with the lock that claims it."""

    job: Job
    attempt: Attempt
    claim: FileLock
    started: str
    began: float = field(default_factory=time.monotonic)
    asked: str | None = None  # to end: "timeout", "pruned" or "preempted"
    asked_at: float = 0.0

    def ask(self, why: str) -> None:
        """Asks it to end with a checkpoint."""
        if self.asked is None:
            self.asked, self.asked_at = why, time.monotonic()
            self.attempt.stop()

    @property
    def seconds(self) -> float:
        """Since it was started."""
        return time.monotonic() - self.began


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


class Stop:
    """What the user has asked for meanwhile: signals come here while jobs run."""

    def __init__(self) -> None:
        self.signals: list[int] = []
        self.words: str | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """SIGINT and SIGTERM come here; afterwards to whoever had them before."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._heard) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self.signals.append(number)


def run(
    source: Source,
    launcher: Launcher,
    stop: Stop,
    said: Callable[[Job, str, str], None] = lambda job, state, reason: None,
    tick: Callable[[list[Running]], None] = lambda running: None,
) -> dict[str, str]:
    """Runs what the source gives until it gives no more, or `stop` is asked for.

    Args:
        source: of jobs.
        launcher: where they run.
        stop: what the user asks for meanwhile.
        said: told when a job starts ("running") and what it ended as, with the reason.
        tick: called some ten times a second with the jobs that run.

    Returns:
        {run id: state} of all jobs that were given out.
    """
    sweep = _Sweep(source, launcher, stop, said)
    try:
        while sweep.step():
            tick(sweep.running)
            time.sleep(POLL)
    finally:
        for one in sweep.running:
            one.attempt.kill()
            one.claim.release()
        launcher.close()
    return sweep.states


class _Sweep:
    def __init__(self, source: Source, launcher: Launcher, stop: Stop, said: Callable[[Job, str, str], None]) -> None:
        self.source, self.launcher, self.stop, self.said = source, launcher, stop, said
        self.began = datetime.now(UTC).isoformat()
        self.running: list[Running] = []
        self.elsewhere: list[Job] = []  # claimed by another sweep
        self.again: list[Job] = []  # their machine is gone
        self.lost: dict[str, int] = {}
        self.since: dict[str, str] = {}  # when jobs ended here that the source may give again
        self.states: dict[str, str] = {}
        self.first: list[str] = []  # reasons of the first failures
        self.looked = 0.0

    def step(self) -> bool:
        """Does what there is to do now; whether there is more to come."""
        for one in list(self.running):
            self._watch(one)
        look = time.monotonic() - self.looked > LOOK
        if look:
            self.looked = time.monotonic()
            for one in self.running:
                if not self.source.worthwhile(one.job):
                    one.ask("pruned")
        if self.stop.signals or self.stop.words:
            for one in self.running:
                one.ask("preempted")
                if len(self.stop.signals) > 1:
                    one.attempt.kill()
            return bool(self.running)
        if look:
            for waiting in list(self.elsewhere):
                if len(self.running) < self.launcher.slots:
                    self.elsewhere.remove(waiting)
                    self._begin(waiting)
        while len(self.running) < self.launcher.slots and not self.stop.words:
            job = self.again.pop(0) if self.again else self.source.next()
            if job is None:
                break
            self._begin(job)
        return bool(self.running or self.elsewhere or self.again or self.source.more())

    def _begin(self, job: Job) -> None:
        claim = FileLock(job.file("lock"))
        try:
            claim.acquire(timeout=0)
        except Timeout:
            self.elsewhere.append(job)
            return
        try:
            state = job.state()
            attempts = job.attempts()
        except LabError:  # half-written by a kill: the worker begins it anew
            state, attempts = "killed", []
        since = self.since.get(job.run_id, self.began)
        tried = bool(attempts) and attempts[-1]["ended"] is not None and attempts[-1]["ended"] > since and not self.lost.get(job.run_id)
        done = state == "ok" or (tried and state != "preempted")  # by another sweep, since this one began
        reason = None if done else self._refused(job)
        if done or reason is not None:
            claim.release()
            self._end(job, state, reason or "", told=reason is not None or tried)
            return
        started = datetime.now(UTC).isoformat(timespec="milliseconds")
        try:
            attempt = self.launcher.start(job)
        except BaseException:
            claim.release()
            raise
        self.running.append(Running(job, attempt, claim, started))
        self._note(job, started=started, ended=None, state="running", reason="", where=attempt.where)
        self.said(job, "running", attempt.where)

    def _refused(self, job: Job) -> str | None:
        with suppress(LabError):
            return refused(job, self.launcher.retries)
        return None

    def _watch(self, one: Running) -> None:
        code = one.attempt.poll()
        if code is None:
            if one.asked is None and self.launcher.timeout is not None and one.seconds > self.launcher.timeout:
                one.ask("timeout")
            grace = GRACE if one.asked == "preempted" else GRACE / 6
            if one.asked is not None and time.monotonic() - one.asked_at > grace:
                one.attempt.kill()
            return
        self.running.remove(one)
        job = one.job
        if code != 0 and one.attempt.lost() and self.lost.get(job.run_id, 0) < LOST:
            self.lost[job.run_id] = self.lost.get(job.run_id, 0) + 1
            self._note(job, started=one.started, ended=_now(), state="lost", reason="its machine is gone", where=one.attempt.where)
            self.said(job, "lost", "its machine is gone: it is started again")
            self.again.append(job)
        elif code == 2 and one.asked is None and job.folder.exists() and job.folder.state() == "running":
            self.elsewhere.append(job)  # somebody trains the same run outside of the study
        else:
            state, reason = settle(job, code, one.asked)
            self._note(job, started=one.started, ended=_now(), state=state, reason=reason, where=one.attempt.where)
            self._end(job, state, reason)
        one.claim.release()

    def _end(self, job: Job, state: str, reason: str, told: bool = True) -> None:
        self.states[job.run_id], self.since[job.run_id] = state, datetime.now(UTC).isoformat()
        self.source.ended(job, state)
        if told:
            self.said(job, state, reason)
        self.first.append("" if state in ("ok", "pruned", "preempted", "diverged") else f"{state}: {reason}")
        alike = self.first[:ALIKE]
        if len(self.first) == ALIKE and alike[0] and len(set(alike)) == 1 and self.source.more():
            self.stop.words = f"the first {ALIKE} jobs all ended so, no further one is started"

    def _note(self, job: Job, **attempt: object) -> None:
        try:
            job.note(**attempt)
        except (OSError, LabError) as error:  # a full disk ends no sweep
            print(f"siamese-lab: cannot note how {job.name} went: {error}", file=sys.stderr)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
