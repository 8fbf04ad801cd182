"""Runs the jobs of a study in a launcher's slots. Several sweeps may do so at once on one study: each job is claimed by
a lock.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Unpack

from filelock import FileLock

from siamese_lab.core.errors import LabError
from siamese_lab.core.processes import this_process
from siamese_lab.core.text import printable
from siamese_lab.runs.attempts import AttemptRecord
from siamese_lab.runs.job import Job
from siamese_lab.sweep.execution.claims import claimed, settled, trained
from siamese_lab.sweep.execution.job_source import Source
from siamese_lab.sweep.execution.launcher import Attempt, Launcher
from siamese_lab.sweep.execution.outcome import settle
from siamese_lab.sweep.execution.stop import Stop

log = logging.getLogger(__name__)


POLL = 0.05  # seconds
LOOK = 1.0  # seconds between two looks at whether a job is worth while, or free again
BUSY = 30.0  # seconds until a job is looked at again whose run another machine seems to train
GRACE = 60.0  # seconds for a checkpoint, once a job was asked to end because the sweep is
SHORT = 10.0  # seconds for one, once it was asked to end for another reason
ALIKE = 3  # first jobs that fail for one reason, after which no further one is started
LOST = 5  # times that a job is started again since its machine is gone


@dataclass
class Running:
    """A job that runs, with the lock that claims it and the slots that it takes."""

    job: Job
    attempt: Attempt
    claim: FileLock
    started: str
    slots: int = 1
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
        self.began, self.process = _now(), this_process()
        self.running: list[Running] = []
        self.elsewhere: list[
            tuple[float, Job]
        ] = []  # claimed by another sweep, or trained by another process; when to look again
        self.again: list[Job] = []  # their machine is gone, or there was no room for them
        self.lost: dict[str, int] = {}
        self.since: dict[str, str] = {}  # when jobs ended here that the source may give again
        self.states: dict[str, str] = {}
        self.first: list[str] = []  # how the first attempts of this sweep failed; "" = they did not
        self.looked = 0.0

    def step(self) -> bool:
        """Does what there is to do now; whether there is more to come."""
        for one in list(self.running):
            self._watch(one)
        self.stop.look()
        if look := time.monotonic() - self.looked > LOOK:
            self.looked = time.monotonic()
            for one in self.running:
                if not self.source.worthwhile(one.job):
                    one.ask("pruned")
        if self.stop.signals or self.stop.words:
            for one in self.running:
                if self.stop.signals:
                    one.ask("preempted")
                if len(self.stop.signals) > 1:
                    one.attempt.kill()
            return bool(self.running)
        if look:
            self.again += [job for at, job in self.elsewhere if at <= self.looked]
            self.elsewhere = [(at, job) for at, job in self.elsewhere if at > self.looked]
        while self._free() > 0 and not self.stop.words:
            job = self.again.pop(0) if self.again else self.source.next()
            if job is None:
                break
            if self.running and self._takes(job) > self._free():
                self.again.insert(0, job)
                break
            self._begin(job)
        return bool(self.running or self.elsewhere or self.again or self.source.more())

    def _wait(self, job: Job, seconds: float) -> None:
        self.elsewhere.append((time.monotonic() + seconds, job))

    def _takes(self, job: Job) -> int:
        return self.launcher.takes(job) if hasattr(self.launcher, "takes") else 1

    def _free(self) -> int:
        return self.launcher.slots - sum(one.slots for one in self.running)

    def _begin(self, job: Job) -> None:
        """Starts a job, unless another sweep has it or there is nothing to do."""
        try:
            claim = claimed(job)
        except OSError as error:
            self._end(job, "failed", f"it cannot be claimed: {job.file('lock')}: {error.strerror}")
            return
        if claim is None:
            self._wait(job, LOOK)
            return
        done = settled(job, self.since.get(job.run_id, self.began), self.launcher.retries)
        if done is not None or trained(job):
            claim.release()
            if done is None:
                self._wait(job, LOOK)
            else:
                self._end(job, *done)
            return
        started = _now()
        try:
            attempt = self.launcher.start(job)
        except Exception as error:  # of one job: the others go on
            words = str(error) if isinstance(error, LabError) else f"{type(error).__name__}: {error}"
            self._record(job, started=started, ended=_now(), state="failed", reason=words, where="")
            claim.release()
            self._failed(job, "failed", words)
            return
        self.running.append(Running(job, attempt, claim, started, self._takes(job)))
        self._record(job, started=started, ended=None, state="running", reason="", where=attempt.where)
        self.said(job, "running", attempt.where)

    def _watch(self, one: Running) -> None:
        """Looks at a job that runs; asks it to end, or makes it, where it is time."""
        code = one.attempt.poll()
        if code is None:
            if one.asked is None and self.launcher.timeout is not None and one.seconds > self.launcher.timeout:
                one.ask("timeout")
            if one.asked is not None and time.monotonic() - one.asked_at > (
                GRACE if one.asked == "preempted" else SHORT
            ):
                one.attempt.kill()
            return
        self.running.remove(one)
        job = one.job
        if code != 0 and one.attempt.lost() and self.lost.get(job.run_id, 0) < LOST:
            self.lost[job.run_id] = self.lost.get(job.run_id, 0) + 1
            self._record(
                job,
                started=one.started,
                ended=_now(),
                state="lost",
                reason="its machine is gone",
                where=one.attempt.where,
            )
            self.said(job, "lost", "its machine is gone: it is started again")
            self.again.append(job)
        elif code == 2 and one.asked is None and _busy(job):  # somebody trains the same run outside of this sweep
            self._record(
                job,
                started=one.started,
                ended=_now(),
                state="preempted",
                reason="it is trained elsewhere",
                where=one.attempt.where,
            )
            self._wait(job, BUSY)
        else:
            state, reason = settle(job, code, one.asked)
            self._record(job, started=one.started, ended=_now(), state=state, reason=reason, where=one.attempt.where)
            self._failed(job, state, reason)
        one.claim.release()

    def _failed(self, job: Job, state: str, reason: str) -> None:
        """An attempt has ended; if the first ones all failed for one reason, so would the others."""
        self.first.append(f"{state}: {reason}" if state == "failed" else "")
        self._end(job, state, reason)
        if (
            len(self.first) == ALIKE
            and self.first[0]
            and len(set(self.first)) == 1
            and (self.source.more() or self.again)
        ):
            self.stop.words = (
                f"the first {ALIKE} jobs all failed, for one reason, and no further one is started: {printable(reason)}"
            )

    def _end(self, job: Job, state: str, reason: str) -> None:
        self.states[job.run_id], self.since[job.run_id] = state, _now()
        self.source.ended(job, state)
        if state != "ok" or reason or self._attempted(job):
            self.said(job, state, reason)

    def _attempted(self, job: Job) -> bool:
        """Whether a job that is finished was not finished when this sweep began."""
        try:
            attempts = job.attempts()
        except LabError:
            return True
        return bool(attempts) and (attempts[-1]["ended"] or "") > self.began

    def _record(self, job: Job, **attempt: Unpack[AttemptRecord]) -> None:
        try:
            job.record_attempt({**attempt, "by": self.process})
        except OSError as error:  # a full disk ends no sweep
            log.warning("cannot note how %s went: %s", job.name, error.strerror)


def _busy(job: Job) -> bool:
    try:
        return job.folder.exists() and job.folder.state() == "running"
    except LabError:
        return False


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
