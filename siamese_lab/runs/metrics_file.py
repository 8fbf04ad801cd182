"""`metrics.json`, the figures of a finished run, and `classes.json`, the classes that it was trained on."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from siamese_lab.core.files import SCHEMA_VERSION, read_json, write_json
from siamese_lab.runs.schema import MetricsRecord, check_classes, check_metrics


def metrics_file(run: Path) -> Path:
    """The file of a run's figures."""
    return run / "metrics.json"


def read_metrics(run: Path) -> MetricsRecord:
    """The figures of a run, whatever its state; `RunFolder.metrics` checks the state first.

    Raises:
        LabError: if the file is missing or broken, or lacks an entry.
    """
    return check_metrics(metrics_file(run), read_json(metrics_file(run)))


def write_metrics(run: Path, metrics: Mapping[str, object]) -> None:
    """Writes the figures of a run."""
    write_json(metrics_file(run), {"schema": SCHEMA_VERSION, **metrics})


def read_best(run: Path) -> object:
    """The best headline figure on validation; None if the run was never evaluated.

    Raises:
        LabError: if the file is missing or broken.
    """
    found: object = read_json(metrics_file(run)).get("best")
    return found


def classes_file(run: Path) -> Path:
    """The file of the names of the training classes."""
    return run / "classes.json"


def read_classes(run: Path) -> list[str]:
    """The names of the training classes.

    Raises:
        LabError: if the file is missing or broken.
    """
    path = classes_file(run)
    return check_classes(path, read_json(path))["train"]


def write_classes(run: Path, train: Sequence[str]) -> None:
    """Writes the names of the training classes."""
    write_json(classes_file(run), {"schema": SCHEMA_VERSION, "train": list(train)})
