"""Builds the launcher that a study's config names."""

from typing import Any

from siamese_lab.errors import LabError
from siamese_lab.sweep.launching import Launcher


def launched(section: dict[str, Any], trusted: bool = True) -> Launcher:
    """The launcher of a plain config section.

    Args:
        section: of the config.
        trusted: False for a section that the user did not write.

    Raises:
        LabError: if the section does not fit it, or it refuses the values.
    """
    from omegaconf import OmegaConf

    from siamese_lab.binding import build

    try:
        made: Launcher = build(OmegaConf.create({"launcher": section}).launcher, trusted=trusted)
    except ValueError as error:
        raise LabError(f"launcher: {error}") from error
    return made
