"""Checkpoints: written whole or not at all, read without running code."""

import os
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from siamese_lab.assembly import model
from siamese_lab.errors import LabError
from siamese_lab.model import SiameseModule
from siamese_lab.runs import RunFolder


class WholeFiles(TorchCheckpointIO):
    """Writes beside the target, syncs and renames; Lightning goes through the temporary folder, where a kill leaves a part."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Writes `checkpoint` to `path`; a reader finds the old file or the new one."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            with temporary.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def keepers(folder: Path, monitor: str | None, mode: str) -> list[ModelCheckpoint]:
    """The callbacks that keep `last.ckpt` and, where there is a figure to monitor, `best.ckpt`.

    Args:
        folder: where they lie.
        monitor: the headline validation figure; None where there is no validation part.
        mode: "min" or "max".
    """
    common: dict[str, Any] = {
        "dirpath": folder,
        "save_on_train_epoch_end": True,
        "enable_version_counter": False,
        "save_weights_only": False,
    }
    last = ModelCheckpoint(filename="last", **common)
    if monitor is None:
        return [last]
    return [ModelCheckpoint(filename="best", monitor=monitor, mode=mode, **common), last]


def restore(module: SiameseModule, path: Path) -> int:
    """Puts the weights of a checkpoint into `module`; returns the epoch (from 1) that it was written after.

    Raises:
        LabError: if there is none, it is broken, or it belongs to another network.
    """
    try:
        checkpoint = torch.load(path, map_location=module.device, weights_only=True)
        module.load_state_dict(checkpoint["state_dict"])
        return int(checkpoint["epoch"]) + 1
    except FileNotFoundError as error:
        raise LabError(f"{path} is missing: the run has not finished its first epoch, or its checkpoints were removed") from error
    except Exception as error:  # torch.load raises whatever the broken file makes it
        raise LabError(f"{path} cannot be read as a checkpoint of this run: {' '.join(str(error).split())[:300]}") from error


def trained(folder: RunFolder, cfg: DictConfig) -> SiameseModule:
    """The network of a run with the weights that were judged: the best on validation, else the last.

    Args:
        folder: of the run.
        cfg: its config; it may come from elsewhere, and builds only what such a config may.

    Raises:
        LabError: if there is no checkpoint, or the config does not fit it.
    """
    network = folder.info().get("network")
    if not isinstance(network, dict):
        raise LabError(f"{folder.path} does not say what its network was built for: its training never began")
    module = model(cfg, tuple(network["shape"]), network["classes"], trusted=False)
    best = folder.path / "checkpoints" / "best.ckpt"
    restore(module, best if best.exists() else best.with_name("last.ckpt"))
    return module.eval()
