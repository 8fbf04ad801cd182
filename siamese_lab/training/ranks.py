"""The processes of one run: this one is the first; the others are started here, watched, and end with it."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from typing import IO

from omegaconf import DictConfig, OmegaConf

from siamese_lab.core.errors import Lost, Stopped
from siamese_lab.core.mappings import JsonObject
from siamese_lab.distributed import collectives
from siamese_lab.model.checkpoint import Start
from siamese_lab.runs.folder import RunFolder
from siamese_lab.runs.states import EXIT_CODES
from siamese_lab.training.assemble import Experiment
from siamese_lab.training.exit_state import out_of_memory

POLL = 0.1  # seconds
GRACE = 5.0  # seconds for this process to notice by itself that another one is gone: the connection to it breaks
LEAVING = 60.0  # seconds for the others to end once everything is done


@contextmanager
def group(
    cfg: DictConfig, folder: RunFolder, experiment: Experiment, start: Start, give_up: Callable[[Lost], None]
) -> Iterator[None]:
    """Within it, `trainer.devices` processes train the run, all by `trainer.fit`.

    Args:
        cfg: the run's.
        folder: the run's.
        experiment: everything built; the others build their own.
        start: where to go on.
        give_up: called from a thread where this process hangs since another one is gone; then it ends, whatever it is
            doing.

    Raises:
        Lost: if another process ended before its time.
    """
    processes = cfg.trainer.devices
    if processes == 1:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="siamese-lab-") as scratch:
        meeting = Path(scratch) / "meeting"
        orders = {
            "run": str(folder.path),
            "config": OmegaConf.to_yaml(cfg),
            "fingerprint": experiment.samples.fingerprint,
            "checkpoint": str(start.path) if start.path else None,
            "step": start.step,
            "packages": experiment.trust.packages,
            "meeting": str(meeting),
        }
        others = [Other.start(orders | {"rank": rank}, Path(scratch) / f"{rank}.txt") for rank in range(1, processes)]
        done = threading.Event()

        def leave(lost: Lost) -> None:
            shutil.rmtree(scratch, ignore_errors=True)
            give_up(lost)

        threading.Thread(target=_watch, args=(others, done, leave), daemon=True).start()
        try:
            gpu, threads = experiment.decided.accelerator == "gpu", experiment.decided.threads
            with collectives.process_group(meeting, 0, processes, gpu, threads):
                try:
                    yield
                    done.set()
                except Stopped:  # so are the others, or they will be
                    done.set()
                    raise
                except RuntimeError as error:  # what a broken connection becomes, among others
                    lost = None if out_of_memory(error) else _lost_by_now(others)
                    if lost is None:
                        raise
                    raise lost from error
            for other in others:
                with suppress(subprocess.TimeoutExpired):
                    other.process.wait(LEAVING)
        finally:
            done.set()
            for other in others:
                other.end()


@dataclass(frozen=True)
class Other:
    """A process of the run beside this one.

    Args:
        rank: its number.
        process: ends when its standard input is closed, which happens when this process ends, whatever that dies of.
        words: the file of what it says on standard error.
    """

    rank: int
    process: subprocess.Popen[str]
    words: Path

    @staticmethod
    def start(orders: JsonObject, words: Path) -> "Other":
        """Starts one, in a session of its own: Ctrl-C reaches the first process alone, which tells the others."""
        command = [sys.executable, "-m", "siamese_lab.training.rank_main"]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with words.open("w") as errors:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command, env=environment, text=True, stdin=PIPE, stdout=errors, stderr=errors, start_new_session=True
            )
        stdin: IO[str] = process.stdin  # type: ignore[assignment]
        stdin.write(json.dumps(orders) + "\n")
        stdin.flush()
        return Other(orders["rank"], process, words)

    def lost(self) -> Lost | None:
        """How it ended before its time; None where it did not."""
        code = self.process.poll()
        if not code:
            return None
        words = self.words.read_text(errors="replace").strip().removeprefix("siamese-lab: ")
        return Lost(self.rank, EXIT_CODES["killed"] if code == -9 else code, words[-2000:])

    def end(self) -> None:
        """Ends it, if it has not ended."""
        self.process.kill()
        self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()


def _first_lost(others: list[Other]) -> Lost | None:
    """The process whose end took the others along: those fail with a broken connection."""
    lost = [end for other in others if (end := other.lost())]
    return min(lost, key=lambda end: (end.exit_code == EXIT_CODES["failed"], end.rank), default=None)


def _lost_by_now(others: list[Other]) -> Lost | None:
    """The process that is gone, once there was time to notice it."""
    until = time.monotonic() + GRACE / 2
    while time.monotonic() < until and not any(other.process.poll() for other in others):
        time.sleep(POLL)
    return _first_lost(others)


def _watch(others: list[Other], done: threading.Event, give_up: Callable[[Lost], None]) -> None:
    while not done.wait(POLL):
        if _first_lost(others):
            if not done.wait(GRACE) and (lost := _first_lost(others)):
                give_up(lost)
            return
