"""`outputs/<study>/untrained/`: figures of untrained encoders, which runs that begin alike share."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from siamese_lab.core.errors import LabError
from siamese_lab.core.files import SCHEMA_VERSION, read_json, write_json
from siamese_lab.statistics.influence import Figure


def untrained_folder(study: Path) -> Path:
    """The folder in which the runs of a study share these figures."""
    return study / "untrained"


def untrained_file(folder: Path, key: object) -> Path:
    """The file for all encoders with the same `key`, JSON of what decides their figures."""
    text = json.dumps(key, sort_keys=True)
    return folder / f"{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"


def read_untrained(file: Path) -> dict[str, Figure] | None:
    """The figures that another run has written; None if there are none, or they are broken."""
    try:
        return {name: Figure(**figure) for name, figure in read_json(file)["figures"].items()}
    except (LabError, KeyError, TypeError):
        return None


def write_untrained(file: Path, figures: Mapping[str, Figure]) -> None:
    """Writes figures for other runs."""
    file.parent.mkdir(exist_ok=True)
    write_json(file, {"schema": SCHEMA_VERSION, "figures": {name: asdict(one) for name, one in figures.items()}})
