"""Which jobs a sweep starts, and what it makes of those that it cannot start, read or write about."""

import json
import os
import signal
import subprocess
import sys

import pytest
from filelock import FileLock

from siamese_lab.core.processes import start_ticks, this_process
from siamese_lab.runs.job import Job
from siamese_lab.sweep.execution.job_source import JobList
from siamese_lab.sweep.execution.scheduler import schedule
from siamese_lab.sweep.execution.stop import Stop
from siamese_lab.sweep.launchers.local import Local
from tests import _commands
from tests.sweep._helpers import figures, fork_servers, process_of, start_sweep, wait_until, write_jobs

QUICK = ["trainer.max_epochs=1", "sampling.steps=4"]
LONG = ["trainer.max_epochs=40", "sampling.steps=10"]


def broken(count, words="nothing"):
    """Jobs whose configs cannot be read, all for one reason or each for its own."""
    jobs = [Job("broken", f"{number:012x}", {"seed": str(number)}) for number in range(count)]
    jobs[0].file("yaml").parent.mkdir(parents=True)
    for number, job in enumerate(jobs):
        job.file("yaml").write_text(f"{words if words == 'nothing' else f'{words}{number}: '}\n")
    return jobs


def run_sweep(jobs, **options):
    """Runs jobs in this process; returns their states in order, and what the user is told at the end."""
    stop = Stop()
    states = schedule(JobList(jobs), Local(**({"slots": 2} | options)), stop)
    return [states.get(job.run_id) for job in jobs], stop.reason


def test_where_the_first_three_fail_for_one_reason_no_further_one_is_started(outputs):
    jobs = broken(6)
    states, words = run_sweep(jobs, slots=1)
    assert states == ["failed"] * 3 + [None] * 3
    assert words.startswith("the first 3 jobs all failed, for one reason, and no further one is started: ")
    assert [len(job.attempts()) for job in jobs] == [1, 1, 1, 0, 0, 0]


def test_what_was_tried_too_often_is_not_tried_again_and_stops_nothing(outputs):
    jobs = broken(3)
    for attempts in (1, 2, 2):
        assert run_sweep(jobs, retries=1)[0] == ["failed"] * 3
        assert [len(job.attempts()) for job in jobs] == [attempts] * 3
    (good,) = write_jobs("good", ["seed=1"], common=QUICK)
    states, words = run_sweep([*jobs, good], retries=1)
    assert (states, words) == (["failed"] * 3 + ["ok"], None)


def test_a_job_that_cannot_be_started_takes_no_other_along(outputs):
    jobs = write_jobs("start", ["seed=1"], ["seed=2", "trainer.devices=2"], common=QUICK)
    jobs[1] = Job("start", jobs[1].run_id, jobs[1].point, devices=2)
    jobs[1].file("log").mkdir()
    jobs = [jobs[1], jobs[0]]
    states, words = run_sweep(jobs)
    assert (states, words) == (["failed", "ok"], None)
    assert "Is a directory" in jobs[0].attempts()[0]["reason"]


@pytest.mark.slow
def test_a_job_on_two_devices_takes_two_slots(outputs):
    jobs = write_jobs("two", ["seed=1", "trainer.devices=2"], ["seed=2"], common=QUICK)
    jobs[0] = Job("two", jobs[0].run_id, jobs[0].point, devices=2)
    seen, launcher = [], Local(slots=2)
    states = schedule(JobList(jobs), launcher, Stop(), on_tick=lambda running: seen.append(len(running)))
    assert list(states.values()) == ["ok", "ok"]
    assert max(seen) == 1
    assert jobs[0].folder.info()["decided"]["processes"] == 2
    assert launcher._free == [0, 1]


@pytest.mark.parametrize("harm", ["run.json", "checkpoints", "begun", "attempts"])
def test_what_a_kill_has_left_half_written_is_begun_anew(outputs, harm):
    (job,) = write_jobs("half", ["seed=1"], common=QUICK)
    assert run_sweep([job])[0] == ["ok"]
    whole = figures(job)
    if harm == "run.json":
        (job.folder.path / "run.json").write_text('{"schema": 2, "sta')
    elif harm == "checkpoints":
        job.folder.update(state="killed")
        for path in (job.folder.path / "checkpoints").iterdir():
            path.write_bytes(path.read_bytes()[:1000])
    elif harm == "begun":
        (job.folder.path / "run.json").unlink()
    else:
        job.folder.update(state="killed")
        job.file("json").write_text('{"schema": 2, "att')
    assert run_sweep([job])[0] == ["ok"]
    assert figures(job) == whole


@pytest.mark.slow
def test_jobs_outlive_the_server_that_they_were_forked_from(outputs):
    outputs.mkdir(parents=True)
    jobs = write_jobs("served", ["seed=1"], ["seed=2"], ["seed=3"], common=["trainer.max_epochs=6"])
    process = start_sweep("served", outputs, slots=2)
    wait_until(lambda: process_of(jobs[0]) and process_of(jobs[1]))
    (server,) = fork_servers(process.pid)
    os.kill(server, signal.SIGKILL)
    out, err = process.communicate(timeout=300)
    assert json.loads(out) == {job.run_id: "ok" for job in jobs}, err
    assert [len(job.attempts()) for job in jobs] == [1, 1, 1]


@pytest.mark.slow
def test_a_job_that_hangs_when_its_sweep_is_killed_is_taken_over(outputs):
    outputs.mkdir(parents=True)
    (job,) = write_jobs("hangs", ["seed=1"], common=["trainer.max_epochs=6"])
    first = start_sweep("hangs", outputs, slots=1)
    pid = wait_until(lambda: process_of(job))
    os.kill(pid, signal.SIGSTOP)
    with first:
        first.kill()
        first.wait(timeout=300)
        assert job.state() == "running"
        assert run_sweep([job])[0] == ["ok"]
    assert [attempt["state"] for attempt in job.attempts()] == ["running", "ok"]


@pytest.mark.slow
def test_a_run_that_somebody_resumes_is_waited_for(outputs):
    outputs.mkdir(parents=True)
    (job,) = write_jobs("resumed", ["seed=1"], common=LONG)
    first = start_sweep("resumed", outputs, slots=1)
    wait_until(lambda: process_of(job))
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=300)
    assert job.state() == "preempted"
    words = ["-m", "siamese_lab", "resume", str(job.folder.path), "--max-time", "0.02"]
    other = _commands.start(words, stdout=_commands.PIPE, stderr=_commands.PIPE)
    wait_until(lambda: job.state() == "running")
    assert run_sweep([job])[0] == ["ok"]
    other.communicate(timeout=300)
    assert [attempt["state"] for attempt in job.attempts()] == ["preempted", "ok"]


def test_a_job_that_another_sweep_has_is_waited_for(outputs):
    jobs = write_jobs("claimed", ["seed=1"], ["seed=2"], common=QUICK)
    held = FileLock(jobs[0].file("lock"))
    held.acquire()
    order = []

    def said(job, state, reason):
        order.append((job.point["seed"], state))
        if state == "ok":
            held.release()

    schedule(JobList(jobs), Local(slots=2), Stop(), said)
    assert order == [("2", "running"), ("2", "ok"), ("1", "running"), ("1", "ok")]


def test_the_first_signal_waits_for_checkpoints_and_the_second_does_not(outputs):
    outputs.mkdir(parents=True)
    (job,) = write_jobs("stopped", ["seed=1"], common=LONG)
    process = start_sweep("stopped", outputs, slots=1)
    os.kill(wait_until(lambda: process_of(job)), signal.SIGSTOP)
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert json.loads(out) == {job.run_id: "killed"}, err


def test_a_job_whose_sweep_died_before_the_run_began_is_not_said_to_run(outputs):
    (job,) = broken(1)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    by = this_process() | {"pid": dead.pid, "ticks": start_ticks(dead.pid)}
    dead.wait()
    attempt = {"started": "2026-01-01", "ended": None, "state": "running", "reason": "", "where": "slot 0"}
    job.record_attempt(attempt | {"by": by})
    assert job.state() == "killed"
    job.record_attempt(
        {
            "started": "2026-01-01",
            "ended": None,
            "state": "running",
            "reason": "",
            "where": "slot 0",
            "by": this_process(),
        }
    )
    assert job.state() == "running"
