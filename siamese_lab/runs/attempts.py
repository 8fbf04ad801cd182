"""`outputs/<study>/jobs/<run id>.json`: the attempts at a job."""

from collections.abc import Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

from siamese_lab.core.errors import LabError
from siamese_lab.core.files import SCHEMA_VERSION, read_json, write_json
from siamese_lab.core.processes import ProcessRecord


class AttemptRecord(TypedDict):
    """One attempt at a job; times as ISO text.

    `where` is the slot or node, `by` the sweep's process; `forgiven` attempts do not count against launcher.retries.
    """

    started: str
    ended: str | None
    state: str
    reason: NotRequired[str]
    where: NotRequired[str]
    by: NotRequired[ProcessRecord]
    forgiven: NotRequired[bool]


def attempts_file(study: Path, run_id: str) -> Path:
    """The file of the attempts at a job."""
    return study / "jobs" / f"{run_id}.json"


def read_attempts(path: Path) -> list[AttemptRecord]:
    """The attempts so far, oldest first; none if there is no file.

    Raises:
        LabError: if the file is broken.
    """
    found = read_json(path).get("attempts") if path.exists() else []
    if not isinstance(found, list) or not all(
        isinstance(one, dict) and {"started", "ended", "state"} <= one.keys() for one in found
    ):
        raise LabError(f"{path} is not what siamese-lab writes: remove it, attempts at this job are then counted anew")
    return found


def write_attempts(path: Path, run_id: str, attempts: Sequence[AttemptRecord]) -> None:
    """Writes the attempts at a job."""
    write_json(path, {"schema": SCHEMA_VERSION, "run_id": run_id, "attempts": list(attempts)})
