"""Hashes that tell whether what a plan was made from is still the same: words, options, files of the data."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omegaconf import DictConfig


def short_hash(value: object) -> str:
    """16 hex digits for a value that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def options_hash(config_dirs: Sequence[Path]) -> str:
    """A hash of the user's own option folders; the lab's options are part of the code's hash."""
    files = sorted(path for folder in config_dirs for path in folder.rglob("*.yaml"))
    return short_hash([[str(path), path.read_text(encoding="utf-8", errors="replace")] for path in files])


def data_roots(cfg: "DictConfig") -> list[str]:
    """The folder of the user's own data, as a list; empty where the data come with the lab or lie in its cache."""
    return [str(cfg.data.root)] if cfg.data.get("root") else []


def files_hash(roots: Sequence[str]) -> str | None:
    """A hash of the names, sizes and times of all files below the folders; None without a folder."""
    if not roots:
        return None
    found = []
    for root in roots:
        for folder, _, names in os.walk(root):
            for name in names:
                try:
                    stat = (Path(folder) / name).stat()
                except OSError:
                    continue
                found.append([folder, name, stat.st_size, stat.st_mtime_ns])
    return short_hash(sorted(found))


def data_fingerprint(cfg: "DictConfig", known: dict[str, str], stamp: str | None = None) -> str:
    """The fingerprint of a config's data, which are loaded once for each stamp.

    Args:
        known: fingerprints so far; gets this one.
        stamp: from `files_hash`.
    """
    from omegaconf import OmegaConf

    from siamese_lab.data.load import load_data  # here: it imports torch

    section = json.dumps([OmegaConf.to_container(cfg.data, resolve=True), stamp], sort_keys=True)
    if section not in known:
        known[section] = load_data(cfg).fingerprint
    return known[section]
