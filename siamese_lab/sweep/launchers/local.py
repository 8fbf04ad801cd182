"""`launcher=local`: jobs on this machine, each a fresh process."""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, cast

from siamese_lab.core.checks import require_within
from siamese_lab.core.processes import ProcessRecord, available_cores, is_alive, start_ticks, this_process
from siamese_lab.runs.job import Job
from siamese_lab.sweep.execution.forkserver import forkserver_context
from siamese_lab.sweep.launchers import _node

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

VANISHED = 255  # what multiprocessing says of a process whose server is gone, be it there or not
FIRST_TO_GO = 500  # of 1000, added to a job's badness: where memory runs out the kernel ends a job, not the sweep


class Local:
    """Starts the jobs of a sweep on this machine.

    Jobs on one device are forked off a server that has everything imported and has done nothing else; those on several
    are started as any program. All of them are sessions of their own, and end, with a checkpoint, when the sweep does.

    Args:
        slots: jobs at once, at least 1; "auto" = one a core, or `1 / gpu_share` a GPU. A job on several devices takes
            as many of them.
        gpu_share: of a GPU that a job takes, in (0, 1].
        timeout: seconds, > 0, after which a job counts as hanging and is killed; None = never.
        retries: further attempts that a failed job gets when the same command is given again, at least 0.

    Raises:
        ValueError: for values out of these ranges.

    Examples:
        >>> from siamese_lab.sweep.launchers.local import Local
        >>> launcher = Local(slots=1, timeout=3600)
        >>> launcher.slots, launcher.timeout, launcher.retries
        (1, 3600, 2)
    """

    def __init__(
        self,
        slots: int | Literal["auto"] = "auto",
        gpu_share: float = 1.0,
        timeout: float | None = None,
        retries: int = 2,
    ) -> None:
        _node.check_limits(slots, timeout, retries)
        require_within("gpu_share", gpu_share, "(0, 1]", "0.5 = two jobs a GPU")
        self.gpus, self.timeout, self.retries = visible_gpus(), timeout, retries
        self.cores = available_cores()
        per_gpu = int(1 / gpu_share + 1e-9)
        self.slots = int(slots) if slots != "auto" else per_gpu * len(self.gpus) if self.gpus else self.cores
        self._free = list(range(self.slots))

    @property
    def threads(self) -> int:
        """Of a slot: the cores shared out."""
        return max(1, self.cores // self.slots)

    def slots_of(self, job: Job) -> int:
        """How many of the slots a job takes."""
        return min(job.devices, self.slots)

    def start(self, job: Job) -> "LocalAttempt":
        """Starts a job; see `execution.launcher.Launcher`."""
        slots = self._choose_slots(job)
        order = _node.job_order(job, self.threads * len(slots))
        gpus = {"CUDA_VISIBLE_DEVICES": ",".join(gpus_for_slots(slots, self.gpus, job.devices))} if self.gpus else {}
        if job.devices > 1:
            program = _node.start_worker(order, gpus)  # its standard input is a pipe
            attempt = LocalAttempt(self._give_back, slots, program.pid, program.poll, cast("IO[bytes]", program.stdin))
        else:
            reader, line = multiprocessing.Pipe(duplex=False)
            log = str(job.file("log").resolve())
            process = forkserver_context().Process(target=run_forked_job, args=(order, log, gpus, reader), daemon=False)
            process.start()
            reader.close()  # the child has it, and waits there for the end of `line`, which stays with this process
            pid = cast("int", process.pid)  # since it was started
            attempt = LocalAttempt(self._give_back, slots, pid, lambda: process.exitcode, line)
        self._free = [slot for slot in self._free if slot not in slots]
        return attempt

    def close(self) -> None:
        """Does nothing: jobs end when this process does."""

    def _choose_slots(self, job: Job) -> list[int]:
        """Free slots for a job, of different GPUs as far as there are."""
        gpus = max(1, len(self.gpus))
        first = [
            slot for i, slot in enumerate(self._free) if slot % gpus not in {other % gpus for other in self._free[:i]}
        ]
        return [*first, *(slot for slot in self._free if slot not in first)][: self.slots_of(job)]

    def _give_back(self, slots: list[int]) -> None:
        self._free = sorted([*self._free, *slots])


@dataclass
class LocalAttempt:
    """A job's process, see `execution.launcher.Attempt`.

    Args:
        give_back: gets the slots when the process has ended.
        exit_code: tells how it ended; None = it has not.
        line: open as long as the job shall live.
    """

    give_back: Callable[[list[int]], None]
    slots: list[int]
    pid: int
    exit_code: Callable[[], int | None]
    line: "IO[bytes] | Connection"
    _code: int | None = field(default=None, init=False)
    _process: ProcessRecord = field(init=False)

    def __post_init__(self) -> None:
        self._process = {**this_process(), "pid": self.pid, "ticks": start_ticks(self.pid)}

    @property
    def where(self) -> str:
        """For the table."""
        return f"slot {', '.join(map(str, self.slots))}"

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        if self._code is None:
            code = self.exit_code()
            if code == VANISHED:  # the server was killed: the job goes on, but nobody is told how it ends
                code = None if is_alive(self._process) else -signal.SIGKILL
            if code is not None:
                self._code = code
                self._kill_group()  # processes of its own that it left behind
                self.give_back(self.slots)
                self.line.close()
        return self._code

    def stop(self) -> None:
        """Asks it to end with a checkpoint."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Ends it with all its processes, also where it is stopped."""
        self._kill_group()
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def lost(self) -> bool:
        """False: this machine is the sweep's own."""
        return False

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            if self._code is not None or os.getpgid(self.pid) == self.pid:  # else it is the server's, before its setsid
                os.killpg(self.pid, signal.SIGKILL)


def run_forked_job(order: _node.JobOrder, log: str, environment: dict[str, str], line: "Connection") -> None:
    """Runs a job in the process that was forked for it."""
    from siamese_lab.sweep.execution import worker  # here: only the forked process needs it

    os.setsid()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # which the server does not hear
    gc.freeze()  # what the server has imported is looked through no more
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(FIRST_TO_GO))
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError:  # a full disk: the run itself may fit, or says so
        output = os.open(os.devnull, os.O_WRONLY)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.update(order["settings"] | environment)  # the server was started with earlier ones
    os.chdir(order["folder"])

    def wait() -> None:
        with suppress(EOFError, OSError):
            line.recv_bytes()

    worker.end_after(wait)
    code = worker.run_job(Path(order["study"]), order["run_id"], order["threads"])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def gpus_for_slots(slots: list[int], gpus: list[str], devices: int) -> list[str]:
    """The GPUs that a job in these slots uses: theirs, and where it needs more, the next ones."""
    return list(dict.fromkeys([*(gpus[slot % len(gpus)] for slot in slots), *gpus]))[:devices]


def visible_gpus() -> list[str]:
    """Names of the GPUs that jobs may use, found without touching CUDA in this process."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip() not in ("", "-1")]
    try:
        listed = subprocess.run(
            ["nvidia-smi", "-L"],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [str(number) for number, line in enumerate(listed.splitlines()) if line.startswith("GPU ")]
