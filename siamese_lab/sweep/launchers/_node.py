"""A job's process on this machine or on a node of a cluster: what it is told, how it is started and ended."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypedDict

from siamese_lab.core.checks import require_at_least, require_positive
from siamese_lab.core.errors import LabError
from siamese_lab.runs.job import Job
from siamese_lab.runs.states import EXIT_CODES

APPEARS = 20.0  # seconds for a file that another machine has just written to be seen on this one
PREEMPTED = EXIT_CODES["preempted"]


class JobOrder(TypedDict):
    """What a process is told of its job: plain values, which travel to a node."""

    study: str
    run_id: str
    threads: int
    folder: str
    path: list[str]
    settings: dict[str, str]


def job_order(job: Job, threads: int) -> JobOrder:
    """The order for a job whose config lies at `job.file("yaml")`."""
    return {
        "study": str(job.file("yaml").parent.parent.resolve()),
        "run_id": job.run_id,
        "threads": threads,
        "folder": str(Path.cwd()),
        "path": [entry for entry in sys.path if entry],
        "settings": {name: value for name, value in os.environ.items() if name.startswith("SIAMESE_LAB_")},
    }


def start_worker(order: JobOrder, environment: dict[str, str] | None = None) -> "subprocess.Popen[bytes]":
    """Starts a job's process in a session of its own; it ends, with a checkpoint, when this process does.

    Raises:
        LabError: if the job's config is not there.
    """
    study, run_id = Path(order["study"]), order["run_id"]
    config, log = (study / "jobs" / f"{run_id}.{suffix}" for suffix in ("yaml", "log"))
    end = time.monotonic() + APPEARS
    while not config.is_file():
        if time.monotonic() > end:
            raise LabError(
                f"SIAMESE_LAB_OUTPUTS must be on a disk that all nodes share, under the same path: {config} is not "
                f"there on {os.uname().nodename}"
            )
        time.sleep(0.5)
    command = [sys.executable, "-m", "siamese_lab.sweep.execution.worker", str(study), run_id]
    command += ["--threads", str(order["threads"]), "--follow-stdin"]
    environment = {"PYTHONPATH": os.pathsep.join(order["path"]), **(environment or {})}
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env={
                **os.environ,
                **order["settings"],
                "PYTHONPATH": os.pathsep.join(order["path"]),
                **(environment or {}),
            },
            cwd=order["folder"] if Path(order["folder"]).is_dir() else str(study),
            start_new_session=True,
        )


def send_signal(process: "subprocess.Popen[bytes]", number: int) -> None:
    """Sends a signal to a job: SIGKILL to all its processes, any other one to the first, which tells the rest."""
    with suppress(ProcessLookupError):
        (os.killpg if number == signal.SIGKILL else os.kill)(process.pid, number)


def wait_for_end(process: "subprocess.Popen[bytes]", seconds: float = float("inf")) -> int | None:
    """The exit code of a job once it has ended; None if it has not within `seconds`. What it left behind is killed.

    It polls, since in `Popen.wait` a signal handler could not ask for the code.
    """
    end = time.monotonic() + seconds
    while process.poll() is None:
        if time.monotonic() > end:
            return None
        time.sleep(0.1)
    send_signal(process, signal.SIGKILL)
    return process.returncode


def end_lost_run(job: Job) -> None:
    """Ends a run that says "running" on a machine that is gone; only then can it be begun anew.

    To be called by who has claimed the job. A run's lock is released when its process ends, on a shared disk some time
    after its machine did; as long as somebody holds it, nothing is changed.
    """
    with suppress(LabError, OSError):
        if job.folder.exists() and job.folder.state() == "running":
            with job.folder.lock():
                if job.folder.state() == "running":
                    job.folder.finish("killed", reason="its machine is gone")


def check_limits(slots: int | Literal["auto"], timeout: float | None, retries: int) -> None:
    """Raises a ValueError where what all launchers take is out of its range."""
    if slots != "auto":
        require_at_least("slots", slots, 1, "it counts jobs at once")
    if timeout is not None:
        require_positive("timeout", timeout, "in seconds; null = never")
    require_at_least("retries", retries, 0, "it counts further attempts at a failed job")
