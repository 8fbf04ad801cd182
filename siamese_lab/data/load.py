"""The data set of a config, decoded and checked."""

import torch
from omegaconf import DictConfig

from siamese_lab.config.instantiate import build
from siamese_lab.config.trust import EVERYTHING, Trust
from siamese_lab.core.errors import LabError
from siamese_lab.core.text import printable
from siamese_lab.structures.samples import Samples


def load_data(cfg: DictConfig, *, trust: Trust = EVERYTHING) -> Samples:
    """The data set of a config, decoded, and refused if its parts overlap without saying so.

    Args:
        cfg: from `config.compose`.
        trust: whose code the config may build from.
    """
    samples: Samples = build(cfg.data, trust=trust).load()
    if samples.disjoint == "label":
        parts = {
            part: set(torch.unique(samples.labels[samples.ids(part)]).tolist()) for part in ("train", "val", "test")
        }
        for a, b in (("train", "val"), ("train", "test"), ("val", "test")):
            common = sorted(parts[a] & parts[b])
            if common:
                raise LabError(
                    f"{len(common)} identities stand both in {a} and in {b}, e.g. "
                    f"{printable(samples.classes[common[0]])}: figures would "
                    "flatter the model; split by identity, or declare the data set disjoint by image"
                )
    return samples
