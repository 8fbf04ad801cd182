"""Tells the loader where training stands, and gives it a new table where the sampling wants one."""

from typing import cast

import pytorch_lightning as pl
from pytorch_lightning.utilities.types import STEP_OUTPUT

from siamese_lab.core.mappings import StateDict
from siamese_lab.data.loader import BatchLoader
from siamese_lab.distributed import collectives
from siamese_lab.evaluation.evaluator import embed_ids
from siamese_lab.model.siamese import SiameseModule
from siamese_lab.structures.batch import Batch
from siamese_lab.structures.contracts import MinedSampling
from siamese_lab.training.interruption import Interruption


class Mining(pl.Callback):
    """At the start of an epoch; the embeddings are those of the current weights, not of their average.

    A checkpoint holds the epoch, the batches of it that are done, and the table; Lightning keeps none of these.

    Args:
        loader: of the training part.
        batch_size: images embedded at once.
        interruption: may end the run while it mines.
    """

    def __init__(self, loader: BatchLoader, batch_size: int, interruption: Interruption | None = None) -> None:
        self.loader, self.batch_size, self.interruption = loader, batch_size, interruption or Interruption()
        self.done = 0  # batches of this epoch

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Sets the loader's epoch; mines."""
        loader, twin = self.loader, cast(SiameseModule, pl_module).twin
        loader.epoch, loader.start, self.done = trainer.current_epoch, 0, 0
        if isinstance(loader.sampling, MinedSampling) and loader.sampling.wants(loader.epoch):
            with self.interruption.at_once():
                z = embed_ids(twin, loader.samples, loader.ids, self.batch_size)
                loader.table = collectives.broadcast(loader.sampling.mine(z, twin.distance, loader.epoch))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: STEP_OUTPUT, batch: Batch, batch_idx: int
    ) -> None:
        """Counts the batch."""
        self.done = batch.step + 1

    def state_dict(self) -> StateDict:
        """For the checkpoint."""
        return {"epoch": self.loader.epoch, "done": self.done, "table": self.loader.table}

    def load_state_dict(self, state: StateDict) -> None:
        """From the checkpoint: the loader goes on after the last batch that is done."""
        self.loader.epoch, self.loader.start, self.loader.table = state["epoch"], state["done"], state["table"]
        self.done = state["done"]
