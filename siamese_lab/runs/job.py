"""One job of a study: which run it is, and what is known of its attempts.

outputs/<study>/study.json              what was planned, see `study.py`
outputs/<study>/jobs/<run id>.yaml      the job's resolved config
outputs/<study>/jobs/<run id>.json      its attempts
outputs/<study>/jobs/<run id>.log       what they printed
outputs/<study>/jobs/<run id>.lock      held by the sweep that has claimed the job
outputs/<study>/<run id>/               the run folder
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from siamese_lab.core.errors import LabError
from siamese_lab.core.files import SCHEMA_VERSION, read_json, write_json
from siamese_lab.core.paths import outputs
from siamese_lab.core.processes import is_gone
from siamese_lab.runs.folder import RunFolder


@dataclass(frozen=True)
class Job:
    """One run that a study asks for.

    Args:
        study: its name.
        run_id: of the run.
        point: {axis: value as the user would write it}, the seed among them; without axes that its options lack.
        devices: processes or GPUs that it takes.
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
        """How tables call it: its values."""
        return " ".join(f"{key}={value}" for key, value in self.point.items()) or self.run_id

    def attempts(self) -> list[dict[str, Any]]:
        """Those so far, oldest first: each has `started`, `ended`, `state`, `reason`, `where`, and `by`: the sweep's
        process.

        Raises:
            LabError: if the file is broken.
        """
        path = self.file("json")
        found = read_json(path).get("attempts") if path.exists() else []
        if not isinstance(found, list) or not all(
            isinstance(one, dict) and {"started", "ended", "state"} <= one.keys() for one in found
        ):
            raise LabError(
                f"{path} is not what siamese-lab writes: remove it, the attempts at this job are then counted anew"
            )
        return found

    def note(self, **attempt: Any) -> None:
        """Adds an attempt, or puts in order the last one if it has the same `started`; a broken file is written
        anew.
        """
        before: list[dict[str, Any]] = []
        with suppress(LabError):
            before = self.attempts()
        if before and before[-1]["started"] == attempt["started"]:
            before = before[:-1]
        write_json(self.file("json"), {"schema": SCHEMA_VERSION, "run_id": self.run_id, "attempts": [*before, attempt]})

    def forgive(self) -> None:
        """The attempts so far no longer count against `launcher.retries`, and a run that diverged may be tried
        again.
        """
        attempts = [attempt | {"forgiven": True} for attempt in self.attempts()]
        write_json(self.file("json"), {"schema": SCHEMA_VERSION, "run_id": self.run_id, "attempts": attempts})

    def state(self) -> str:
        """The run's state, see `runs.states.EXIT_CODES`; that of the last attempt where the run never began; else "queued".

        Raises:
            LabError: if a file that tells it is broken.
        """
        if self.folder.exists():
            return self.folder.state()
        attempts = self.attempts()
        # what it had written was moved away
        if not attempts or attempts[-1]["state"] == "ok" or attempts[-1].get("forgiven"):
            return "queued"
        last = attempts[-1]
        return "killed" if last["state"] == "running" and "by" in last and is_gone(last["by"]) else str(last["state"])

    def set_aside(self) -> None:
        """Moves what the run has written to `jobs/replaced`: it is begun anew.

        Raises:
            LabError: if it is running.
        """
        if self.folder.path.exists():
            with self.folder.held():
                aside = self.file("yaml").parent / "replaced"
                aside.mkdir(exist_ok=True)
                self.folder.path.rename(aside / f"{self.run_id}-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}")
