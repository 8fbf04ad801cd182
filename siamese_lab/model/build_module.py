"""From a checked config to what trains a twin: loss, miner, memory and optimizers."""

from collections.abc import Callable

from omegaconf import DictConfig
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from siamese_lab.config.instantiate import build
from siamese_lab.config.trust import EVERYTHING, Trust
from siamese_lab.core.errors import LabError
from siamese_lab.model.optimizers import parameter_groups, schedule
from siamese_lab.model.siamese import SiameseModule
from siamese_lab.model.twin import Twin


def build_module(
    cfg: DictConfig, twin: Twin, classes: int, *, steps: int = 1, trust: Trust = EVERYTHING
) -> SiameseModule:
    """The twin of a config with the loss, miner, memory and optimizers that train it.

    Args:
        cfg: from `config.compose`.
        twin: with its starting weights, from `build_twin`; its weights are drawn before those of the loss.
        classes: of the training part.
        steps: batches an epoch, for the schedule of the learning rate.
        trust: whose code the config may build from.
    """
    loss = build(cfg.loss, trust=trust, dim=twin.dim, classes=classes)
    memory = build(cfg.memory, trust=trust, dim=twin.dim) if cfg.get("memory") is not None else None
    try:
        return SiameseModule(
            twin,
            loss,
            build(cfg.miner, trust=trust, seed=cfg.seed),
            seed=cfg.seed,
            ema=cfg.trainer.ema,
            memory=memory,
            chunk=cfg.trainer.chunk,
            make_optimizers=optimizers(cfg.optimizer, steps * cfg.trainer.max_epochs, trust),
        )
    except ValueError as error:
        raise LabError(str(error)) from error


def refuse_chunks(module: SiameseModule) -> None:
    """Sees to it that a batch may go through the backbone in chunks without changing the result.

    Raises:
        LabError: if it normalises by statistics of what goes through it at once.
    """
    normalising = [part for part in module.twin.backbone.modules() if isinstance(part, _BatchNorm) and part.training]
    if module.chunk is not None and normalising:
        raise LabError(
            f"trainer.chunk={module.chunk} would give {len(normalising)} batch normalisations the statistics of chunks "
            "instead of those of the batch: choose a backbone without them, e.g. backbone=lenet, freeze them, or set "
            "trainer.chunk=null"
        )


def optimizers(node: DictConfig, steps: int, trust: Trust) -> Callable[[SiameseModule], OptimizerLRSchedulerConfig]:
    """Makes the optimizer of the config and its schedule when Lightning asks for them."""

    def make(module: SiameseModule) -> OptimizerLRSchedulerConfig:
        groups = [dict(group) for group in node.groups]
        try:
            optimizer: Optimizer = build(node, trust=trust, params=parameter_groups(module, groups))
            scheduler = schedule(optimizer, node.schedule.name, node.schedule.warmup, steps)
        except ValueError as error:
            raise LabError(str(error)) from error
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    return make
