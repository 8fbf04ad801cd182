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
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from siamese_lab.core.processes import ProcessRecord, available_cores, is_alive, start_ticks, this_process
from siamese_lab.runs.job import Job
from siamese_lab.sweep.execution.forkserver import context

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
        if slots != "auto" and not slots >= 1:
            raise ValueError(f"slots must be at least 1, or auto, got {slots}: it counts jobs at once")
        if not 0 < gpu_share <= 1:
            raise ValueError(f"gpu_share must be in (0, 1], got {gpu_share}: 0.5 = two jobs a GPU")
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout must be > 0 seconds, got {timeout}: null = never")
        if not retries >= 0:
            raise ValueError(f"retries must be at least 0, got {retries}")
        self.gpus, self.gpu_share, self.timeout, self.retries = visible_gpus(), gpu_share, timeout, retries
        self.cores = available_cores()
        per_gpu = int(1 / gpu_share + 1e-9)
        self.slots = int(slots) if slots != "auto" else per_gpu * len(self.gpus) if self.gpus else self.cores
        self._free = list(range(self.slots))

    @property
    def threads(self) -> int:
        """Of a slot: the cores shared out."""
        return max(1, self.cores // self.slots)

    def takes(self, job: Job) -> int:
        """How many of the slots a job takes."""
        return min(job.devices, self.slots)

    def start(self, job: Job) -> "Process":
        """Starts a job; see `launching.Launcher`."""
        slots = self._chosen(job)
        study, threads = job.file("yaml").parent.parent.resolve(), self.threads * len(slots)
        environment = {name: value for name, value in os.environ.items() if name.startswith("SIAMESE_LAB_")}
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus_of(slots, self.gpus, job.devices))
        line = None
        if job.devices > 1:
            process: Any = self._program(job, study, threads, environment)
        else:
            mine, line = multiprocessing.Pipe(duplex=False)
            words = (
                str(study),
                job.run_id,
                threads,
                str(job.file("log").resolve()),
                environment,
                str(Path.cwd()),
                mine,
            )
            process = context().Process(target=child, args=words, daemon=False)
            process.start()
            mine.close()  # the child holds it; `line` stays with this process, and its end is what the child waits for
        self._free = [slot for slot in self._free if slot not in slots]
        return Process(self._give_back, slots, process, line)

    def close(self) -> None:
        """Nothing is held but jobs, which end when this process does."""

    def _chosen(self, job: Job) -> list[int]:
        """Free slots for a job, of unlike GPUs as far as there are."""
        gpus = max(1, len(self.gpus))
        first = [
            slot for i, slot in enumerate(self._free) if slot % gpus not in {other % gpus for other in self._free[:i]}
        ]
        return [*first, *(slot for slot in self._free if slot not in first)][: self.takes(job)]

    def _give_back(self, slots: list[int]) -> None:
        self._free = sorted([*self._free, *slots])

    def _program(self, job: Job, study: Path, threads: int, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
        command = [
            sys.executable,
            "-m",
            "siamese_lab.sweep.execution.worker",
            str(study),
            job.run_id,
            "--threads",
            str(threads),
            "--follow-stdin",
        ]
        path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with job.file("log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=os.environ | environment | path,
                start_new_session=True,
            )


@dataclass
class Process:
    """A job's process, see `launching.Attempt`.

    Args:
        give_back: gets the slots when the process has ended.
        slots: those that it has.
        process: of multiprocessing or of subprocess.
        line: open as long as the job shall live.
    """

    give_back: Callable[[list[int]], None]
    slots: list[int]
    process: Any
    line: Connection | None = None
    _code: int | None = field(default=None, init=False)
    _known: ProcessRecord = field(init=False)

    def __post_init__(self) -> None:
        pid = self.process.pid
        self._known = {**this_process(), "pid": pid, "ticks": start_ticks(pid)}

    @property
    def where(self) -> str:
        """For the table."""
        return f"slot {', '.join(map(str, self.slots))}"

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        if self._code is None:
            code = self.process.poll() if isinstance(self.process, subprocess.Popen) else self.process.exitcode
            if code == VANISHED:  # the server was killed: the job goes on, but nobody is told how it ends
                code = None if is_alive(self._known) else -signal.SIGKILL
            if code is not None:
                self._code = code
                self._end_group(signal.SIGKILL)  # processes of its own that it left behind
                self.give_back(self.slots)
                for line in (self.line, getattr(self.process, "stdin", None)):
                    if line is not None:
                        line.close()
        return self._code

    def stop(self) -> None:
        """Asks it to end with a checkpoint."""
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Ends it with all its processes, also where it is stopped."""
        self._end_group(signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)

    def lost(self) -> bool:
        """This machine is the sweep's own."""
        return False

    def _end_group(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            # not the server's, before its setsid
            if self._code is not None or os.getpgid(self.process.pid) == self.process.pid:
                os.killpg(self.process.pid, number)


def child(
    study: str, run_id: str, threads: int, log: str, environment: dict[str, str], folder: str, line: Connection
) -> None:
    """What the forked process does."""
    from siamese_lab.sweep.execution import worker

    os.setsid()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # which the server does not hear
    gc.freeze()  # what the server has imported is looked through no more
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(FIRST_TO_GO))
    try:
        written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError:  # a full disk: the run itself may fit, or says so
        written = os.open(os.devnull, os.O_WRONLY)
    os.dup2(written, 1)
    os.dup2(written, 2)
    os.environ.update(environment)
    os.chdir(folder)

    def ended() -> None:
        with suppress(EOFError, OSError):
            line.recv_bytes()

    worker.follow(ended)
    code = worker.work(Path(study), run_id, threads)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def gpus_of(slots: list[int], gpus: list[str], devices: int) -> list[str]:
    """The GPUs that a job in these slots uses: theirs, and where it needs more, the next ones."""
    return list(dict.fromkeys([*(gpus[slot % len(gpus)] for slot in slots), *gpus]))[:devices]


def visible_gpus() -> list[str]:
    """Names of the GPUs that jobs may use, found without touching CUDA in this process."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip() not in ("", "-1")]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=False).stdout  # noqa: S607
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [str(number) for number, line in enumerate(listed.splitlines()) if line.startswith("GPU ")]
