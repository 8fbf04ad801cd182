"""Study files: sweeps written down."""

from collections.abc import Sequence
from pathlib import Path

from siamese_lab.catalogue import config_dir


def named(words: Sequence[str], config_dirs: Sequence[Path]) -> Path | None:
    """The file that a word `study=NAME` names; None where there is none."""
    name = next((word.partition("=")[2] for word in words if word.startswith("study=")), None)
    return next((p for folder in (config_dir(), *config_dirs) if (p := folder / "studies" / f"{name}.yaml").is_file()), None)
