"""A job on a node of a cluster: what travels there, and the process that it becomes."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from siamese_lab.core.errors import LabError
from siamese_lab.runs.job import Job
from siamese_lab.runs.states import EXIT_CODES

APPEARS = 20.0  # seconds for a file that another machine has just written to be seen on this one
PREEMPTED = EXIT_CODES["preempted"]


def order(job: Job, threads: int) -> dict[str, Any]:
    """What a node has to know of a job: plain values.

    Args:
        job: whose config lies at `job.file("yaml")`.
        threads: of its process.
    """
    return {
        "study": str(job.file("yaml").parent.parent.resolve()),
        "run_id": job.run_id,
        "threads": threads,
        "folder": str(Path.cwd()),
        "path": [entry for entry in sys.path if entry],
        "settings": {name: value for name, value in os.environ.items() if name.startswith("SIAMESE_LAB_")},
    }


def begin(order: dict[str, Any], environment: dict[str, str] | None = None) -> "subprocess.Popen[bytes]":
    """Starts a job's process on this machine, in a session of its own; it ends, with a checkpoint, when this process
    does.

    Args:
        order: from `order`.
        environment: further variables.

    Raises:
        LabError: if the job's config is not there.
    """
    study, run_id = Path(order["study"]), order["run_id"]
    config, log = (study / "jobs" / f"{run_id}.{suffix}" for suffix in ("yaml", "log"))
    end = time.monotonic() + APPEARS
    while not config.is_file():
        if time.monotonic() > end:
            where = (
                f"SIAMESE_LAB_OUTPUTS must be on a disk that all nodes share, under the same path: {config} is "
                "not there"
            )
            raise LabError(f"{where} on {os.uname().nodename}")
        time.sleep(0.5)
    command = [
        sys.executable,
        "-m",
        "siamese_lab.sweep.execution.worker",
        str(study),
        run_id,
        "--threads",
        str(order["threads"]),
        "--follow-stdin",
    ]
    variables = os.environ | order["settings"] | {"PYTHONPATH": os.pathsep.join(order["path"])} | (environment or {})
    folder = order["folder"] if Path(order["folder"]).is_dir() else str(study)
    with log.open("ab") as words:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.PIPE,
            stdout=words,
            stderr=words,
            env=variables,
            cwd=folder,
            start_new_session=True,
        )


def tell(process: "subprocess.Popen[bytes]", number: int) -> None:
    """Sends a signal to a job: SIGKILL to all its processes, any other one to the first, which tells the rest."""
    with suppress(ProcessLookupError):
        (os.killpg if number == signal.SIGKILL else os.kill)(process.pid, number)


def waited(process: "subprocess.Popen[bytes]", every: float = 0.1, seconds: float | None = None) -> int | None:
    """The exit code of a job once it has ended, negative for a signal; None if it has not within `seconds`. What it
    left behind is ended.

    It looks again and again, since in `Popen.wait` a signal handler could not ask for the code.
    """
    end = None if seconds is None else time.monotonic() + seconds
    while process.poll() is None:
        if end is not None and time.monotonic() > end:
            return None
        time.sleep(every)
    tell(process, signal.SIGKILL)
    return process.returncode


def take_over(job: Job) -> None:
    """Puts a run right that says "running" on a machine that is gone, as nobody there could: only then is it begun
    anew.

    To be called by who has claimed the job. A run's lock is let go of when its process dies, on a shared disk some time
    after its machine did; as long as somebody holds it, nothing is changed.
    """
    with suppress(LabError, OSError):
        if job.folder.exists() and job.folder.state() == "running":
            with job.folder.lock():
                if job.folder.state() == "running":
                    job.folder.finish("killed", reason="its machine is gone")
