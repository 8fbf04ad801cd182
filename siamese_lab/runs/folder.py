"""The run folder `outputs/<study>/<run id>/`: its identity, its state, its lock."""

import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from siamese_lab.core.errors import LabError
from siamese_lab.core.files import ROOM, SCHEMA_VERSION, read_json, release, reserve, write_json, write_text, writing
from siamese_lab.core.paths import outputs, refuse_study
from siamese_lab.core.processes import describe_process, is_gone, this_process
from siamese_lab.runs.listing import all_run_folders, is_run
from siamese_lab.runs.metrics_file import metrics_file, read_metrics
from siamese_lab.runs.provenance import code_hash, versions
from siamese_lab.runs.schema import check_run
from siamese_lab.runs.states import EXIT_CODES

# what a process leaves that is killed before there is a run.json
UNBEGUN = (
    ".run.json.",
    ".config.yaml.",
    "config.yaml",
    ROOM,
)


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
        return is_run(self.path)

    def info(self) -> dict[str, Any]:
        """What run.json says.

        Raises:
            LabError: if it is missing, broken, of a newer version, or holds what siamese-lab does not write.
        """
        path = self.path / "run.json"
        return check_run(path, read_json(path))

    def state(self) -> str:
        """The state; "killed" for a run that says "running" and whose process, on this machine, is gone."""
        info = self.info()
        return "killed" if info["state"] == "running" and is_gone(info) else str(info["state"])

    def metrics(self) -> dict[str, Any]:
        """What metrics.json says: the figures of a finished run.

        Raises:
            LabError: if the run has not finished, or the file is broken or not whole.
        """
        path, state = metrics_file(self.path), self.state()
        if state == "running":  # figures that are there are of an earlier sitting
            raise LabError(self.busy())
        if not path.exists() and state != "ok":
            raise LabError(
                f"the run {self.path} has no figures, its state is {state}: `siamese-lab resume {self.short}` goes on "
                "with it"
            )
        if not path.exists():
            raise LabError(
                f"{path} is missing, of a run that is finished: copy its folder anew, or train it anew with --force"
            )
        return read_metrics(self.path)

    @property
    def short(self) -> str:
        """What a user types for this run: the shortest beginning of its id, of 6 digits or more, that no other run
        has.
        """
        others = [path for path in all_run_folders() if path.resolve() != self.path.resolve()]
        for length in range(6, len(self.run_id) + 1):
            if not any(path.name.startswith(self.run_id[:length]) for path in others):
                return self.run_id[:length]
        return f"{self.study}/{self.run_id}"

    @contextmanager
    def held(self) -> Iterator[None]:
        """While a process trains the run, no other does; the system lets go of the lock when the process dies, however
        it dies.

        Raises:
            LabError: if another process holds it, or the folder cannot be written.
        """
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path.with_name(f".{self.run_id}.lock"))
            try:
                lock.acquire(timeout=0)
            except Timeout as error:
                raise LabError(self.busy()) from error
        try:
            yield
        finally:
            lock.release()

    def reopen(self, decided: Mapping[str, object], step: int) -> None:
        """Sets a run that was stopped or killed to "running" again, and notes in run.json that it was resumed.

        Args:
            decided: what was settled at this start-up.
            step: optimizer steps that its checkpoint has behind it.
        """
        now = {
            "at": _now(),
            "step": step,
            "after": self.state(),
            "code": code_hash(),
            "versions": versions(),
            "decided": dict(decided),
        }
        before = self.info().get("resumed", [])
        with writing(self.path):
            reserve(self.path)
            self.update(state="running", **this_process(), ended=None, reason=None, resumed=[*before, now])

    def create(self, decided: Mapping[str, object] | None = None, force: bool = False, config: str = "") -> None:
        """Makes the folder and writes config.yaml, then run.json in state "running": a run that has one can be resumed.

        Args:
            decided: what was settled at start-up, e.g. the precision that `auto` became.
            force: start a run anew whose folder is there; what it wrote is removed.
            config: its text.

        Raises:
            LabError: if the run was begun before and `force` is off, if it is running now, or if the folder cannot be
                written.
        """
        if self.exists():
            state = self._known(force)
            if state == "running":
                raise LabError(self.busy())
            if not force:
                raise LabError(
                    f"the run {self.path} is there already ({state}): start it anew with --force, which removes it"
                )
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            there = [path for path in self.path.iterdir() if not path.name.startswith(UNBEGUN)]
            if there and not force:
                raise LabError(
                    f"{there[0]} is there, but no run.json beside it: not a whole run; --force removes the folder and "
                    "trains"
                )
            for path in self.path.iterdir():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            info = {
                "schema": SCHEMA_VERSION,
                "run_id": self.run_id,
                "study": self.study,
                "state": "running",
                "started": _now(),
                "ended": None,
                "seconds": None,
                **this_process(),
                "command": sys.argv,
                "code": code_hash(),
                "versions": versions(),
                "decided": dict(decided or {}),
            }
            reserve(self.path)  # first: where there is no room for this much, nothing is begun
            try:
                write_text(self.path / "config.yaml", config)
                write_json(self.path / "run.json", info)
            except OSError:
                (self.path / "config.yaml").unlink(missing_ok=True)
                raise

    def _known(self, force: bool) -> str:
        with suppress(*([LabError] if force else [])):
            return self.state()
        return "broken"  # which --force removes all the same

    def busy(self) -> str:
        """What is said of a run that another process trains."""
        for _ in range(20):  # who has the lock writes run.json at once, but not in the same moment
            info = self.info() if self.exists() else {}
            if info.get("state") == "running":
                return f"the run {self.path} is running now, as {describe_process(info)}"
            time.sleep(0.1)
        return (
            f"the run {self.path} is running now, as a process that has only just begun: wait for it or stop it first"
        )

    def update(self, **facts: object) -> None:
        """Sets entries of run.json."""
        write_json(self.path / "run.json", self.info() | facts)

    def finish(self, state: str, **facts: object) -> int:
        """Writes the final state, the end, the seconds taken and `facts`; returns the exit code that goes with the
        state.

        Raises:
            ValueError: if there is no such state.
        """
        if state not in EXIT_CODES:
            raise ValueError(f"a run ends in one of {', '.join(EXIT_CODES)}, got {state!r}")
        release(self.path)
        started = datetime.fromisoformat(self.info()["started"])
        self.update(state=state, ended=_now(), seconds=round((datetime.now(UTC) - started).total_seconds(), 1), **facts)
        return EXIT_CODES[state]


def run_folder(study: str, run_id: str) -> RunFolder:
    """The folder of a run, there or not.

    Raises:
        LabError: if the study's name is no plain folder name.
    """
    refuse_study(study)
    return RunFolder(outputs() / study / run_id)


def find_run(name: str) -> RunFolder:
    """The run that a user means: by its folder, by study/id, or by its run id or the beginning of it under `outputs()`.

    Raises:
        LabError: if there is none, or if several begin so.
    """
    with suppress(OSError):  # a name too long for a path may be looked for all the same
        if is_run(Path(name)):
            return RunFolder(Path(name).resolve())
        if name and is_run(outputs() / name):
            return RunFolder(outputs() / name)
    everything = sorted(all_run_folders(), key=_written, reverse=True)
    found = [path for path in everything if name and path.name.startswith(name)]
    if len(found) == 1:
        return RunFolder(found[0])
    if found:
        raise LabError(
            f"{len(found)} runs begin with {name}: {', '.join(map(str, found[:5]))}: write more of the run id, or the "
            "folder"
        )
    latest = f"; the latest: {', '.join(map(str, everything[:3]))}" if everything else ", which holds no run yet"
    raise LabError(
        f"no run {name or repr(name)}: it must be a run folder, or the beginning of a run id under {outputs()}{latest}"
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _written(run: Path) -> float:
    """When the run.json of a run was written."""
    try:
        return (run / "run.json").stat().st_mtime
    except OSError:  # another process has removed it meanwhile
        return 0.0
