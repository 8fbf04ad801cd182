"""`history.json`: the validation figures of a run, epoch by epoch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypedDict

from siamese_lab.core.files import SCHEMA_VERSION, read_json, write_json


class History(TypedDict):
    """What history.json holds.

    `entries` has one mapping an evaluated epoch: `epoch`, `step` and the values by their tags, `val/...`.
    """

    schema: int
    monitor: str
    better: Literal["low", "high"]
    max_epochs: int
    entries: list[dict[str, float]]


def history_file(run: Path) -> Path:
    """The file of a run's history."""
    return run / "history.json"


def write_history(
    path: Path, monitor: str, better: Literal["low", "high"], max_epochs: int, entries: Sequence[dict[str, float]]
) -> None:
    """Writes a history.

    Args:
        path: from `history_file`.
        monitor: tag of the headline figure.
        better: which way that figure is better.
        max_epochs: that the run is to train.
        entries: one an evaluated epoch, oldest first.
    """
    known = {"monitor": monitor, "better": better, "max_epochs": max_epochs}
    write_json(path, {"schema": SCHEMA_VERSION, **known, "entries": list(entries)})


def read_history(run: Path) -> History:
    """The history of a run.

    Raises:
        LabError: if it is missing or broken.
    """
    return read_json(history_file(run))  # type: ignore[return-value] # its readers check the entries they use


def best_entry(history: History) -> dict[str, float] | None:
    """The entry of the best epoch so far; None if no epoch was evaluated.

    Raises:
        KeyError, TypeError, AttributeError: if the history is not what siamese-lab writes.
    """
    pick = min if history["better"] == "low" else max
    return pick(history["entries"], key=lambda entry: entry[history["monitor"]], default=None)
