"""Decides when a run's checkpoints are written."""

from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.utilities.types import STEP_OUTPUT

from siamese_lab.core.mappings import StateDict
from siamese_lab.model.checkpoint import BEST, LAST
from siamese_lab.structures.batch import Batch
from siamese_lab.training.interruption import Interruption
from siamese_lab.training.validation import Validation


class CheckpointKeeper(Checkpoint):
    """Keeps `best.ckpt`, of the epoch with the best headline figure, and `last.ckpt`, from which a run is resumed.

    `last.ckpt` is written after every epoch, every n steps, and before the run stops. `best.ckpt` comes first: what
    `last.ckpt` says of it is then true at any moment. As a Checkpoint it stands behind all other callbacks, so that it
    holds what they have done in this batch.

    Args:
        folder: of the checkpoints.
        validation: knows the best epoch; None where there is no validation part, and no `best.ckpt` then.
        interruption: knows whether the run has to stop.
        every: steps between two checkpoints within an epoch; None = after epochs only.
    """

    def __init__(
        self, folder: Path, validation: Validation | None, interruption: Interruption, every: int | None = None
    ) -> None:
        self.folder, self.validation, self.interruption, self.every = folder, validation, interruption, every
        self._random: StateDict | None = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: STEP_OUTPUT, batch: Batch, batch_idx: int
    ) -> None:
        """Saves within an epoch; what falls on its last batch waits for the epoch's end."""
        if trainer.is_last_batch:
            return
        due = self.every is not None and trainer.global_step % self.every == 0
        # asked once: a reason that comes up while the checkpoint is written waits for the next step
        reason = self.interruption.agreed()
        if due or reason:
            trainer.save_checkpoint(self.folder / LAST)
        self.interruption.stop(reason)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Saves after an epoch."""
        best = self.validation.best if self.validation is not None else None
        if best is not None and best["epoch"] == trainer.current_epoch:
            trainer.save_checkpoint(self.folder / BEST)
        trainer.save_checkpoint(self.folder / LAST)
        # else training is at its end in any case
        if trainer.current_epoch + 1 < (trainer.max_epochs or 0) and not trainer.should_stop:
            self.interruption.stop(self.interruption.agreed())

    def state_dict(self) -> StateDict:
        """The states of torch's global generators, which Lightning does not keep.

        Nothing in this package draws from them, but a user's loss may.
        """
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return {"cpu": torch.get_rng_state(), "cuda": cuda}

    def load_state_dict(self, state: StateDict) -> None:
        """Keeps the states until `on_train_start`, when everything else has been restored."""
        self._random = state

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restores the generators."""
        if self._random is not None:
            torch.set_rng_state(self._random["cpu"])
            if self._random["cuda"] and len(self._random["cuda"]) == torch.cuda.device_count():
                torch.cuda.set_rng_state_all(self._random["cuda"])
            self._random = None
