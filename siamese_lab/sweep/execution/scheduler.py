"""Runs the jobs of a study in a launcher's slots; several sweeps may do so at once, each job is claimed by a lock."""

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from filelock import FileLock

from siamese_lab.core.errors import LabError
from siamese_lab.core.processes import this_process
from siamese_lab.core.text import printable
from siamese_lab.runs.attempts import AttemptRecord
from siamese_lab.runs.job import Job
from siamese_lab.sweep.execution.claims import claim_job, final_state, is_trained_elsewhere
from siamese_lab.sweep.execution.job_source import JobSource
from siamese_lab.sweep.execution.launcher import Attempt, Launcher
from siamese_lab.sweep.execution.outcome import record_outcome
from siamese_lab.sweep.execution.stop import Stop

log = logging.getLogger(__name__)

POLL = 0.05  # seconds
LOOK = 1.0  # seconds between two looks at whether a job should go on, or is free again
BUSY = 30.0  # seconds until a job is looked at again whose run another machine seems to train
GRACE = 60.0  # seconds for a checkpoint, once a job was asked to end because the sweep is
SHORT_GRACE = 10.0  # seconds for one, once it was asked to end for another reason
ALIKE = 3  # first jobs that fail for one reason, after which no further one is started
MAX_LOST = 5  # times that a job is started again since its machine is gone

OnChange = Callable[[Job, str, str], None]
"""Told when a job starts ("running", and where) and what state it ended in, with the reason."""


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

    def ask_to_end(self, why: str) -> None:
        """Asks it to end with a checkpoint."""
        if self.asked is None:
            self.asked, self.asked_at = why, time.monotonic()
            self.attempt.stop()


def schedule(
    source: JobSource,
    launcher: Launcher,
    stop: Stop,
    on_change: OnChange = lambda job, state, reason: None,
    on_tick: Callable[[list[Running]], None] = lambda running: None,
) -> dict[str, str]:
    """Runs what the source gives until it gives no more, or `stop` is asked for.

    Args:
        stop: what is asked of the sweep meanwhile.
        on_change: see `OnChange`.
        on_tick: called some ten times a second with the jobs that run.

    Returns:
        {run id: state} of all jobs that were given out.
    """
    scheduler = _Scheduler(source, launcher, stop, on_change)
    try:
        while scheduler.step():
            on_tick(scheduler.running)
            time.sleep(POLL)
    finally:
        for one in scheduler.running:
            one.attempt.kill()
            one.claim.release()
        launcher.close()
    return scheduler.states


class _Scheduler:
    def __init__(self, source: JobSource, launcher: Launcher, stop: Stop, on_change: OnChange) -> None:
        self.source, self.launcher, self.stop, self.on_change = source, launcher, stop, on_change
        self.began, self.process = _now(), this_process()
        self.running: list[Running] = []
        self.postponed: list[tuple[float, Job]] = []  # claimed or trained by others; when to look again
        self.waiting: list[Job] = []  # their machine is gone, or there was no slot for them
        self.lost = Counter[str]()
        self.ended_at: dict[str, str] = {}  # of jobs that the source may give again
        self.states: dict[str, str] = {}
        self.first_failures: list[str] = []  # of the first attempts of this sweep; "" = it did not fail
        self.looked = 0.0

    def step(self) -> bool:
        """Does what there is to do now; whether there is more to come."""
        for one in list(self.running):
            self._watch(one)
        self.stop.check_time()
        if look := time.monotonic() - self.looked > LOOK:
            self.looked = time.monotonic()
            for one in self.running:
                if not self.source.should_continue(one.job):
                    one.ask_to_end("pruned")
        if self.stop.signals or self.stop.reason:
            for one in self.running:
                if self.stop.signals:
                    one.ask_to_end("preempted")
                if len(self.stop.signals) > 1:
                    one.attempt.kill()
            return bool(self.running)
        if look:
            self.waiting += [job for at, job in self.postponed if at <= self.looked]
            self.postponed = [(at, job) for at, job in self.postponed if at > self.looked]
        while self._free_slots() > 0 and not self.stop.reason:
            job = self.waiting.pop(0) if self.waiting else self.source.next_job()
            if job is None:
                break
            if self.running and self.launcher.slots_of(job) > self._free_slots():
                self.waiting.insert(0, job)
                break
            self._begin(job)
        return bool(self.running or self.postponed or self.waiting or self.source.has_more())

    def _free_slots(self) -> int:
        return self.launcher.slots - sum(one.slots for one in self.running)

    def _postpone(self, job: Job, seconds: float) -> None:
        self.postponed.append((time.monotonic() + seconds, job))

    def _begin(self, job: Job) -> None:
        """Starts a job, unless another sweep has it or there is nothing to do."""
        try:
            claim = claim_job(job)
        except OSError as error:
            self._end(job, "failed", f"it cannot be claimed: {job.file('lock')}: {error.strerror}")
            return
        if claim is None:
            self._postpone(job, LOOK)
            return
        done = final_state(job, self.ended_at.get(job.run_id, self.began), self.launcher.retries)
        if done is not None or is_trained_elsewhere(job):
            claim.release()
            if done is None:
                self._postpone(job, LOOK)
            else:
                self._end(job, *done)
            return
        started = _now()
        try:
            attempt = self.launcher.start(job)
        except Exception as error:  # of one job: the others go on
            reason = str(error) if isinstance(error, LabError) else f"{type(error).__name__}: {error}"
            self._record(job, started, "failed", reason, where="")
            claim.release()
            self._end_attempt(job, "failed", reason)
            return
        self.running.append(Running(job, attempt, claim, started, self.launcher.slots_of(job)))
        self._record(job, started, "running", "", attempt.where)
        self.on_change(job, "running", attempt.where)

    def _watch(self, one: Running) -> None:
        """Looks at a job that runs; asks it to end, or kills it, where it is time."""
        job, code, now = one.job, one.attempt.poll(), time.monotonic()
        if code is None:
            if self.launcher.timeout is not None and now - one.began > self.launcher.timeout:
                one.ask_to_end("timeout")
            if one.asked and now - one.asked_at > (GRACE if one.asked == "preempted" else SHORT_GRACE):
                one.attempt.kill()
            return
        self.running.remove(one)
        if code != 0 and one.attempt.lost() and self.lost[job.run_id] < MAX_LOST:
            self.lost[job.run_id] += 1
            self._record(job, one.started, "lost", "its machine is gone", one.attempt.where)
            self.on_change(job, "lost", "its machine is gone: it is started again")
            self.waiting.append(job)
        elif code == 2 and one.asked is None and _is_busy(job):  # somebody trains the run outside of this sweep
            self._record(job, one.started, "preempted", "it is trained elsewhere", one.attempt.where)
            self._postpone(job, BUSY)
        else:
            state, reason = record_outcome(job, code, one.asked)
            self._record(job, one.started, state, reason, one.attempt.where)
            self._end_attempt(job, state, reason)
        one.claim.release()

    def _end_attempt(self, job: Job, state: str, reason: str) -> None:
        """Ends a job after an attempt; if the first ones all failed for one reason, so would the others."""
        self.first_failures.append(f"{state}: {reason}" if state == "failed" else "")
        self._end(job, state, reason)
        alike = len(self.first_failures) == ALIKE and len(set(self.first_failures)) == 1 and self.first_failures[0]
        if alike and (self.source.has_more() or self.waiting):
            words = f"the first {ALIKE} jobs all failed, for one reason, and no further one is started"
            self.stop.reason = f"{words}: {printable(reason)}"

    def _end(self, job: Job, state: str, reason: str) -> None:
        self.states[job.run_id], self.ended_at[job.run_id] = state, _now()
        self.source.record_end(job, state)
        if state != "ok" or reason or self._was_attempted(job):
            self.on_change(job, state, reason)

    def _was_attempted(self, job: Job) -> bool:
        """Whether a finished job was not finished yet when this sweep began."""
        try:
            attempts = job.attempts()
        except LabError:
            return True
        return bool(attempts) and (attempts[-1]["ended"] or "") > self.began

    def _record(self, job: Job, started: str, state: str, reason: str, where: str) -> None:
        ended = None if state == "running" else _now()
        attempt = AttemptRecord(started=started, ended=ended, state=state, reason=reason, where=where, by=self.process)
        try:
            job.record_attempt(attempt)
        except OSError as error:  # a full disk ends no sweep
            log.warning("cannot record how %s went: %s", job.name, error.strerror)


def _is_busy(job: Job) -> bool:
    try:
        return job.folder.exists() and job.folder.state() == "running"
    except LabError:
        return False


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
