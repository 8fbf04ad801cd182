"""One job on a Ray cluster: the actor that runs it on a node, and what the sweep sees of it."""

import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from siamese_lab.runs.job import Job
from siamese_lab.runs.states import EXIT_CODES
from siamese_lab.sweep.launchers import _node

AT_ONCE = 4  # calls that an actor answers at once: it waits for the job in one, and is told in another to end it
ANSWER = 5.0  # seconds for an actor to end its job, after which it is ended itself


class JobActor:
    """Holds a job's share of a node and runs its process there; the process ends when this one does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._asked: int | None = None

    def work(self, order: _node.JobOrder, gpus: bool) -> int | None:
        """Runs a job to its end; returns its exit code, negative for a signal.

        Args:
            gpus: whether it may use those that Ray gave to this actor; else it sees none.
        """
        with self._lock:
            if self._asked is not None:
                return _node.PREEMPTED
            self._process = _node.start_worker(order, {} if gpus else {"CUDA_VISIBLE_DEVICES": ""})
        return _node.wait_for_end(self._process)

    def node(self) -> str:
        """The name of the machine."""
        return os.uname().nodename

    def signal(self, number: int) -> None:
        """Sends a signal to the job."""
        with self._lock:
            self._asked = number
            if self._process is not None and self._process.poll() is None:
                _node.send_signal(self._process, number)


@dataclass
class RayAttempt:
    """A job on the cluster, see `execution.launcher.Attempt`.

    Args:
        actor: that runs it.
        result: reference to its exit code.
        name: reference to the name of its machine.
    """

    ray: ModuleType
    job: Job
    actor: Any  # Ray makes its methods as it goes
    result: object
    name: object | None
    where: str = "waits for a place"
    _code: int | None = field(default=None, init=False)
    _lost: bool = field(default=False, init=False)
    _asked: int | None = field(default=None, init=False)
    _patience: float = field(default=float("inf"), init=False)

    @property
    def placed(self) -> bool:
        """Whether it has its place on a node."""
        if self.name is not None and self._is_ready(self.name):
            name, self.name = self.name, None
            try:
                self.where = f"node {self.ray.get(name)}"
            except self.ray.exceptions.RayError:
                self.where = "node lost"
        return self.name is None

    def poll(self) -> int | None:
        """Its exit code; None while it runs or waits for its turn."""
        if self._code is None and (self.placed or self._is_ready(self.result)):
            if self._is_ready(self.result):
                self._code = self._outcome()
                self.ray.kill(self.actor)
            elif time.monotonic() > self._patience:  # its node does not answer
                self._end(-signal.SIGKILL)
        return self._code

    def stop(self) -> None:
        """Asks it to end with a checkpoint; one that still waits for a place gives up waiting."""
        if self._code is None and self._asked is None:
            self._asked = int(signal.SIGTERM)
            if self.placed:
                self.actor.signal.remote(self._asked)
            else:
                self._end(_node.PREEMPTED)

    def kill(self) -> None:
        """Ends it at once, with all its processes."""
        if self._code is None and self._asked != signal.SIGKILL:
            self._asked, self._patience = int(signal.SIGKILL), time.monotonic() + ANSWER
            if self.placed:
                # waits, since the sweep may end now
                self.ray.wait([self.actor.signal.remote(self._asked)], timeout=ANSWER)
            else:
                self._end(-signal.SIGKILL)

    def lost(self) -> bool:
        """Whether its node, or Ray's process there, is gone."""
        return self._lost

    def _is_ready(self, reference: object) -> bool:
        return bool(self.ray.wait([reference], timeout=0)[0])

    def _end(self, code: int) -> None:
        self.ray.kill(self.actor)
        self._code = code

    def _outcome(self) -> int:
        """The job's exit code, or what stands for it where the actor has none."""
        errors = self.ray.exceptions
        try:
            return int(self.ray.get(self.result))
        except errors.OutOfMemoryError:  # Ray ends actors on a node whose memory is nearly full
            return EXIT_CODES["oom"]
        except errors.RayTaskError as error:  # of our own code there
            return self._log_error(error.cause)
        except errors.RayActorError as error:
            if error.actor_init_failed:
                return self._log_error(error)
        except errors.RayError:
            pass
        self._lost = self._asked is None
        return -signal.SIGKILL

    def _log_error(self, error: BaseException) -> int:
        """Adds why a job could not be started to its output."""
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        self.job.log_line(f"siamese-lab: {lines[-1]}")
        return EXIT_CODES["failed"]
