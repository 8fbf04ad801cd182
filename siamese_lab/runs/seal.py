"""The seal on a study's test part: its runs compute no test figure until it is opened, and openings are logged."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

from filelock import FileLock

from siamese_lab.core.files import SCHEMA_VERSION, read_json, write_json, writing
from siamese_lab.runs.folder import RunFolder

PLAIN = "single"  # the folder of runs that belong to no study


class Opening(TypedDict):
    """One opening of a test part, as the log of a study holds it."""

    at: str
    command: str
    runs: list[str]


def is_sealed(folder: RunFolder) -> bool:
    """Whether the run belongs to a study, whose runs show validation figures alone."""
    return folder.study != PLAIN


def openings_file(study: Path) -> Path:
    """Where the openings of a study are logged."""
    return study / "openings.json"


def read_openings(study: Path) -> list[Opening]:
    """The openings of a study so far, oldest first.

    Raises:
        LabError: if the log is broken.
    """
    path = openings_file(study)
    found: list[Opening] = read_json(path, oldest=1).get("openings", []) if path.exists() else []
    return found


def log_opening(study: Path, run_ids: Sequence[str], command: str) -> None:
    """Logs an opening, before anything is computed, so that one that fails half-way is logged too.

    Args:
        study: its folder.
        run_ids: of the runs whose test figures are computed.
        command: that asked for them.
    """
    with writing(study), FileLock(study / ".openings.lock"):
        entry: Opening = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": command,
            "runs": list(run_ids),
        }
        write_json(openings_file(study), {"schema": SCHEMA_VERSION, "openings": [*read_openings(study), entry]})
