"""Sweeps on Ray, for real: a cluster on this machine, real trainings, jobs and nodes that are killed."""

import importlib.util
import os
import signal
import socket
import threading

import pytest

from siamese_lab.core.errors import LabError
from siamese_lab.sweep.execution.job_source import JobList
from siamese_lab.sweep.execution.scheduler import schedule
from siamese_lab.sweep.execution.stop import Stop
from siamese_lab.sweep.launchers import ray
from siamese_lab.sweep.launchers.local import Local
from siamese_lab.sweep.launchers.ray import Ray, jobs_that_fit, refuse_unreachable
from tests.sweep._helpers import figures, process_of, wait_until, write_jobs

needs_ray = pytest.mark.skipif(  # in CI a Ray that is not there is a failure
    importlib.util.find_spec("ray") is None and os.environ.get("CI") != "true", reason="Ray is not installed"
)
POINTS = [[f"loss={loss}", f"seed={seed}"] for seed in (1, 2) for loss in ("contrastive", "triplet")]
LONG = ["trainer.max_epochs=6", "sampling.steps=16"]  # some seconds
ONE_THREAD = {"slots": len(os.sched_getaffinity(0))}  # as Ray's jobs have


@pytest.fixture
def quick(monkeypatch):
    """Warnings of Ray that are its own tests' business are not shown by it."""
    for name, value in ray.QUIET.items():
        monkeypatch.setenv(name, value)


def gone(pid):
    """Whether a process has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize(
    "options",
    [
        {"slots": 0},
        {"cpus_per_job": 0},
        {"cpus_per_job": float("nan")},
        {"gpus_per_job": -1},
        {"gpus_per_job": 1.5},
        {"timeout": 0},
        {"retries": -1},
    ],
)
def test_values_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Ray(**options)


def test_without_ray(monkeypatch):
    monkeypatch.setattr(ray, "find_spec", lambda name: None)
    with pytest.raises(LabError, match=r"pip install 'siamese-lab\[ray\]'"):
        Ray()


def test_jobs_fit_on_one_node_each():
    nodes = [{"CPU": 3.0, "GPU": 1.0}, {"CPU": 3.0}]
    assert jobs_that_fit(nodes, 1, 0) == 6
    assert jobs_that_fit(nodes, 2, 0) == 2  # not 6 / 2
    assert jobs_that_fit(nodes, 0.5, 0.5) == 2
    assert jobs_that_fit(nodes, 1, 0.1) == 3
    assert jobs_that_fit([], 1, 0) == 0


@needs_ray
def test_a_cluster_that_is_not_there():
    with pytest.raises(LabError, match=r"no Ray cluster at launcher.address=localhost:1: .*refused"):
        _ = Ray(address="localhost:1").slots
    with pytest.raises(LabError, match="only a machine that is a node"):
        refuse_unreachable("ray://localhost:10001")
    with socket.socket() as other:  # something listens, but it is no Ray: Ray itself tries for minutes
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(LabError, match="nothing that answers as Ray does"):
            refuse_unreachable(f"127.0.0.1:{other.getsockname()[1]}", seconds=2)


@needs_ray
@pytest.mark.slow
def test_jobs_are_stopped_killed_and_gone_on_with(outputs, quick):
    outputs.mkdir(parents=True)
    quiet = write_jobs("quiet", *POINTS[:2], common=LONG)
    schedule(JobList(quiet), Local(**ONE_THREAD), Stop())
    first, second = write_jobs("ray", *POINTS[:2], common=LONG)
    (large,) = write_jobs("large", POINTS[0], common=LONG)
    launcher = Ray(slots=2, cpus_per_job=0.5)
    try:
        stopped, killed = launcher.start(first), launcher.start(second)
        pids = [wait_until(lambda job=job: process_of(job)) for job in (first, second)]
        killed.kill()
        stopped.stop()
        assert wait_until(killed.poll) == -signal.SIGKILL
        assert wait_until(stopped.poll) == 75
        assert first.folder.state() == "preempted"
        assert not stopped.lost()
        assert not killed.lost()
        assert all(gone(pid) for pid in pids)
        assert stopped.where == f"node {os.uname().nodename}"
        launcher.cpus = 1000
        with pytest.raises(LabError, match=r"needs 1000 CPUs and 0 GPUs on one node"):
            launcher.start(large)
        launcher.cpus = 0.5
        states = schedule(JobList([first, second]), launcher, Stop())
    finally:
        launcher.close()
    assert set(states.values()) == {"ok"}
    assert [figures(job) for job in (first, second)] == [figures(job) for job in quiet]


@pytest.mark.slow
@needs_ray
def test_a_node_that_dies(outputs, quick):
    """One of two nodes on this machine is killed in the middle: all runs finish, with the figures of a quiet sweep."""
    outputs.mkdir(parents=True)
    quiet = write_jobs("quiet", *POINTS, common=LONG)
    schedule(JobList(quiet), Local(**ONE_THREAD), Stop())
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        second = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        jobs = write_jobs("nodes", *POINTS, common=LONG)
        launcher = Ray(address=cluster.address)
        assert launcher.slots == 2

        def kill():
            wait_until(lambda: sum(process_of(job) is not None for job in jobs) == 2, 120)  # one on each node
            cluster.remove_node(second, allow_graceful=False)

        thread = threading.Thread(target=kill)
        thread.start()
        states = schedule(JobList(jobs), launcher, Stop())
        thread.join()
    finally:
        cluster.shutdown()
    assert set(states.values()) == {"ok"}
    assert [figures(job) for job in jobs] == [figures(job) for job in quiet]
    lost = [attempt for job in jobs for attempt in job.attempts() if attempt["state"] == "lost"]
    assert len(lost) >= 1
