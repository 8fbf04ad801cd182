"""The folders of options and of runs, and the names that a study may have."""

import os
import re
from pathlib import Path

from siamese_lab.core.errors import LabError


def config_dir() -> Path:
    """The folder of options: the packaged one in an installed wheel, else the checkout's."""
    package = Path(__file__).parents[1]
    packaged = package / "conf"
    return packaged if packaged.is_dir() else package.parent / "conf"


def outputs() -> Path:
    """The root of all runs: SIAMESE_LAB_OUTPUTS, else `outputs` in the current folder."""
    return Path(os.environ.get("SIAMESE_LAB_OUTPUTS") or "outputs")


def refuse_study(name: str) -> None:
    """Raises a LabError if the study's name is no plain folder name."""
    if not re.fullmatch(r"\w[\w.-]*", name) or len(os.fsencode(name)) > 200:
        raise LabError(
            f"study must be a plain folder name of letters, digits, '_', '-' and '.', at most 200 bytes, got {name!r}"
        )
