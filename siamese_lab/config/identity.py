"""What a run is identified by: the hash of everything that decides what it computes."""

import hashlib
import json
from typing import Any

from omegaconf import DictConfig, OmegaConf

from siamese_lab.config.instantiate import TARGET
from siamese_lab.config.named_targets import CHANGES_RESULT, class_attribute
from siamese_lab.config.schema import LEFT_OUT
from siamese_lab.config.targets import resolve_target
from siamese_lab.core.dotted import remove_key
from siamese_lab.core.mappings import JsonObject

SCHEMA_VERSION = 2
"""Raised when a config of the same text would compute something else, or checkpoints are no longer read."""


def resolved_hash(cfg: DictConfig, fingerprint: str = "") -> str:
    """The run id: 12 hex digits of everything that decides what a run computes.

    Args:
        cfg: a composed and checked config; neither the order of its keys nor the spelling of its numbers matters.
        fingerprint: of the data set's content, labels and split.
    """
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    plain["callback"] = plain.get("callback") or {}  # no callback and only such as watch are one run
    for key in (*LEFT_OUT, *watching(plain)):
        remove_key(plain, key)
    text = json.dumps([SCHEMA_VERSION, fingerprint, plain], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def watching(plain: JsonObject) -> list[str]:
    """The keys of the callbacks that only watch, e.g. "callback.doctor"."""
    callbacks = plain.get("callback") or {}
    return [f"callback.{name}" for name, section in callbacks.items() if section and not _changes(section[TARGET])]


def _changes(target: str) -> bool:
    """Whether a callback changes what a run computes; for one of ours it is read without importing Lightning."""
    said = class_attribute(target, CHANGES_RESULT)
    if said is None and not target.startswith("siamese_lab."):
        said = vars(resolve_target(target)).get(CHANGES_RESULT)
    return said is not False
