"""Measures the steady rate of training."""

import time
from typing import Any

import pytorch_lightning as pl
import torch

from siamese_lab.batch import Batch

WARM = 5  # first steps, in which kernels are chosen and memory is taken


class Speed(pl.Callback):
    """Images a second between the ends of consecutive steps: validation, mining and the first steps do not count."""

    def __init__(self) -> None:
        self.images = self.steps = 0
        self.seconds = 0.0
        self.first_step: float | None = None  # time.time() at the start of the first step
        self._last: float | None = None

    @property
    def rate(self) -> float | None:
        """Images a second; None before enough steps."""
        return self.images / self.seconds if self.seconds else None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The step to come has no step before it."""
        self._last = None

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        """Notes when training began."""
        if self.first_step is None:
            self.first_step = time.time()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Counts the step."""
        if self.steps == WARM and trainer.strategy.root_device.type == "cuda":
            torch.cuda.synchronize()  # once, so that what is queued does not count
        now = time.perf_counter()
        if self._last is not None and self.steps >= WARM:
            self.images += len(batch.x)
            self.seconds += now - self._last
        self._last, self.steps = now, self.steps + 1
