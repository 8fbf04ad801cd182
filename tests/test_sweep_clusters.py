"""Sweeps on Ray and through submitit, for real: on this machine, with real trainings."""

import os
import signal
import threading

import pytest
from sweep_parts import figures, process_of, until, written

from siamese_lab.cli import main
from siamese_lab.errors import LabError
from siamese_lab.sweep import schedule
from siamese_lab.sweep.local import Local
from siamese_lab.sweep.ray_cluster import Ray
from siamese_lab.sweep.slurm import Slurm

POINTS = [[f"loss={loss}", f"seed={seed}"] for seed in (1, 2) for loss in ("contrastive", "triplet")]
LONG = ["trainer.max_epochs=6", "sampling.steps=16"]  # some seconds
RANGES = {
    Local: [{"slots": 0}, {"gpu_share": 0}, {"gpu_share": 2}, {"timeout": 0}, {"retries": -1}],
    Ray: [{"slots": 0}, {"cpus_per_job": 0}, {"gpus_per_job": -1}, {"timeout": 0}, {"retries": -1}],
    Slurm: [{"slots": 0}, {"cpus_per_task": 0}, {"gpus_per_node": -1}, {"mem_gb": 0}, {"minutes": 0}, {"timeout": 0}, {"cluster": "pbs"}],
}


@pytest.mark.parametrize(("launcher", "options"), [(kind, one) for kind, found in RANGES.items() for one in found])
def test_values_out_of_range_are_refused(launcher, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        launcher(**options)


def test_a_cluster_that_is_not_there(outputs, capsys):
    assert main(["plan", "seed=1,2", "launcher=ray", "launcher.address=localhost:1"]) == 2
    assert "no Ray cluster at launcher.address=localhost:1" in capsys.readouterr().err
    outputs.mkdir(parents=True, exist_ok=True)
    (job,) = written("none", POINTS[0])
    with pytest.raises(LabError, match="needs sbatch"):
        Slurm().start(job)


def test_submitit_runs_the_jobs_and_a_killed_one_goes_on(outputs):
    outputs.mkdir(parents=True)
    jobs = written("queued", *POINTS[:2], common=LONG)
    killed = []

    def kill():
        killed.append(until(lambda: process_of(jobs[0])))
        os.kill(killed[0], signal.SIGKILL)

    options = {"cluster": "local", "slots": 2, "cpus_per_task": 1}
    thread = threading.Thread(target=kill)
    thread.start()
    states = schedule.run(schedule.Listed(jobs), Slurm(**options), schedule.Stop())
    thread.join()
    assert [states[job.run_id] for job in jobs] == ["killed", "ok"]
    states = schedule.run(schedule.Listed(jobs), Slurm(**options), schedule.Stop())
    assert [states[job.run_id] for job in jobs] == ["ok", "ok"]
    assert len(jobs[0].attempts()) == 2


@pytest.mark.slow
def test_ray_survives_a_node(outputs, monkeypatch):
    """A cluster of two nodes on this machine, one of which is killed in the middle: all runs finish, with the figures of a quiet sweep."""
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    outputs.mkdir(parents=True)
    quiet = written("quiet", *POINTS, common=LONG)
    schedule.run(schedule.Listed(quiet), Local(slots=len(os.sched_getaffinity(0))), schedule.Stop())
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        second = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        jobs = written("nodes", *POINTS, common=LONG)

        def kill():
            until(lambda: sum(process_of(job) is not None for job in jobs) == 2, 120)  # one on each node
            cluster.remove_node(second, allow_graceful=False)

        thread = threading.Thread(target=kill)
        thread.start()
        states = schedule.run(schedule.Listed(jobs), Ray(address=cluster.address), schedule.Stop())
        thread.join()
    finally:
        cluster.shutdown()
    assert set(states.values()) == {"ok"}
    assert [figures(job) for job in jobs] == [figures(job) for job in quiet]
    lost = [attempt for job in jobs for attempt in job.attempts() if attempt["state"] == "lost"]
    assert len(lost) >= 1
