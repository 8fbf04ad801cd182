"""`metrics.json`, the figures of a finished run, and `classes.json`, the classes that it was trained on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from siamese_lab.core.files import SCHEMA_VERSION, read_json, write_json
from siamese_lab.runs.schema import check_classes, check_metrics


def metrics_file(run: Path) -> Path:
    """Where the figures of a run lie."""
    return run / "metrics.json"


def read_metrics(run: Path) -> dict[str, Any]:
    """The figures of a run, whatever its state; `RunFolder.metrics` looks at the state first.

    Raises:
        LabError: if the file is missing, broken or not whole.
    """
    return check_metrics(metrics_file(run), read_json(metrics_file(run)))


def write_metrics(run: Path, metrics: Mapping[str, object]) -> None:
    """Writes the figures of a run, whole or not at all."""
    write_json(metrics_file(run), {"schema": SCHEMA_VERSION, **metrics})


def read_best(run: Path) -> object:
    """The best headline figure on validation; None of a run that was not evaluated.

    Raises:
        LabError: if the file is missing or broken.
    """
    found: object = read_json(metrics_file(run)).get("best")
    return found


def classes_file(run: Path) -> Path:
    """Where the names of the classes that a run was trained on lie."""
    return run / "classes.json"


def read_classes(run: Path) -> list[str]:
    """The names of the classes that a run was trained on.

    Raises:
        LabError: if the file is missing or broken.
    """
    path = classes_file(run)
    names: list[str] = check_classes(path, read_json(path))["train"]
    return names


def write_classes(run: Path, train: Sequence[str]) -> None:
    """Writes the names of the classes that a run was trained on."""
    write_json(classes_file(run), {"schema": SCHEMA_VERSION, "train": list(train)})
