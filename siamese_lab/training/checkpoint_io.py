"""Writes Lightning's checkpoints atomically."""

import os
from pathlib import Path

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from siamese_lab.core.files import put
from siamese_lab.core.mappings import StateDict
from siamese_lab.model.checkpoint import LAST, PREVIOUS


class WholeFiles(TorchCheckpointIO):
    """Writes beside the target, syncs, and renames.

    Lightning's own writer, killed while it writes, leaves a truncated file.
    """

    def save_checkpoint(self, checkpoint: StateDict, path: str | Path, storage_options: object = None) -> None:
        """Writes `checkpoint` to `path`; a reader finds the old file or the new one.

        The last checkpoint but one is kept as `previous.ckpt`.
        """
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            with temporary.open("wb") as file:
                try:
                    torch.save(checkpoint, file)
                except RuntimeError as error:
                    # on a full disk torch reports an inconsistency of its own writer; the cause is its context
                    if isinstance(error.__context__, OSError):
                        raise error.__context__ from None
                    raise
                file.flush()
                os.fsync(file.fileno())
            if target.name == LAST and target.exists():
                put(target, target.with_name(PREVIOUS))  # until the next line is done, only previous.ckpt exists
            put(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
