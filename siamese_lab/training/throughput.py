"""Measures the steady rate of training."""

import time

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import STEP_OUTPUT

from siamese_lab.core.mappings import StateDict
from siamese_lab.structures.batch import Batch

WARM = 5  # first steps, in which kernels are chosen and memory is taken


class Throughput(pl.Callback):
    """Images a second between the ends of consecutive steps: validation, mining and the first steps do not count.

    A resumed run goes on counting: steps that had to be done again count once, as does their time.
    """

    def __init__(self) -> None:
        self.images = self.steps = 0
        self.seconds = 0.0
        self._before, self._began = 0.0, time.time()
        self.first_step: float | None = None  # time.time() at the start of the first step
        self._last: float | None = None

    @property
    def elapsed(self) -> float:
        """Seconds from the start of training to now, validation and mining included."""
        return self._before + time.time() - self._began

    @property
    def rate(self) -> float | None:
        """Images a second; None before enough steps."""
        return self.images / self.seconds if self.seconds else None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The step to come has no step before it."""
        self._last = None

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Notes when training began."""
        if self.first_step is None:
            self.first_step = time.time()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: STEP_OUTPUT, batch: Batch, batch_idx: int
    ) -> None:
        """Counts the step."""
        if self.steps == WARM and trainer.strategy.root_device.type == "cuda":
            torch.cuda.synchronize()  # once, so that what is queued does not count
        now = time.perf_counter()
        if self._last is not None and self.steps >= WARM:
            self.images += len(batch.ids)
            self.seconds += now - self._last
        self._last, self.steps = now, self.steps + 1

    def state_dict(self) -> StateDict:
        """For the checkpoint."""
        counts = {"images": self.images, "steps": self.steps, "seconds": self.seconds, "first_step": self.first_step}
        return {**counts, "elapsed": self.elapsed}

    def load_state_dict(self, state: StateDict) -> None:
        """From the checkpoint."""
        self.images, self.steps, self.seconds = state["images"], state["steps"], state["seconds"]
        self.first_step, self._before, self._began = state["first_step"], state["elapsed"], time.time()
