"""`launcher=slurm`: jobs through submitit, on a SLURM cluster or, to try it out, on this machine."""

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from siamese_lab.errors import LabError
from siamese_lab.sweep.job import Job


class Slurm:
    """Submits the jobs of a sweep.

    Args:
        cluster: "slurm", or "local": processes of this machine.
        slots: jobs that wait or run at once, at least 1.
        partition, account: of SLURM; None = its defaults.
        cpus_per_task: a job's threads, at least 1.
        gpus_per_node: of a job, at least 0.
        mem_gb: of a job, > 0.
        minutes: limit of a job, at least 1.
        extra: further parameters of submitit's executor.
        timeout: seconds, > 0, after which a job is cancelled, waiting included; None = never.
        retries: further attempts that a failed job gets when the same command is given again, at least 0.

    Raises:
        ValueError: for values out of these ranges.
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
        extra: dict[str, Any] | None = None,
        timeout: float | None = None,
        retries: int = 2,
    ) -> None:
        if cluster not in ("slurm", "local"):
            raise ValueError(f"cluster must be slurm or local, got {cluster!r}")
        at_least = {"slots": (slots, 1), "cpus_per_task": (cpus_per_task, 1), "gpus_per_node": (gpus_per_node, 0), "minutes": (minutes, 1)}
        for name, (value, least) in (at_least | {"retries": (retries, 0)}).items():
            if not value >= least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if not mem_gb > 0:
            raise ValueError(f"mem_gb must be > 0, got {mem_gb}")
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout must be > 0 seconds, got {timeout}: null = never")
        self.cluster, self.slots, self.timeout, self.retries, self.cpus = cluster, slots, timeout, retries, cpus_per_task
        self.parameters: dict[str, Any] = {"timeout_min": minutes, "cpus_per_task": cpus_per_task, "gpus_per_node": gpus_per_node}
        self.parameters |= {"mem_gb": mem_gb, "tasks_per_node": 1, "nodes": 1}
        own = {"slurm_partition": partition, "slurm_account": account} if cluster == "slurm" else {}
        self.parameters |= {key: value for key, value in own.items() if value is not None} | dict(extra or {})
        self._executor: Any = None

    def start(self, job: Job) -> "Submitted":
        """Submits a job; see `launching.Launcher`."""
        study = job.file("yaml").parent.parent.resolve()
        executor = self._made(study / "jobs" / "slurm")
        made = executor.submit(work, str(study), job.run_id, self.cpus, str(job.file("log").resolve()), list(filter(None, sys.path)))
        return Submitted(made, f"{self.cluster} {made.job_id}")

    def close(self) -> None:
        """Nothing is held."""

    def _made(self, folder: Path) -> Any:
        if self._executor is None:
            try:
                import submitit
            except ImportError as error:
                raise LabError("launcher=slurm needs submitit: pip install 'siamese-lab[slurm]'") from error
            if self.cluster == "slurm" and shutil.which("sbatch") is None:
                raise LabError("launcher=slurm needs sbatch, and there is none: start the sweep on a node of the cluster that submits jobs")
            self._executor = submitit.AutoExecutor(folder=folder, cluster=self.cluster)
            try:
                self._executor.update_parameters(**self.parameters)
            except (TypeError, ValueError, NameError) as error:
                raise LabError(f"launcher.extra: submitit refuses {error}") from error
        return self._executor


def work(study: str, run_id: str, threads: int, log: str, path: list[str]) -> int:
    """What the node does: the job as a process of its own, which ends with this one; returns its exit code."""
    command = [sys.executable, "-m", "siamese_lab.sweep.worker", study, run_id, "--threads", str(threads), "--follow-stdin"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path)}
    with Path(log).open("ab") as words:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command, stdin=subprocess.PIPE, stdout=words, stderr=words, env=environment
        )
    return process.wait()


@dataclass
class Submitted:
    """A job in the queue, see `launching.Attempt`."""

    job: Any
    where: str
    _code: int | None = field(default=None, init=False)

    def poll(self) -> int | None:
        """Its exit code; None while it runs or waits for its turn."""
        if self._code is None and self.job.done():
            try:
                self._code = int(self.job.result())
            except Exception:  # submitit's own, of a job that left no result: it was killed or cancelled
                self._code = -9
        return self._code

    def stop(self) -> None:
        """Cancels it: SLURM sends SIGTERM first, upon which it ends with a checkpoint."""
        with suppress(Exception):
            self.job.cancel()

    def kill(self) -> None:
        """Cancels it."""
        self.stop()

    def lost(self) -> bool:
        """Whether SLURM says that its node failed."""
        return str(getattr(self.job, "state", "")) in ("NODE_FAIL", "BOOT_FAIL")
