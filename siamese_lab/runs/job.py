"""One job of a study: its run and its attempts.

outputs/<study>/study.json              what was planned, see `study.py`
outputs/<study>/jobs/<run id>.yaml      the job's resolved config
outputs/<study>/jobs/<run id>.json      its attempts
outputs/<study>/jobs/<run id>.log       what they printed
outputs/<study>/jobs/<run id>.lock      held by the sweep that has claimed the job
outputs/<study>/<run id>/               the run folder
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from siamese_lab.core.errors import LabError
from siamese_lab.core.files import check_yaml, write_text
from siamese_lab.core.paths import outputs
from siamese_lab.core.processes import is_gone
from siamese_lab.runs.attempts import AttemptRecord, read_attempts, write_attempts
from siamese_lab.runs.folder import RunFolder


def combination(point: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """A point without its seed, as a key that runs which differ in the seed alone share."""
    return tuple(sorted((key, value) for key, value in point.items() if key != "seed"))


def describe_point(point: Mapping[str, str]) -> str:
    """A point as the words that make it."""
    return " ".join(f"{key}={value}" for key, value in point.items())


@dataclass(frozen=True)
class Job:
    """One run that a study asks for.

    Args:
        study: its name.
        run_id: of the run.
        point: {axis: value as the user would write it}, with the seed, without axes that its options lack.
        devices: processes or GPUs that it uses.
    """

    study: str
    run_id: str
    point: dict[str, str]
    devices: int = 1

    @property
    def folder(self) -> RunFolder:
        """Where the run lies."""
        return RunFolder(outputs() / self.study / self.run_id)

    def file(self, suffix: str) -> Path:
        """Its file of this suffix ("yaml", "json", "log", "lock") under `jobs`."""
        return outputs() / self.study / "jobs" / f"{self.run_id}.{suffix}"

    @property
    def name(self) -> str:
        """Its name in tables."""
        return describe_point(self.point) or self.run_id

    def attempts(self) -> list[AttemptRecord]:
        """The attempts so far, oldest first.

        Raises:
            LabError: if the file is broken.
        """
        return read_attempts(self.file("json"))

    def record_attempt(self, attempt: AttemptRecord) -> None:
        """Adds an attempt, or replaces the last one if it has the same `started`; a broken file is written anew."""
        earlier: list[AttemptRecord] = []
        with suppress(LabError):
            earlier = self.attempts()
        if earlier and earlier[-1]["started"] == attempt["started"]:
            earlier = earlier[:-1]
        write_attempts(self.file("json"), self.run_id, [*earlier, attempt])

    def forgive(self) -> None:
        """Stops counting the attempts so far against `launcher.retries`; a diverged run may then be tried again."""
        forgiven: list[AttemptRecord] = [{**attempt, "forgiven": True} for attempt in self.attempts()]
        write_attempts(self.file("json"), self.run_id, forgiven)

    def config_text(self) -> str:
        """The job's resolved config, as yaml."""
        return self.file("yaml").read_text(encoding="utf-8")

    def checked_config_text(self) -> str:
        """The job's resolved config, as yaml that is safe to parse.

        Raises:
            LabError: if it is missing or no yaml.
        """
        return check_yaml(self.file("yaml"))

    def write_config(self, text: str) -> None:
        """Writes the job's resolved config, whole or not at all."""
        write_text(self.file("yaml"), text)

    def log_end(self, size: int = 4000) -> str:
        """The last bytes of what the job printed, as text."""
        try:
            with self.file("log").open("rb") as file:
                file.seek(max(0, self.file("log").stat().st_size - size))
                return file.read().decode(errors="replace")
        except OSError:
            return ""

    def log_line(self, line: str) -> None:
        """Appends a line to the job's log."""
        with self.file("log").open("a", encoding="utf-8") as log:
            log.write(f"{line}\n")

    def state(self) -> str:
        """The run's state, that of the last attempt if the run never began, or "queued".

        Raises:
            LabError: if run.json or the file of the attempts is broken.
        """
        if self.folder.exists():
            return self.folder.state()
        last = next(reversed(self.attempts()), None)
        if last is None or last["state"] == "ok" or last.get("forgiven"):  # "ok": the run folder was moved away
            return "queued"
        return "killed" if last["state"] == "running" and "by" in last and is_gone(last["by"]) else last["state"]

    def set_aside(self) -> None:
        """Moves the run folder to `jobs/replaced`, so that the run is begun anew.

        Raises:
            LabError: if it is running.
        """
        if self.folder.path.exists():
            with self.folder.lock():
                aside = self.file("yaml").parent / "replaced"
                aside.mkdir(exist_ok=True)
                self.folder.path.rename(aside / f"{self.run_id}-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}")
