"""From a checked config to its twin encoder: with the starting weights, or with those of a trained run."""

import os

import torch
from omegaconf import DictConfig

from siamese_lab.config.compatibility import refuse_silent
from siamese_lab.config.instantiate import build
from siamese_lab.config.trust import EVERYTHING, LAB_ONLY, Trust
from siamese_lab.core.errors import LabError
from siamese_lab.model.checkpoint import BEST, LAST, restore_twin
from siamese_lab.model.twin import Twin
from siamese_lab.runs.folder import RunFolder


def build_twin(cfg: DictConfig, shape: tuple[int, ...], *, trust: Trust = EVERYTHING, trained: bool = True) -> Twin:
    """The twin of a config with the starting weights of its seed.

    Args:
        cfg: from `config.compose`.
        shape: (C, H, W) of the images.
        trust: whose code the config may build from.
        trained: whether the twin will be trained; else it has the config's augmentation only if its views need it.
    """
    torch.manual_seed(cfg.seed)
    backbone = build(cfg.backbone, trust=trust, shape=shape)
    refuse_silent("Backbone", backbone)
    distance = build(cfg.distance, trust=trust, dim=backbone.dim)
    augment = build(cfg.augment, trust=trust) if trained or cfg.evaluation.views > 1 else None
    try:
        return Twin(backbone, distance, augment, views=cfg.evaluation.views, channels_last=cfg.trainer.channels_last)
    except ValueError as error:
        raise LabError(str(error)) from error


def load_twin(folder: RunFolder, cfg: DictConfig, *, trust: Trust = LAB_ONLY) -> Twin:
    """The twin of a run with the weights that were evaluated: the best on validation, else the last.

    Args:
        folder: of the run.
        cfg: its config.
        trust: whose code the config, which may come from elsewhere, may build from.

    Raises:
        LabError: if there is no checkpoint, or the config does not fit it.
    """
    network = folder.info().get("network")
    if network is None:
        raise LabError(f"{folder.path} does not say what its network was built for: its training never began")
    twin = build_twin(cfg, tuple(network["shape"]), trust=trust, trained=False)
    best = folder.path / "checkpoints" / BEST
    restore_twin(twin, best if os.path.lexists(best) else best.with_name(LAST))
    return twin.eval()
