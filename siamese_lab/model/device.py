"""Settles precision, memory layout and allocator for this process."""

from omegaconf import DictConfig

from siamese_lab.core import hardware
from siamese_lab.core.hardware import Decided


def decide_device(cfg: DictConfig, accelerator: str | None = None) -> Decided:
    """Settles precision, layout and allocator, and applies them to this process.

    Args:
        cfg: from `config.compose`, or of a run.
        accelerator: instead of the config's, for one process: "auto" for a run that may have been trained on another
            machine.
    """
    trainer = cfg.trainer
    devices = trainer.devices if accelerator is None else 1
    return hardware.decide(
        accelerator or trainer.accelerator, trainer.precision, trainer.channels_last, trainer.allocator, devices
    )
