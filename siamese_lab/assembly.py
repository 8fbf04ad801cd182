"""From a checked config to the objects of a run."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from siamese_lab import hardware
from siamese_lab.batch import Samples
from siamese_lab.binding import build
from siamese_lab.combination import refuse_misfits
from siamese_lab.errors import LabError, printable
from siamese_lab.hardware import Decided
from siamese_lab.judging import refuse_unfit, trial
from siamese_lab.model import SiameseModule
from siamese_lab.optimizing import parameter_groups, schedule


@dataclass(frozen=True)
class Lab:
    """Everything of one run, built. `ids` (n,) and `labels` (n,), 0..C-1, are those of the training part."""

    samples: Samples
    ids: Tensor
    labels: Tensor
    sampling: Any
    module: SiameseModule
    protocols: dict[str, Any]
    decided: Decided
    callbacks: dict[str, Any] = field(default_factory=dict)


def assemble(cfg: DictConfig, *, samples: Samples | None = None, trusted: bool = True) -> Lab:
    """Builds a run.

    Args:
        cfg: from `config.compose`.
        samples: the data, where they are loaded already.
        trusted: False for a config that the user did not write.

    Raises:
        LabError: if a part cannot be built, or parts do not fit each other.
    """
    decided = decide(cfg)  # before the first large tensor: the allocator's settings do not reach back
    samples = samples if samples is not None else load(cfg, trusted=trusted)
    ids = samples.ids("train")
    if len(ids) == 0:
        raise LabError("the training part of the data is empty: give it a larger share of the split")
    classes, labels = samples.labels[ids].unique(return_inverse=True)
    if len(classes) < 2:
        raise LabError(f"training needs at least two classes, the training part has {len(classes)}: nothing could be told apart")
    groups = {name: (codes[ids], names) for name, (codes, names) in samples.groups.items()}
    sampling = build(cfg.sampling, trusted=trusted, labels=labels, groups=groups, seed=cfg.seed)
    batch = len(next(iter(sampling.batches(0))).ids)
    if batch % cfg.trainer.devices:
        raise LabError(f"trainer.devices={cfg.trainer.devices} must divide the {batch} images of a batch, which the processes share")
    module = model(cfg, tuple(samples.images.shape[1:]), len(classes), steps=len(sampling), trusted=trusted)
    refuse_misfits(module.loss, module.miner, sampling, module.distance, module.memory)
    refuse_chunks(module)
    protocols = {str(name): build(node, trusted=trusted) for name, node in (cfg.get("protocol") or {}).items()}
    if not protocols:
        raise LabError("at least one protocol is needed to judge the run: e.g. protocol=[verification]")
    first, protocol = next(iter(protocols.items()))
    if trial(protocol) is not None:
        raise LabError(f"the first protocol chooses the best checkpoint on validation, and {first} judges test trials: name another first")
    refuse_unfit(samples, protocols)
    if cfg.trainer.patience is not None and not len(samples.ids("val")):
        raise LabError("trainer.patience needs a validation part, and the data have none: set trainer.patience=null")
    optimizer = module.configure_optimizers()["optimizer"]  # made again by Lightning; here, a bad rate is refused before the run begins
    if not any(group["initial_lr"] > 0 for group in optimizer.param_groups):
        raise LabError("a learning rate of 0 for all parameters would train nothing: set optimizer.lr, e.g. 1e-3")
    callbacks = {str(name): build(node, trusted=trusted) for name, node in (cfg.get("callback") or {}).items()}
    return Lab(samples, ids, labels, sampling, module, protocols, decided, callbacks)


def load(cfg: DictConfig, *, trusted: bool = True) -> Samples:
    """The data set of a config, decoded, and refused if its parts overlap without saying so."""
    samples: Samples = build(cfg.data, trusted=trusted).load()
    if samples.disjoint == "label":
        parts = {part: set(samples.labels[samples.ids(part)].unique().tolist()) for part in ("train", "val", "test")}
        for a, b in (("train", "val"), ("train", "test"), ("val", "test")):
            common = sorted(parts[a] & parts[b])
            if common:
                raise LabError(
                    f"{len(common)} identities stand both in {a} and in {b}, e.g. {printable(samples.classes[common[0]])}: figures would "
                    "flatter the model; split by identity, or declare the data set disjoint by image"
                )
    return samples


def model(cfg: DictConfig, shape: tuple[int, ...], classes: int, *, steps: int = 1, trusted: bool = True) -> SiameseModule:
    """The network of a config with the starting weights of its seed.

    Args:
        cfg: from `config.compose`.
        shape: (C, H, W) of the images.
        classes: of the training part.
        steps: batches an epoch, for the schedule of the learning rate; only training needs it.
        trusted: False for a config that the user did not write.
    """
    torch.manual_seed(cfg.seed)
    backbone = build(cfg.backbone, trusted=trusted, shape=shape)
    distance = build(cfg.distance, trusted=trusted, dim=backbone.dim)
    loss = build(cfg.loss, trusted=trusted, dim=backbone.dim, classes=classes)
    memory = build(cfg.memory, trusted=trusted, dim=backbone.dim) if cfg.get("memory") is not None else None
    try:
        return SiameseModule(
            backbone,
            distance,
            loss,
            build(cfg.miner, trusted=trusted, seed=cfg.seed),
            build(cfg.augment, trusted=trusted),
            seed=cfg.seed,
            ema=cfg.trainer.ema,
            views=cfg.evaluation.views,
            memory=memory,
            chunk=cfg.trainer.chunk,
            channels_last=cfg.trainer.channels_last,
            make_optimizers=optimizers(cfg.optimizer, steps * cfg.trainer.max_epochs, trusted),
        )
    except ValueError as error:
        raise LabError(str(error)) from error


def network(lab: Lab) -> tuple[tuple[int, ...], int]:
    """What the data decide of the network: the shape of an image and the number of training classes."""
    return tuple(lab.samples.images.shape[1:]), int(lab.labels.max()) + 1


def refuse_chunks(module: SiameseModule) -> None:
    """Sees to it that a batch may go through the backbone in chunks without changing the result.

    Raises:
        LabError: if it normalises by statistics of what goes through it at once.
    """
    normalising = [part for part in module.backbone.modules() if isinstance(part, _BatchNorm) and part.training]
    if module.chunk is not None and normalising:
        raise LabError(
            f"trainer.chunk={module.chunk} would give {len(normalising)} batch normalisations the statistics of chunks instead of those of "
            "the batch: choose a backbone without them, e.g. backbone=lenet, freeze them, or set trainer.chunk=null"
        )


def optimizers(node: DictConfig, steps: int, trusted: bool) -> Callable[[SiameseModule], dict[str, Any]]:
    """What Lightning's configure_optimizers returns, made when it asks: the optimizer of the config and its schedule."""

    def make(module: SiameseModule) -> dict[str, Any]:
        groups = OmegaConf.to_container(node.groups, resolve=True)
        try:
            optimizer = build(node, trusted=trusted, params=parameter_groups(module, groups))  # type: ignore[arg-type]
            scheduler = schedule(optimizer, node.schedule.name, node.schedule.warmup, steps)
        except ValueError as error:
            raise LabError(str(error)) from error
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    return make


def decide(cfg: DictConfig, accelerator: str | None = None) -> Decided:
    """Settles precision, layout and allocator, and applies them to this process.

    Args:
        cfg: from `config.compose`, or of a run.
        accelerator: instead of the config's, for one process: "auto" for a run that may have been trained on another machine.
    """
    trainer = cfg.trainer
    devices = trainer.devices if accelerator is None else 1
    return hardware.decide(accelerator or trainer.accelerator, trainer.precision, trainer.channels_last, trainer.allocator, devices)
