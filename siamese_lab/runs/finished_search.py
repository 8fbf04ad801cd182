"""`outputs/<study>/search/done.json`: what a finished search printed, and the states of its points."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from siamese_lab.core.errors import LabError
from siamese_lab.core.files import SCHEMA_VERSION, read_json, write_json
from siamese_lab.core.paths import outputs


class FinishedSearch(TypedDict):
    """What done.json holds: the key of what was asked for, the lines printed, {run id: state} of the points."""

    key: str | None
    lines: list[str]
    states: dict[str, str]


def search_folder(study: str) -> Path:
    """The folder of the trials and plots of a study's search."""
    return outputs() / study / "search"


def write_finished_search(study: str, key: str | None, lines: Sequence[str], states: Mapping[str, str]) -> None:
    """Records the end of a search.

    Args:
        study: its name.
        key: of the words, options and code that asked for it, see `SweepRequest`.
        lines: that were printed.
        states: {run id: state} of its points.
    """
    found = {"key": key, "lines": list(lines), "states": dict(states)}
    write_json(search_folder(study) / "done.json", {"schema": SCHEMA_VERSION, **found})


def read_finished_search(study: str) -> FinishedSearch | None:
    """The record of a search; None if there is none, or it is broken."""
    path = search_folder(study) / "done.json"
    try:
        found = read_json(path) if path.exists() else {}
        return FinishedSearch(key=found["key"], lines=list(found["lines"]), states=dict(found["states"]))
    except (LabError, KeyError, TypeError, ValueError):
        return None
