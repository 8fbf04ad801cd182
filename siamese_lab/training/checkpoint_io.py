"""How Lightning writes checkpoints here: whole or not at all."""

import os
from pathlib import Path

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from siamese_lab.core.files import put
from siamese_lab.core.mappings import StateDict
from siamese_lab.model.checkpoint import LAST, PREVIOUS


class WholeFiles(TorchCheckpointIO):
    """Writes beside the target, syncs and renames; Lightning goes through the temporary folder, where a kill leaves a
    part.
    """

    def save_checkpoint(self, checkpoint: StateDict, path: str | Path, storage_options: object = None) -> None:
        """Writes `checkpoint` to `path`; a reader finds the old file or the new one. The last but one is kept as
        `previous.ckpt`.
        """
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            with temporary.open("wb") as file:
                try:
                    torch.save(checkpoint, file)
                except (
                    RuntimeError
                ) as error:  # of a full disk torch says what its writer then thinks, not that it is full
                    if isinstance(error.__context__, OSError):
                        raise error.__context__ from None
                    raise
                file.flush()
                os.fsync(file.fileno())
            if target.name == LAST and target.exists():
                put(target, target.with_name(PREVIOUS))  # from here to the next line only this one is there
            put(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
