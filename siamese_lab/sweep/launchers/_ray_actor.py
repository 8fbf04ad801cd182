"""One job on a Ray cluster: the actor that runs it on a node, and what the sweep sees of it."""

import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from siamese_lab.runs.job import Job
from siamese_lab.runs.states import EXIT_CODES
from siamese_lab.sweep.launchers import _node

AT_ONCE = (
    4  # calls that an actor answers at once: it waits for the job in one, and hears in another that it shall end it
)
ANSWER = 5.0  # seconds for an actor to end its job, after which it is ended itself


class Place:
    """An actor that holds a job's share of a node and runs its process there; the process ends when this one does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._asked: int | None = None

    def work(self, order: dict[str, Any], gpus: bool) -> int | None:
        """Runs a job to its end; returns its exit code, negative for a signal.

        Args:
            order: from `on_node.order`.
            gpus: whether it may use those that Ray gave to this actor; else it sees none.
        """
        with self._lock:
            if self._asked is not None:
                return _node.PREEMPTED
            self._process = _node.begin(order, {} if gpus else {"CUDA_VISIBLE_DEVICES": ""})
        return _node.waited(self._process)

    def node(self) -> str:
        """The name of the machine."""
        return os.uname().nodename

    def signal(self, number: int) -> None:
        """Sends a signal to the job."""
        with self._lock:
            self._asked = number
            if self._process is not None and self._process.poll() is None:
                _node.tell(self._process, number)


@dataclass
class Placed:
    """A job on the cluster, see `launching.Attempt`.

    Args:
        ray: the module.
        job: which.
        place: its actor.
        result: what will be its exit code.
        name: what will be the name of its machine.
    """

    ray: Any
    job: Job
    place: Any
    result: Any
    name: Any
    where: str = "waits for a place"
    _code: int | None = field(default=None, init=False)
    _lost: bool = field(default=False, init=False)
    _asked: int | None = field(default=None, init=False)
    _patience: float = field(default=float("inf"), init=False)

    @property
    def placed(self) -> bool:
        """Whether it has its place on a node."""
        if self.name is not None and self._ready(self.name):
            name, self.name = self.name, None
            try:
                self.where = f"node {self.ray.get(name)}"
            except self.ray.exceptions.RayError:
                self.where = "node lost"
        return self.name is None

    def poll(self) -> int | None:
        """Its exit code; None while it runs or waits for its turn."""
        if self._code is None and (self.placed or self._ready(self.result)):
            if self._ready(self.result):
                self._code = self._outcome()
                self.ray.kill(self.place)
            elif time.monotonic() > self._patience:  # its node does not answer
                self._end(-signal.SIGKILL)
        return self._code

    def stop(self) -> None:
        """Asks it to end with a checkpoint; one that still waits for a place gives up waiting."""
        if self._code is None and self._asked is None:
            self._asked = int(signal.SIGTERM)
            if self.placed:
                self.place.signal.remote(self._asked)
            else:
                self._end(_node.PREEMPTED)

    def kill(self) -> None:
        """Ends it at once, with all its processes."""
        if self._code is None and self._asked != signal.SIGKILL:
            self._asked, self._patience = int(signal.SIGKILL), time.monotonic() + ANSWER
            if self.placed:
                # so that it is heard though the sweep ends now
                self.ray.wait([self.place.signal.remote(self._asked)], timeout=ANSWER)
            else:
                self._end(-signal.SIGKILL)

    def lost(self) -> bool:
        """Whether its node, or Ray's process there, is gone."""
        return self._lost

    def _ready(self, what: Any) -> bool:
        return bool(self.ray.wait([what], timeout=0)[0])

    def _end(self, code: int) -> None:
        self.ray.kill(self.place)
        self._code = code

    def _outcome(self) -> int:
        """The job's exit code, or what stands for it where the actor has none."""
        errors = self.ray.exceptions
        try:
            return int(self.ray.get(self.result))
        except errors.OutOfMemoryError:  # Ray ends actors on a node whose memory is nearly full
            return EXIT_CODES["oom"]
        except errors.RayTaskError as error:  # of our own code there
            return self._said(error.cause)
        except errors.RayActorError as error:
            if getattr(error, "actor_init_failed", False):
                return self._said(error)
        except errors.RayError:
            pass
        self._lost = self._asked is None
        return -signal.SIGKILL

    def _said(self, error: BaseException) -> int:
        """Puts why a job could not be started where its output goes."""
        words = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        self.job.log_line(f"siamese-lab: {words[-1]}")
        return EXIT_CODES["failed"]
