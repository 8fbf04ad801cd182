"""The run folder `outputs/<study>/<run id>/`: its identity, its state, its lock."""

import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from siamese_lab.core.errors import LabError
from siamese_lab.core.files import ROOM, SCHEMA_VERSION, read_json, release, reserve, write_json, write_text, writing
from siamese_lab.core.paths import outputs, refuse_study
from siamese_lab.core.processes import describe_process, is_gone, this_process
from siamese_lab.runs.listing import all_run_folders, is_run
from siamese_lab.runs.metrics_file import metrics_file, read_metrics
from siamese_lab.runs.provenance import code_hash, versions
from siamese_lab.runs.schema import MetricsRecord, RunRecord, check_run
from siamese_lab.runs.states import EXIT_CODES

LEFTOVERS = (".run.json.", ".config.yaml.", "config.yaml", ROOM)  # of a process killed before it wrote run.json


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

    def info(self) -> RunRecord:
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

    def metrics(self) -> MetricsRecord:
        """What metrics.json says: the figures of a finished run.

        Raises:
            LabError: if the run has not finished, or the file is broken or not whole.
        """
        path, state = metrics_file(self.path), self.state()
        if state == "running":  # any figures are of before it was resumed
            raise LabError(self.busy_message())
        if not path.exists() and state != "ok":
            raise LabError(
                f"the run {self.path} has no figures, its state is {state}: `siamese-lab resume {self.short_id}` "
                "goes on with it"
            )
        if not path.exists():
            raise LabError(
                f"{path} is missing, of a run that is finished: copy its folder anew, or train it anew with --force"
            )
        return read_metrics(self.path)

    @property
    def short_id(self) -> str:
        """The shortest beginning of the run id, of at least 6 digits, that no other run has."""
        others = [path for path in all_run_folders() if path.resolve() != self.path.resolve()]
        for length in range(6, len(self.run_id) + 1):
            if not any(path.name.startswith(self.run_id[:length]) for path in others):
                return self.run_id[:length]
        return f"{self.study}/{self.run_id}"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Context in which no other process can train the run; the system releases the lock of a process that dies.

        Raises:
            LabError: if another process holds the lock, or the folder cannot be written.
        """
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path.with_name(f".{self.run_id}.lock"))
            try:
                lock.acquire(timeout=0)
            except Timeout as error:
                raise LabError(self.busy_message()) from error
        try:
            yield
        finally:
            lock.release()

    def reopen(self, decided: Mapping[str, object], step: int) -> None:
        """Sets a run that was stopped or killed to "running" again, and records in run.json that it was resumed.

        Args:
            decided: what was decided at this start-up.
            step: optimizer steps that its checkpoint has taken.
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
        """Writes config.yaml, then run.json in state "running": from then on the run can be resumed.

        Args:
            decided: what was decided at start-up, e.g. the precision that `auto` became.
            force: remove what an earlier start of the run wrote.
            config: the text of config.yaml.

        Raises:
            LabError: if the run was begun before and `force` is off, if it is running now, or if the folder cannot be
                written.
        """
        if self.exists():
            state = self._state_or_broken() if force else self.state()
            if state == "running":
                raise LabError(self.busy_message())
            if not force:
                raise LabError(
                    f"the run {self.path} is there already ({state}): start it anew with --force, which removes it"
                )
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            there = [path for path in self.path.iterdir() if not path.name.startswith(LEFTOVERS)]
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
            reserve(self.path)  # first, so that nothing is begun on a disk that is almost full
            try:
                write_text(self.path / "config.yaml", config)
                write_json(self.path / "run.json", info)
            except OSError:
                (self.path / "config.yaml").unlink(missing_ok=True)
                raise

    def _state_or_broken(self) -> str:
        try:
            return self.state()
        except LabError:
            return "broken"

    def busy_message(self) -> str:
        """The message of an error about a run that another process trains."""
        process = "a process that has only just begun: wait for it or stop it first"
        for _ in range(20):  # the process that has the lock writes run.json a moment later
            if self.exists() and (info := self.info())["state"] == "running":
                process = describe_process(info)
                break
            time.sleep(0.1)
        return f"the run {self.path} is running now, as {process}"

    def update(self, **facts: object) -> None:
        """Sets entries of run.json."""
        write_json(self.path / "run.json", {**self.info(), **facts})

    def finish(self, state: str, **facts: object) -> int:
        """Writes the final state, the end, the seconds taken and `facts`; returns the state's exit code.

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


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
