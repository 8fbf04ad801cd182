"""Builds the launcher that a study's config names."""

from typing import Any

from siamese_lab.errors import LabError
from siamese_lab.sweep.launching import Launcher


def launched(section: dict[str, Any]) -> Launcher:
    """The launcher of a plain config section.

    Raises:
        LabError: if the section does not fit it, or it refuses the values.
    """
    from omegaconf import OmegaConf

    from siamese_lab.binding import build

    try:
        made: Launcher = build(OmegaConf.create({"launcher": section}).launcher)
    except ValueError as error:
        raise LabError(f"launcher: {error}") from error
    return made
