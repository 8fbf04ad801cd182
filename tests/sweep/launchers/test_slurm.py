"""Sweeps through submitit, for real: on this machine, with real trainings."""

import os
import shutil
import signal
import threading

import pytest

from siamese_lab.core.errors import LabError
from siamese_lab.sweep.execution.job_source import JobList
from siamese_lab.sweep.execution.scheduler import schedule
from siamese_lab.sweep.execution.stop import Stop
from siamese_lab.sweep.launchers.local import Local
from siamese_lab.sweep.launchers.slurm import Slurm
from tests.sweep._helpers import figures, process_of, wait_until, write_jobs

POINTS = [[f"loss={loss}", "seed=1"] for loss in ("contrastive", "triplet")]
LONG = ["trainer.max_epochs=6", "sampling.steps=16"]  # some seconds
RANGES = {
    Local: [{"slots": 0}, {"gpu_share": 0}, {"gpu_share": 2}, {"timeout": 0}, {"retries": -1}],
    Slurm: [
        {"slots": 0},
        {"cpus_per_task": 0},
        {"gpus_per_node": -1},
        {"mem_gb": 0},
        {"minutes": 0},
        {"timeout": 0},
        {"cluster": "pbs"},
    ],
}
# submitit's executor for one machine does not wait for the process that watches a job
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")


@pytest.mark.parametrize(("launcher", "options"), [(kind, one) for kind, found in RANGES.items() for one in found])
def test_values_out_of_range_are_refused(launcher, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        launcher(**options)


@pytest.mark.skipif(shutil.which("sbatch") is not None, reason="there is a SLURM here")
def test_a_machine_without_slurm():
    with pytest.raises(LabError, match="needs SLURM's sbatch and srun"):
        Slurm()


@pytest.mark.slow
def test_a_killed_job_takes_no_other_along_and_goes_on(outputs):
    outputs.mkdir(parents=True)
    quiet = write_jobs("quiet", *POINTS, common=LONG)
    schedule(JobList(quiet), Local(slots=len(os.sched_getaffinity(0))), Stop())
    jobs = write_jobs("queued", *POINTS, common=LONG)
    options = {"cluster": "local", "slots": 2, "cpus_per_task": 1}
    thread = threading.Thread(target=lambda: os.kill(wait_until(lambda: process_of(jobs[0])), signal.SIGKILL))
    thread.start()
    states = schedule(JobList(jobs), Slurm(**options), Stop())
    thread.join()
    assert [states[job.run_id] for job in jobs] == ["killed", "ok"]
    states = schedule(JobList(jobs), Slurm(**options), Stop())
    assert [states[job.run_id] for job in jobs] == ["ok", "ok"]
    assert len(jobs[0].attempts()) == 2
    assert [figures(job) for job in jobs] == [figures(job) for job in quiet]


def test_a_job_that_is_asked_to_stop_leaves_a_checkpoint(outputs):
    outputs.mkdir(parents=True)
    (job,) = write_jobs("stopped", POINTS[0], common=["trainer.max_epochs=500"])
    attempt = Slurm(cluster="local", slots=1, cpus_per_task=1).start(job)
    wait_until(lambda: process_of(job))
    attempt.stop()
    assert wait_until(lambda: attempt.poll() is not None)
    assert job.folder.state() == "preempted"
