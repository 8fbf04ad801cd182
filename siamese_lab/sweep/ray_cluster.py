"""`launcher=ray`: jobs on a Ray cluster. Ray Core gives out the places; the jobs are the same processes as everywhere."""

import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from siamese_lab.errors import LabError
from siamese_lab.sweep.job import Job

REACH = 15  # seconds for a cluster to answer
LOST = -1000  # in place of an exit code: the node is gone


class Ray:
    """Starts the jobs of a sweep on the nodes of a Ray cluster.

    A node that dies takes its jobs along; they are started again on another one and go on from their checkpoints, which must lie on a
    disk that all nodes share.

    Args:
        address: of a cluster, "host:port" or "auto"; None = one on this machine for as long as the sweep runs.
        slots: jobs at once, at least 1; "auto" = as many as the cluster has CPUs, or GPUs, for.
        cpus_per_job: CPUs that a job takes, > 0; its threads are as many, at least 1.
        gpus_per_job: GPUs that a job takes, >= 0; 0.5 = two jobs a GPU.
        timeout: seconds, > 0, after which a job counts as hanging and is killed; None = never.
        retries: further attempts that a failed job gets when the same command is given again, at least 0.

    Raises:
        ValueError: for values out of these ranges.
        LabError: if Ray is not installed, or no cluster answers.
    """

    def __init__(
        self,
        address: str | None = None,
        slots: int | Literal["auto"] = "auto",
        cpus_per_job: float = 1.0,
        gpus_per_job: float = 0.0,
        timeout: float | None = None,
        retries: int = 2,
    ) -> None:
        if slots != "auto" and not slots >= 1:
            raise ValueError(f"slots must be at least 1, or auto, got {slots}: it counts jobs at once")
        if not cpus_per_job > 0 or not gpus_per_job >= 0:
            raise ValueError(f"cpus_per_job must be > 0 and gpus_per_job >= 0, got {cpus_per_job} and {gpus_per_job}")
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout must be > 0 seconds, got {timeout}: null = never")
        if not retries >= 0:
            raise ValueError(f"retries must be at least 0, got {retries}")
        self.address, self.asked, self.timeout, self.retries = address, slots, timeout, retries
        self.cpus, self.gpus = cpus_per_job, gpus_per_job
        self._ray: Any = None

    @property
    def slots(self) -> int:
        """Jobs at once, by what the cluster has now."""
        if self.asked != "auto":
            return int(self.asked)
        there = self._cluster().cluster_resources()
        by_cpu = int(there.get("CPU", 0) / self.cpus)
        return max(1, min(by_cpu, int(there.get("GPU", 0) / self.gpus)) if self.gpus else by_cpu)

    def start(self, job: Job) -> "Placed":
        """Starts a job; see `launching.Launcher`."""
        ray = self._cluster()
        options = {"num_cpus": self.cpus * job.devices, "num_gpus": self.gpus * job.devices, "max_restarts": 0, "max_task_retries": 0}
        place = ray.remote(Place).options(**options).remote()
        study, log = str(job.file("yaml").parent.parent.resolve()), str(job.file("log").resolve())
        code = place.work.remote(study, job.run_id, max(1, int(self.cpus)), log, str(Path.cwd()), list(filter(None, sys.path)))
        return Placed(ray, place, code)

    def close(self) -> None:
        """Leaves the cluster; one that was started here ends."""
        if self._ray is not None:
            self._ray.shutdown()

    def _cluster(self) -> Any:
        if self._ray is None:
            os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else Ray warns that this will be its way
            os.environ.setdefault("RAY_raylet_start_wait_time_s", str(2 * REACH))
            try:
                import ray
            except ImportError as error:
                raise LabError("launcher=ray needs Ray: pip install 'siamese-lab[ray]'") from error
            if self.address not in (None, "auto", "local"):
                _refuse_silent(str(self.address))
            try:
                ray.init(address=self.address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, RuntimeError, ValueError) as error:
                words = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
                raise LabError(f"no Ray cluster at launcher.address={self.address}: {words}: start one with `ray start --head`") from error
            self._ray = ray
        return self._ray


class Place:
    """An actor that holds a job's share of a node and runs its process there."""

    def work(self, study: str, run_id: str, threads: int, log: str, folder: str, path: list[str]) -> int:
        """Runs the job to its end; returns its exit code. The process ends with this one."""
        command = [sys.executable, "-m", "siamese_lab.sweep.worker", study, run_id, "--threads", str(threads), "--follow-stdin"]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path)}
        with Path(log).open("ab") as words:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command, stdin=subprocess.PIPE, stdout=words, stderr=words, env=environment, cwd=folder, start_new_session=True
            )
        self.process = process
        return process.wait()

    def signal(self, number: int) -> None:
        """Sends a signal to the job and its processes."""
        process = getattr(self, "process", None)
        if process is not None and process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)


@dataclass
class Placed:
    """A job on the cluster, see `launching.Attempt`."""

    ray: Any
    place: Any
    result: Any
    where: str = "ray"
    _code: int | None = field(default=None, init=False)

    def poll(self) -> int | None:
        """Its exit code; None while it runs or waits for its turn."""
        if self._code is None:
            ready, _ = self.ray.wait([self.result], timeout=0)
            if ready:
                try:
                    self._code = self.ray.get(self.result)
                except self.ray.exceptions.RayError:
                    self._code = LOST
                self.ray.kill(self.place)
        return self._code

    def stop(self) -> None:
        """Asks it to end with a checkpoint."""
        self.place.signal.remote(int(signal.SIGTERM))

    def kill(self) -> None:
        """Ends it at once: its process ends with the actor."""
        self.place.signal.remote(int(signal.SIGKILL))
        time.sleep(0.1)
        self.ray.kill(self.place)

    def lost(self) -> bool:
        """Whether its node, or Ray's process there, is gone."""
        return self._code == LOST


def _refuse_silent(address: str) -> None:
    """Raises a LabError if nothing listens at an address: Ray itself would try for minutes."""
    import socket

    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=REACH):
            return
    except (OSError, ValueError) as error:
        raise LabError(
            f"no Ray cluster at launcher.address={address}: {error}: it must be host:port of `ray start --head`, auto, or null"
        ) from error
