"""`launcher=ray`: jobs on a Ray cluster, which gives out the places; the jobs are the same processes as elsewhere."""

import logging
import os
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from types import ModuleType
from typing import Literal

from siamese_lab.core.checks import require_within
from siamese_lab.core.errors import LabError
from siamese_lab.core.processes import available_cores
from siamese_lab.core.text import printable
from siamese_lab.runs.job import Job
from siamese_lab.sweep.launchers import _node
from siamese_lab.sweep.launchers._ray_actor import AT_ONCE, JobActor, RayAttempt
from siamese_lab.sweep.launchers.local import visible_gpus

REACH = 15.0  # seconds for a cluster to answer
LOOK = 2.0  # seconds between two looks at which nodes there are
# bytes of shared memory that a cluster of our own takes, the least that Ray allows: jobs exchange files, not objects
STORE = 80 * 2**20
QUIET = {
    # else Ray warns that this will be its way; jobs without a GPU are shown none, see `JobActor`
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_raylet_start_wait_time_s": "60",  # a machine with all its cores at work takes its time
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent anywhere
}
PROBE = "import sys, ray; ray.init(address=sys.argv[1], log_to_driver=False, logging_level='CRITICAL')"


class Ray:
    """Starts the jobs of a sweep on the nodes of a Ray cluster.

    A node that dies takes its jobs along; they are started again on another one and go on from their checkpoints, which
    must lie on a disk that all nodes share.

    Args:
        address: of a cluster, "host:port", or "auto": the one that this machine is a node of; None = one on this
            machine alone, for as long as the sweep runs.
        slots: jobs at once, at least 1; "auto" = as many as the cluster has CPUs and GPUs for, also when nodes come or
            go.
        cpus_per_job: CPUs that a job takes, > 0; its threads are as many, at least 1. With `trainer.devices` as many
            times as many.
        gpus_per_job: GPUs that a job takes, >= 0; 0.5 = two jobs a GPU, 0 = it sees none. With `trainer.devices` as
            many times as many.
        timeout: seconds, > 0, after which a job counts as hanging and is killed; None = never.
        retries: further attempts that a failed job gets when the same command is given again, at least 0.

    Raises:
        ValueError: for values out of these ranges.
        LabError: if Ray is not installed.

    Examples:
        >>> from siamese_lab.sweep.launchers.ray import jobs_that_fit
        >>> jobs_that_fit([{"CPU": 8, "GPU": 1}, {"CPU": 4}], cpus=2, gpus=0)  # jobs at once on two nodes
        6
        >>> jobs_that_fit([{"CPU": 8, "GPU": 1}, {"CPU": 4}], cpus=2, gpus=0.5)
        2
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
        _node.check_limits(slots, timeout, retries)
        require_within("cpus_per_job", cpus_per_job, "(0, inf)", "it counts CPUs")
        if not gpus_per_job >= 0 or (gpus_per_job > 1 and gpus_per_job != int(gpus_per_job)):
            raise ValueError(
                f"gpus_per_job must be a share of a GPU, from 0 to 1, or a whole number of them, got {gpus_per_job}"
            )
        if find_spec("ray") is None:
            raise LabError("launcher=ray needs Ray: pip install 'siamese-lab[ray]'")
        self.address, self.asked, self.timeout, self.retries = address, slots, timeout, retries
        self.cpus, self.gpus = cpus_per_job, gpus_per_job
        self._ray: ModuleType | None = None
        self._looked, self._fitting = float("-inf"), 1

    @property
    def slots(self) -> int:
        """Jobs at once, by what the cluster has now.

        Raises:
            LabError: if it does not answer.
        """
        if self._ray is None and self.address is not None:
            self._cluster()  # one that is not there is said before anything is begun
        if self.asked != "auto":
            return int(self.asked)
        if time.monotonic() - self._looked > LOOK:
            here = {"CPU": float(available_cores()), "GPU": float(len(visible_gpus()))}
            nodes = [here] if self._ray is None else self._nodes()
            self._fitting = max(1, jobs_that_fit(nodes, self.cpus, self.gpus))  # none now: nodes may come
            self._looked = time.monotonic()
        return self._fitting

    def slots_of(self, job: Job) -> int:
        """How many of the slots a job takes."""
        return min(job.devices, self.slots)

    def start(self, job: Job) -> RayAttempt:
        """Starts a job; see `execution.launcher.Launcher`.

        Raises:
            LabError: if no node is large enough for it, or the cluster does not answer.
        """
        ray = self._cluster()
        cpus, gpus = self.cpus * job.devices, self.gpus * job.devices
        if job.devices > 1 and self.gpus:
            gpus = max(1, self.gpus) * job.devices
        nodes = self._nodes()
        if nodes and not jobs_that_fit(nodes, cpus, gpus):
            raise LabError(
                f"{job.name} needs {cpus:g} CPUs and {gpus:g} GPUs on one node, and none has them: "
                "launcher.cpus_per_job, launcher.gpus_per_job and trainer.devices decide it"
            )
        _node.end_lost_run(job)
        limits = {"max_restarts": 0, "max_task_retries": 0, "max_concurrency": AT_ONCE}
        actor = ray.remote(JobActor).options(num_cpus=cpus, num_gpus=gpus, **limits).remote()
        order = _node.job_order(job, max(1, int(self.cpus)))
        return RayAttempt(ray, job, actor, actor.work.remote(order, gpus > 0), actor.node.remote())

    def close(self) -> None:
        """Leaves the cluster; one that was started here ends."""
        if self._ray is not None:
            self._ray.shutdown()
            self._ray = None

    def _nodes(self) -> list[dict[str, float]]:
        """What the nodes that live have in all."""
        return [node["Resources"] for node in self._cluster().nodes() if node["Alive"]]

    def _cluster(self) -> ModuleType:
        if self._ray is not None:
            return self._ray
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        # here: Ray takes long to import
        import ray

        own = self.address is None
        if self.address is not None:
            refuse_unreachable(self.address)
        try:
            ray.init(
                address=self.address or "local",
                num_cpus=available_cores() if own else None,
                object_store_memory=STORE if own else None,
                include_dashboard=False if own else None,
                log_to_driver=False,
                logging_level=logging.CRITICAL,
            )
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise LabError(f"Ray does not start: {printable(lines[0])}") from error
        self._ray = ray
        return ray


def jobs_that_fit(nodes: list[dict[str, float]], cpus: float, gpus: float) -> int:
    """How many jobs fit on nodes at once, none of them across two.

    Args:
        nodes: what each has: {"CPU": ..., "GPU": ...}.
        cpus: of a job.
        gpus: of a job.
    """
    shares = [(node.get("CPU", 0) / cpus, node.get("GPU", 0) / gpus if gpus else float("inf")) for node in nodes]
    return sum(int(min(both) + 1e-9) for both in shares)


def refuse_unreachable(address: str, seconds: float = REACH) -> None:
    """Makes sure that a Ray cluster answers at an address; Ray itself would try for minutes.

    A process of its own asks it, which can be ended.

    Args:
        address: "host:port", or "auto".

    Raises:
        LabError: if none does.
    """
    end = time.monotonic() + seconds
    try:
        if "://" in address:
            raise LabError("only a machine that is a node of the cluster can start a sweep there, by host:port or auto")
        if address != "auto":
            host, _, port = address.rpartition(":")
            with socket.create_connection((host, int(port)), timeout=seconds):
                pass
        subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", PROBE, address],
            capture_output=True,
            text=True,
            check=True,
            timeout=end - time.monotonic(),
        )
    except (LabError, OSError, ValueError, subprocess.SubprocessError) as error:
        if isinstance(error, subprocess.TimeoutExpired):
            reason = f"nothing that answers as Ray does within {seconds:g} s"
        elif isinstance(error, subprocess.CalledProcessError):
            reason = (error.stderr.strip().splitlines() or [f"Ray ended with exit code {error.returncode}"])[-1]
        else:
            reason = str(error)
        raise LabError(
            f"no Ray cluster at launcher.address={printable(address)}: {printable(reason)}: it must be host:port of "
            "`ray start --head`, auto on a node of the cluster, or null for one on this machine"
        ) from error
