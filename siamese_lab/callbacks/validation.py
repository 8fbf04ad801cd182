"""Judges the validation part after an epoch."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl

from siamese_lab.batch import Samples
from siamese_lab.judging import judge


class Validation(pl.Callback):
    """Embeds the validation part every n epochs, has every protocol judge it, logs `val/<protocol>/<figure>`.

    Thresholds are chosen on the same part: in validation an accuracy at a threshold is the best one.

    Args:
        samples: the data set.
        protocols: by name; the first one's headline figure goes to the progress bar and is what checkpoints are chosen by.
        every: epochs between two validations.
        batch_size: images embedded at once.
    """

    def __init__(self, samples: Samples, protocols: Mapping[str, Any], every: int, batch_size: int) -> None:
        self.samples, self.protocols, self.every, self.batch_size = samples, protocols, every, batch_size
        first, protocol = next(iter(protocols.items()))
        self.monitor = f"val/{first}/{protocol.headline}"
        self.mode = "min" if protocol.better == "low" else "max"
        self.history: list[dict[str, float]] = []

    def due(self, trainer: pl.Trainer) -> bool:
        """Whether the epoch that ends now is judged; the last one always is."""
        epoch = trainer.current_epoch + 1
        return epoch % self.every == 0 or epoch == trainer.max_epochs or trainer.should_stop

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Judges and logs, where it is due."""
        if not self.due(trainer):
            return
        figures = judge(pl_module, self.samples, "val", self.protocols, {}, self.batch_size, influences=False)
        values = {f"val/{name}": figure.value for name, figure in figures.items()}
        for name, value in values.items():
            pl_module.log(name, value, prog_bar=name == self.monitor)
        self.history.append({"epoch": trainer.current_epoch, "step": trainer.global_step, **values})
