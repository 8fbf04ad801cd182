"""Builds the launcher that a study's config names."""

from typing import Any

from siamese_lab.config.trust import EVERYTHING, Trust
from siamese_lab.core.errors import LabError
from siamese_lab.sweep.execution.launcher import Launcher


def build_launcher(section: dict[str, Any], trust: Trust = EVERYTHING) -> Launcher:
    """The launcher of a plain config section.

    Args:
        section: of the config.
        trust: whose code the section may build from.

    Raises:
        LabError: if the section does not fit it, or it refuses the values.
    """
    from omegaconf import OmegaConf

    from siamese_lab.config.instantiate import build

    try:
        made: Launcher = build(OmegaConf.create({"launcher": section}).launcher, trust=trust)
    except ValueError as error:
        raise LabError(f"launcher: {error}") from error
    return made
