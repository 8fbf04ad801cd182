"""One job through submitit: what runs on the node, and what the sweep sees of it."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from siamese_lab.core.errors import LabError
from siamese_lab.core.processes import is_alive
from siamese_lab.runs.job import Job
from siamese_lab.runs.slurm_submission import read_exit_code, write_exit_code
from siamese_lab.runs.states import EXIT_CODES
from siamese_lab.sweep.launchers import _node
from siamese_lab.sweep.launchers._slurm_queue import ENDED

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

LEAVE = 75.0  # seconds for a checkpoint: SLURM's signal comes 90 s before a job's time is up
EVERY = 0.5  # seconds between two looks at a job
LATE = 15.0  # seconds for a file that a node has written to be seen here
SAVING = 45.0  # seconds for a job whose parent on the node was killed to write its checkpoint
CODE_BY_STATE = {"TIMEOUT": 124, "DEADLINE": 124, "OUT_OF_MEMORY": EXIT_CODES["oom"], "FAILED": 1, "COMPLETED": 1}
"""Exit codes of jobs that left none themselves."""

NO_FAULT = ("NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "REVOKED")  # ends that are no fault of a job


class SlurmTask:
    """What submitit runs on the node: the job as a process of its own, whose exit code goes into a file.

    SIGTERM, which `scancel` sends and a cluster that takes the node away, ends the job with a checkpoint. So does
    submitit's own signal, which comes before the time is up, upon which submitit puts it back into the queue.
    """

    def __call__(self, order: str, ended: str) -> int:
        """Runs a job to its end; returns its exit code.

        Args:
            ended: file for the exit code.
        """
        self.ended = Path(ended)
        self.ended.unlink(missing_ok=True)  # of this job before it was put back
        self.process = _node.start_worker(json.loads(order))
        signal.signal(signal.SIGTERM, self._pass_on)
        try:
            code = _node.wait_for_end(self.process)
        except KeyboardInterrupt:
            _node.send_signal(self.process, signal.SIGTERM)
            code = _node.wait_for_end(self.process, seconds=LEAVE)
        except Exception as error:  # submitit's, from within its signal handler
            late = "timed-out too many times" in str(error)  # else it could not be put back
            self._write_code(EXIT_CODES["timeout"] if late else _node.PREEMPTED)
            raise
        self._write_code(-signal.SIGKILL if code is None else code)
        return code or 0

    def checkpoint(self, order: str, ended: str) -> "DelayedSubmission | None":
        """Called by submitit upon its signal: what it puts back into the queue; None where the job has ended."""
        # here: submitit takes long to import
        from submitit.helpers import DelayedSubmission

        _node.send_signal(self.process, signal.SIGTERM)
        code = _node.wait_for_end(self.process, seconds=LEAVE)
        if code is None:
            _node.send_signal(self.process, signal.SIGKILL)
        if code not in (None, _node.PREEMPTED, -signal.SIGTERM):  # it has just finished, or failed
            self._write_code(int(code or 0))
            return None
        return DelayedSubmission(SlurmTask(), order, ended)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        _node.send_signal(self.process, signal.SIGTERM)

    def _write_code(self, code: int) -> None:
        if not self.ended.exists():
            write_exit_code(self.ended, code)

    def __getstate__(self) -> dict[str, object]:
        return {}


@dataclass
class SlurmAttempt:
    """A job in the queue, see `execution.launcher.Attempt`.

    Args:
        number: its number there, of a SLURM job or of a process of this machine.
        ended: file with its exit code.
        state: tells what the cluster says of it.
        node: tells where it runs.
        cluster: "slurm" or "local".
    """

    job: Job
    number: str
    ended: Path
    state: Callable[[], str]
    node: Callable[[], str]
    cluster: str
    _code: int | None = field(default=None, init=False)
    _lost: bool = field(default=False, init=False)
    _asked: int | None = field(default=None, init=False)
    _looked: float = field(default=float("-inf"), init=False)
    _over: float | None = field(default=None, init=False)  # since when it is said to have ended

    @property
    def where(self) -> str:
        """For the table."""
        node = self.node()
        return f"{self.cluster} {self.number}" + (f" on {node}" if node else "")

    def poll(self) -> int | None:
        """Its exit code; None while it runs or waits for its turn."""
        if self._code is None and time.monotonic() - self._looked > EVERY:
            self._look()
            self._looked = time.monotonic()
        return self._code

    def stop(self) -> None:
        """Cancels it with SIGTERM, upon which it ends with a checkpoint; SLURM leaves it 30 s by default."""
        if self._code is None and self._asked is None:
            self._asked = signal.SIGTERM
            if self.cluster == "slurm":
                _call("scancel", self.number)
            else:
                _signal_process(self.number, signal.SIGTERM)

    def kill(self) -> None:
        """Ends it at once, with all its processes."""
        if self._code is not None or self._asked == signal.SIGKILL:
            return
        self._asked = signal.SIGKILL
        if self.cluster == "slurm":
            _call("scancel", "--signal=KILL", "--full", self.number)
            _call("scancel", self.number)
            return
        with suppress(LabError):
            info = self.job.folder.info()
            if info["state"] == "running" and is_alive(info):
                with suppress(OSError):
                    os.killpg(info["pid"], signal.SIGKILL)
        _signal_process(self.number, signal.SIGINT)  # submitit's own way to end its processes

    def lost(self) -> bool:
        """Whether its node failed, or the cluster took it away."""
        return self._lost

    def _look(self) -> None:
        code, state = self._read_code(), self.state()
        over = state in ENDED
        if code is None and not over:
            return
        # it was killed, or the file is not seen yet; or it writes its last checkpoint, with nobody to say so
        if code is None:
            self._over = self._over or time.monotonic()
            passed = time.monotonic() - self._over
            if passed < (LATE if self.cluster == "slurm" else EVERY) or (
                passed < SAVING and self._asked != signal.SIGKILL and self._is_locked()
            ):
                return
            code = CODE_BY_STATE.get(state, -signal.SIGKILL)
        elif code == _node.PREEMPTED and self._asked is None and self.cluster == "slurm" and not over:
            return  # who stopped it: somebody's scancel, or the cluster, that may put it back by itself?
        taken = state in NO_FAULT or (code == _node.PREEMPTED and state != "CANCELLED")
        self._lost = self.cluster == "slurm" and self._asked is None and code != 0 and taken
        self._code = code

    def _read_code(self) -> int | None:
        with suppress(OSError, ValueError):
            return read_exit_code(self.ended)
        return None

    def _is_locked(self) -> bool:
        """Whether a process has the run's lock."""
        lock = FileLock(self.job.folder.path.with_name(f".{self.job.run_id}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        except OSError:
            return False
        lock.release()
        return False


def _call(*command: str) -> None:
    """Calls a program of SLURM; where it fails, as for a job that has just ended, nothing changes."""
    with suppress(OSError, subprocess.SubprocessError):
        subprocess.run(command, capture_output=True, check=False, timeout=60)  # noqa: S603 - scancel and a number


def _signal_process(pid: str, number: int) -> None:
    with suppress(ProcessLookupError, ValueError):
        os.kill(int(pid), number)
