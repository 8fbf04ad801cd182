"""Fingerprints of the data of many configs."""

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omegaconf import DictConfig


def fingerprint(cfg: "DictConfig", known: dict[str, str], stamp: str | None = None) -> str:
    """Of the data that a config names, which are loaded once for each `stamp`.

    Args:
        cfg: with a section `data`.
        known: fingerprints so far; gets this one.
        stamp: changes when the files do, see `earlier.stamp`.
    """
    from omegaconf import OmegaConf

    from siamese_lab.data.load import load_data

    section = json.dumps([OmegaConf.to_container(cfg.data, resolve=True), stamp], sort_keys=True)
    if section not in known:
        known[section] = load_data(cfg).fingerprint
    return known[section]
