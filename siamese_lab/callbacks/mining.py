"""Tells the loader which epoch begins, and gives it a new table where the sampling wants one."""

from typing import Any

import pytorch_lightning as pl

from siamese_lab.data.loader import BatchLoader
from siamese_lab.judging import embed


class Mining(pl.Callback):
    """At the start of an epoch; the embeddings are those of the current weights, not of their average.

    Args:
        loader: of the training part.
        batch_size: images embedded at once.
    """

    def __init__(self, loader: BatchLoader, batch_size: int) -> None:
        self.loader, self.batch_size = loader, batch_size

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Sets the loader's epoch; mines."""
        loader = self.loader
        loader.epoch = trainer.current_epoch
        if loader.sampling.wants(loader.epoch):
            z = embed(pl_module, loader.samples, loader.ids, self.batch_size, averaged=False)
            loader.table = loader.sampling.mine(z, pl_module.distance)
