"""The run folder `outputs/<study>/<run id>/`: its identity, its state, its lock."""

import os
import re
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from siamese_lab.errors import LabError
from siamese_lab.files import SCHEMA_VERSION, read_json, write_json
from siamese_lab.provenance import code_hash, versions

EXIT_CODES = {
    "ok": 0,
    "failed": 1,
    "diverged": 3,
    "oom": 4,
    "preempted": 75,  # EX_TEMPFAIL: `siamese-lab resume` goes on where it stopped
    "timeout": 124,  # as timeout(1)
    "killed": 137,  # as the shell says of SIGKILL
}
"""What a command ends with for each final state; a run that has none of them yet is "running"."""


def state_of(exit_code: int) -> str:
    """The final state that goes with an exit code; "failed" for any other."""
    return next((state for state, code in EXIT_CODES.items() if code == exit_code), "failed")


@dataclass(frozen=True)
class RunFolder:
    """One run's folder.

    Args:
        path: `outputs/<study>/<run id>`.
    """

    path: Path

    @property
    def run_id(self) -> str:
        """The hash that names the run."""
        return self.path.name

    @property
    def study(self) -> str:
        """The study it belongs to; "single" for a plain run."""
        return self.path.parent.name

    def exists(self) -> bool:
        """Whether the run was ever begun."""
        return (self.path / "run.json").is_file()

    def info(self) -> dict[str, Any]:
        """What run.json says.

        Raises:
            LabError: if it is missing, broken or of a newer version.
        """
        return read_json(self.path / "run.json")

    def state(self) -> str:
        """The state; "killed" for a run that says "running" and whose process, on this machine, is gone."""
        info = self.info()
        state = str(info.get("state", "failed"))
        return "killed" if state == "running" and info.get("host") == socket.gethostname() and not _alive(info.get("pid")) else state

    def metrics(self) -> dict[str, Any]:
        """What metrics.json says: the figures of a finished run.

        Raises:
            LabError: if the run has not finished, or the file is broken or not whole.
        """
        path, state = self.path / "metrics.json", self.state()
        if not path.exists() and state != "ok":
            hint = "wait for its end" if state == "running" else f"`siamese-lab resume {self.short}` goes on with it"
            raise LabError(f"the run {self.path} has no figures, its state is {state}: {hint}")
        found = read_json(path)
        lacking = [key for key in ("test", "untrained", "chosen", "training", "epoch", "data") if key not in found]
        if lacking:
            raise LabError(f"{path} is not whole, it lacks {', '.join(lacking)}: train the run anew with --force")
        return found

    @property
    def short(self) -> str:
        """What a user types for this run: the shortest beginning of its id, of 6 digits or more, that no other run has."""
        others = [path.parent for path in outputs().glob("*/*/run.json") if path.parent.resolve() != self.path.resolve()]
        for length in range(6, len(self.run_id) + 1):
            if not any(path.name.startswith(self.run_id[:length]) for path in others):
                return self.run_id[:length]
        return f"{self.study}/{self.run_id}"

    @contextmanager
    def held(self) -> Iterator[None]:
        """While a process trains the run, no other does; the system lets go of the lock when the process dies, however it dies.

        Raises:
            LabError: if another process holds it, or the folder cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path.with_name(f".{self.run_id}.lock"))
            lock.acquire(timeout=0)
        except Timeout as error:
            raise LabError(self.busy()) from error
        except OSError as error:
            raise LabError(_unwritable(self.path, error)) from error
        try:
            yield
        finally:
            lock.release()

    def reopen(self, decided: Mapping[str, Any], step: int) -> None:
        """Sets a run that was stopped or killed to "running" again, and notes in run.json that it was resumed.

        Args:
            decided: what was settled at this start-up.
            step: optimizer steps that its checkpoint has behind it.
        """
        now = {"at": _now(), "step": step, "after": self.state(), "code": code_hash(), "versions": versions(), "decided": dict(decided)}
        before = self.info().get("resumed", [])
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "ended": None, "reason": None}
        self.update(state="running", **owner, resumed=[*before, now])

    def create(self, decided: Mapping[str, Any] | None = None, force: bool = False) -> None:
        """Makes the folder and writes run.json in state "running".

        Args:
            decided: what was settled at start-up, e.g. the precision that `auto` became.
            force: start a run anew whose folder is there; what it wrote is removed.

        Raises:
            LabError: if the run was begun before and `force` is off, if it is running now, or if the folder cannot be written.
        """
        if self.exists():
            state = self.state()
            if state == "running":
                raise LabError(self.busy())
            if not force:
                raise LabError(f"the run {self.path} is there already ({state}): start it anew with --force, which removes it")
            shutil.rmtree(self.path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            info = {
                "schema": SCHEMA_VERSION,
                "run_id": self.run_id,
                "study": self.study,
                "state": "running",
                "started": _now(),
                "ended": None,
                "seconds": None,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "command": sys.argv,
                "code": code_hash(),
                "versions": versions(),
                "decided": dict(decided or {}),
            }
            write_json(self.path / "run.json", info)
        except OSError as error:
            raise LabError(_unwritable(self.path, error)) from error

    def busy(self) -> str:
        """What is said of a run that another process trains."""
        owner = self.info() if self.exists() else {}
        return f"the run {self.path} is running now, as process {owner.get('pid')} on {owner.get('host')}: wait for it or stop it first"

    def update(self, **facts: Any) -> None:
        """Sets entries of run.json."""
        write_json(self.path / "run.json", self.info() | facts)

    def finish(self, state: str) -> int:
        """Writes the final state, the end and the seconds taken; returns the exit code that goes with it.

        Raises:
            ValueError: if there is no such state.
        """
        if state not in EXIT_CODES:
            raise ValueError(f"a run ends in one of {', '.join(EXIT_CODES)}, got {state!r}")
        started = datetime.fromisoformat(self.info()["started"])
        self.update(state=state, ended=_now(), seconds=round((datetime.now(UTC) - started).total_seconds(), 1))
        return EXIT_CODES[state]


def outputs() -> Path:
    """The root of all runs: SIAMESE_LAB_OUTPUTS, else `outputs` in the current folder."""
    return Path(os.environ.get("SIAMESE_LAB_OUTPUTS") or "outputs")


def folder(study: str, run_id: str) -> RunFolder:
    """The folder of a run, there or not.

    Raises:
        LabError: if the study's name is no plain folder name.
    """
    if not re.fullmatch(r"\w[\w.-]*", study):
        raise LabError(f"study must be a plain folder name of letters, digits, '_', '-' and '.', got {study!r}")
    return RunFolder(outputs() / study / run_id)


def find(name: str) -> RunFolder:
    """The run that a user means: by its folder, by study/id, or by its run id or the beginning of it under `outputs()`.

    Raises:
        LabError: if there is none, or if several begin so.
    """
    if (Path(name) / "run.json").is_file():
        return RunFolder(Path(name).resolve())
    if name and (outputs() / name / "run.json").is_file():
        return RunFolder(outputs() / name)
    everything = sorted(outputs().glob("*/*/run.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    found = [path.parent for path in everything if name and path.parent.name.startswith(name)]
    if len(found) == 1:
        return RunFolder(found[0])
    if found:
        raise LabError(f"{len(found)} runs begin with {name}: {', '.join(map(str, found[:5]))}: write more of the run id, or the folder")
    latest = f"; the latest: {', '.join(str(path.parent) for path in everything[:3])}" if everything else ", which holds no run yet"
    raise LabError(f"no run {name}: it must be a run folder, or the beginning of a run id under {outputs()}{latest}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _alive(pid: Any) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, TypeError, ValueError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def _unwritable(path: Path, error: OSError) -> str:
    return f"cannot write to {path}: {error.strerror}: SIAMESE_LAB_OUTPUTS=/another/folder puts the outputs elsewhere"
