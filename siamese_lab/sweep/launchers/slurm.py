"""`launcher=slurm`: jobs through submitit, on a SLURM cluster or, to try it out, on this machine."""

import json
import shutil
import subprocess
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from siamese_lab.core.checks import require_at_least, require_choice, require_positive
from siamese_lab.core.errors import LabError
from siamese_lab.core.text import printable
from siamese_lab.runs import slurm_submission
from siamese_lab.runs.job import Job
from siamese_lab.sweep.launchers import _node
from siamese_lab.sweep.launchers._slurm_job import SlurmAttempt, SlurmTask
from siamese_lab.sweep.launchers._slurm_queue import Queue

if TYPE_CHECKING:
    from submitit import Job as SubmititJob


class Slurm:
    """Submits the jobs of a sweep.

    They stay in SLURM's queue when the sweep is killed; the same command again takes them up instead of submitting them
    twice. One whose time is up, or whose node is taken away, goes on from its checkpoint.

    Args:
        cluster: "slurm", or "local": processes of this machine.
        slots: jobs that wait or run at once, at least 1.
        partition, account: of SLURM; None = its defaults.
        cpus_per_task: a job's threads, at least 1; with `trainer.devices` as many times as many.
        gpus_per_node: of a job, at least 0; with `trainer.devices` as many times as many.
        mem_gb: of a job, > 0.
        minutes: until a job has to give its node back, at least 1; it is then put back into the queue, at most three
            times.
        setup: shell commands before a job, e.g. ["module load cuda"]; "local" does without them.
        extra: further parameters of submitit's executor, e.g. {slurm_qos: low}.
        timeout: seconds, > 0, after which a job is cancelled, waiting included; None = never.
        retries: further attempts that a failed job gets when the same command is given again, at least 0.

    Raises:
        ValueError: for values out of these ranges.
        LabError: if submitit is not installed, or there is no SLURM here.

    Examples:
        >>> from siamese_lab.sweep.launchers.slurm import Slurm
        >>> launcher = Slurm(cluster="local", slots=4, minutes=30)  # processes of this machine, to try it out
        >>> launcher.slots, launcher.retries
        (4, 2)
    """

    def __init__(
        self,
        cluster: Literal["slurm", "local"] = "slurm",
        slots: int = 20,
        partition: str | None = None,
        account: str | None = None,
        cpus_per_task: int = 4,
        gpus_per_node: int = 0,
        mem_gb: float = 16,
        minutes: int = 240,
        setup: list[str] | None = None,
        extra: dict[str, object] | None = None,
        timeout: float | None = None,
        retries: int = 2,
    ) -> None:
        require_choice("cluster", cluster, ("slurm", "local"))
        _node.check_limits(slots, timeout, retries)
        require_at_least("cpus_per_task", cpus_per_task, 1, "it counts a job's threads")
        require_at_least("gpus_per_node", gpus_per_node, 0, "it counts a job's GPUs")
        require_at_least("minutes", minutes, 1, "after them a job gives its node back")
        require_positive("mem_gb", mem_gb, "a job's memory")
        if find_spec("submitit") is None:
            raise LabError("launcher=slurm needs submitit: pip install 'siamese-lab[slurm]'")
        if cluster == "slurm" and not (shutil.which("sbatch") and shutil.which("srun")):
            raise LabError(
                "launcher=slurm needs SLURM's sbatch and srun, and they are not found: start the sweep on a machine "
                "that submits jobs, or try it out on this one with launcher.cluster=local"
            )
        self.cluster, self.slots, self.timeout, self.retries = cluster, slots, timeout, retries
        self.cpus, self.gpus, self.queue = cpus_per_task, gpus_per_node, Queue()
        self.parameters: dict[str, object] = {"timeout_min": minutes, "mem_gb": mem_gb, "tasks_per_node": 1, "nodes": 1}
        if cluster == "slurm":
            own = {"slurm_partition": partition, "slurm_account": account, "slurm_setup": list(setup or ()) or None}
            self.parameters |= {key: value for key, value in own.items() if value is not None}
        self.extra = dict(extra or {})

    def slots_of(self, job: Job) -> int:
        """1: SLURM counts devices itself."""
        return 1

    def start(self, job: Job) -> SlurmAttempt:
        """Submits a job, or takes up the one that an earlier sweep has submitted; see `execution.launcher.Launcher`.

        Raises:
            LabError: if SLURM or submitit refuses it.
        """
        earlier = slurm_submission.read_submission(job)
        if earlier is not None and earlier.cluster == self.cluster == "slurm" and self.queue.has(earlier.number):
            return self._attempt(job, earlier)
        _node.end_lost_run(job)
        ended = slurm_submission.new_exit_code_file(job)
        submitted = self._submit(job, json.dumps(_node.job_order(job, self.cpus)), str(ended))
        submission = slurm_submission.Submission(self.cluster, str(submitted.job_id), ended)
        slurm_submission.write_submission(job, submission)
        return self._attempt(job, submission, submitted)

    def close(self) -> None:
        """Does nothing: jobs stay in the queue."""

    def _attempt(
        self, job: Job, sent: slurm_submission.Submission, submitted: "SubmititJob[int] | None" = None
    ) -> SlurmAttempt:
        number, ended, queue = sent.number, sent.ended, self.queue
        if submitted is not None and self.cluster == "local":
            return SlurmAttempt(job, number, ended, lambda: "GONE" if submitted.done() else "RUNNING", str, "local")
        return SlurmAttempt(job, number, ended, lambda: queue.state(number), lambda: queue.node(number), "slurm")

    def _submit(self, job: Job, order: str, ended: str) -> "SubmititJob[int]":
        import submitit  # here: an optional package

        cpus, gpus = self.cpus * job.devices, self.gpus * job.devices
        own = {"name": f"{job.study}/{job.run_id}", "cpus_per_task": cpus, "gpus_per_node": gpus}
        if self.cluster == "slurm":
            own["slurm_srun_args"] = [f"--cpus-per-task={cpus}"]  # since 22.05 srun does not take it from sbatch
        try:
            executor = submitit.AutoExecutor(folder=slurm_submission.submissions_folder(job), cluster=self.cluster)
            executor.update_parameters(**(self.parameters | own | self.extra))
            return executor.submit(SlurmTask(), order, ended)
        except (TypeError, ValueError, NameError, AssertionError) as error:
            raise LabError(f"launcher.extra: submitit refuses {printable(error)[:500]}") from error
        except (submitit.core.utils.FailedJobError, RuntimeError, subprocess.SubprocessError) as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
            reason = next((line for line in lines if line.startswith("sbatch: error")), lines[-1])
            raise LabError(f"SLURM does not take the job: {printable(reason)[:500]}") from error
