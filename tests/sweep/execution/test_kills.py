"""Kills jobs, sweeps, and everything at once in real trainings; the figures must be those of an undisturbed sweep."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.sweep._helpers import figures, process_of, start_sweep, wait_until, write_jobs

POINTS = [[f"loss={loss}", f"seed={seed}"] for seed in (1, 2) for loss in ("contrastive", "triplet")]
LONG = ["trainer.max_epochs=6", "sampling.steps=10"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The figures of a sweep that nothing happens to, by run id."""
    patch = pytest.MonkeyPatch()
    outputs = tmp_path_factory.mktemp("undisturbed")
    patch.setenv("SIAMESE_LAB_OUTPUTS", str(outputs))
    jobs = write_jobs("kills", *POINTS, common=LONG)
    done = start_sweep("kills", outputs)
    out, err = done.communicate(timeout=300)
    assert set(json.loads(out).values()) == {"ok"}, err
    found = {job.run_id: figures(job) for job in jobs}
    patch.undo()
    return found


@pytest.fixture
def jobs(outputs):
    outputs.mkdir(parents=True, exist_ok=True)
    return write_jobs("kills", *POINTS, common=LONG)


def finished(jobs, outputs, undisturbed):
    """Gives the command again: everything is finished then, and as it would have been."""
    again = start_sweep("kills", outputs)
    out, err = again.communicate(timeout=300)
    assert set(json.loads(out).values()) == {"ok"}, err
    assert {job.run_id: figures(job) for job in jobs} == undisturbed


def test_a_killed_job_takes_no_other_along(jobs, outputs, undisturbed):
    process = start_sweep("kills", outputs)
    os.kill(wait_until(lambda: process_of(jobs[0])), signal.SIGKILL)
    out, err = process.communicate(timeout=300)
    states = json.loads(out)
    assert states == {job.run_id: "killed" if job is jobs[0] else "ok" for job in jobs}, err
    assert "signal 9" in jobs[0].attempts()[-1]["reason"]
    assert jobs[0].folder.info()["state"] == "killed"
    finished(jobs, outputs, undisturbed)
    assert [len(job.attempts()) for job in jobs] == [2, 1, 1, 1]


def test_a_killed_sweep_takes_its_jobs_along_and_goes_on_exactly(jobs, outputs, undisturbed):
    process = start_sweep("kills", outputs)
    pids = [wait_until(lambda job=job: process_of(job)) for job in jobs[:2]]
    process.kill()
    process.communicate(timeout=300)
    wait_until(lambda: not any(_there(pid) for pid in pids))
    finished(jobs, outputs, undisturbed)


@pytest.mark.slow
def test_everything_killed_at_once(jobs, outputs, undisturbed):
    process = start_sweep("kills", outputs)
    pids = [wait_until(lambda job=job: process_of(job)) for job in jobs[:2]]
    for pid in [process.pid, *_children(process.pid), *pids]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.communicate(timeout=300)
    finished(jobs, outputs, undisturbed)


@pytest.mark.slow
def test_ctrl_c_stops_with_checkpoints(jobs, outputs, undisturbed):
    process = start_sweep("kills", outputs)
    wait_until(lambda: process_of(jobs[0]) and process_of(jobs[1]))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=300)
    assert [job.state() for job in jobs] == ["preempted", "preempted", "queued", "queued"]
    finished(jobs, outputs, undisturbed)


@pytest.mark.slow
def test_two_sweeps_at_once_start_nothing_twice(jobs, outputs, undisturbed):
    both = [start_sweep("kills", outputs, slots=2) for _ in range(2)]  # one thread a job, as undisturbed
    for process in both:
        out, err = process.communicate(timeout=300)
        assert json.loads(out) == {job.run_id: "ok" for job in jobs}, err
    assert [len(job.attempts()) for job in jobs] == [1, 1, 1, 1]
    assert {job.run_id: figures(job) for job in jobs} == undisturbed


@pytest.mark.slow
def test_a_sweep_takes_over_what_a_killed_one_leaves(jobs, outputs, undisturbed):
    first = start_sweep("kills", outputs, slots=2)
    wait_until(lambda: process_of(jobs[0]) and process_of(jobs[1]))
    second = start_sweep("kills", outputs, slots=2)
    wait_until(lambda: process_of(jobs[2]))
    first.kill()
    first.communicate(timeout=300)
    out, err = second.communicate(timeout=300)
    assert json.loads(out) == {job.run_id: "ok" for job in jobs}, err
    assert {job.run_id: figures(job) for job in jobs} == undisturbed


@pytest.mark.slow
def test_what_cannot_go_on_ends_with_its_state_and_the_others_finish(outputs):
    outputs.mkdir(parents=True)
    points = [["seed=1", "optimizer.lr=1e30", "trainer.gradient_clip_val=null"], ["seed=2"], ["seed=3"]]
    jobs = write_jobs("states", *points, common=LONG)
    process = start_sweep("states", outputs, timeout=90, slots=2)
    os.kill(wait_until(lambda: process_of(jobs[1])), signal.SIGSTOP)  # it hangs
    out, err = process.communicate(timeout=300)
    assert [json.loads(out)[job.run_id] for job in jobs] == ["diverged", "timeout", "ok"], err
    assert jobs[1].folder.info()["state"] == "timeout"
    again = start_sweep("states", outputs, slots=2)
    out, err = again.communicate(timeout=300)
    assert [json.loads(out)[job.run_id] for job in jobs] == ["diverged", "ok", "ok"], err
    assert [len(job.attempts()) for job in jobs] == [1, 2, 1]  # what diverged is not tried again


def _there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _children(pid):
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
