"""Which runs and studies lie under `outputs()`."""

from pathlib import Path

from siamese_lab.core.paths import outputs


def run_folders(study: Path) -> list[Path]:
    """The folders of all runs of a study that were begun, by run id."""
    return sorted(path.parent for path in study.glob("*/run.json"))


def all_run_folders() -> list[Path]:
    """The folders of all runs under `outputs()`, in no order."""
    return [path.parent for path in outputs().glob("*/*/run.json")]


def planned_studies() -> list[Path]:
    """The folders under `outputs()` that hold a study.json."""
    return sorted(path.parent for path in outputs().glob("*/study.json"))


def is_study(folder: Path) -> bool:
    """Whether a folder holds the plan of a study."""
    return (folder / "study.json").is_file()


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run that was ever begun."""
    return (folder / "run.json").is_file()
