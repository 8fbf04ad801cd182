"""Builds the launcher that a study's config names."""

from collections.abc import Mapping

from siamese_lab.config.trust import EVERYTHING, Trust
from siamese_lab.core.errors import LabError
from siamese_lab.sweep.execution.launcher import Launcher


def build_launcher(section: Mapping[str, object], trust: Trust = EVERYTHING) -> Launcher:
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
        made: Launcher = build(OmegaConf.create({"launcher": dict(section)}).launcher, trust=trust)
    except ValueError as error:
        raise LabError(f"launcher: {error}") from error
    return made
