"""The data set of a config, decoded and checked."""

import itertools

import torch
from omegaconf import DictConfig

from siamese_lab.config.instantiate import build
from siamese_lab.config.trust import EVERYTHING, Trust
from siamese_lab.core.errors import LabError
from siamese_lab.core.text import printable
from siamese_lab.structures.samples import PARTS, Samples


def load_data(cfg: DictConfig, *, trust: Trust = EVERYTHING) -> Samples:
    """The data set of a config, decoded; refused if its parts overlap and it does not declare so.

    Args:
        cfg: from `config.compose`.
        trust: whose code the config may build from.
    """
    samples: Samples = build(cfg.data, trust=trust).load()
    if samples.disjoint == "label":
        classes = {part: set(torch.unique(samples.labels[samples.ids(part)]).tolist()) for part in PARTS}
        for a, b in itertools.combinations(PARTS, 2):
            common = sorted(classes[a] & classes[b])
            if common:
                raise LabError(
                    f"{len(common)} identities stand both in {a} and in {b}, e.g. "
                    f"{printable(samples.classes[common[0]])}: figures would flatter the model; split by identity, or "
                    "declare the data set disjoint by image"
                )
    return samples
