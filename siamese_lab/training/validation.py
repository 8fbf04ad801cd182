"""Evaluates the validation part after an epoch."""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytorch_lightning as pl
import torch

from siamese_lab.core.mappings import StateDict
from siamese_lab.distributed import collectives
from siamese_lab.evaluation.evaluator import embed_part, evaluate_part
from siamese_lab.model.siamese import SiameseModule
from siamese_lab.runs.history import write_history
from siamese_lab.structures.contracts import EvaluationProtocol
from siamese_lab.structures.embedded_set import EmbeddedSet
from siamese_lab.structures.samples import Samples
from siamese_lab.training.interruption import Interruption

Entry = dict[str, float]  # epoch, step, and the figures of one validation, named "val/<protocol>/<figure>"


class Validation(pl.Callback):
    """Embeds the validation part every n epochs, has every protocol evaluate it, logs `val/<protocol>/<figure>`.

    Thresholds are chosen on the same part: in validation an accuracy at a threshold is the best one. Which epoch is the
    best, and when patience is at its end, follow from the history alone, which every checkpoint holds.

    Args:
        samples: the data set.
        protocols: by name; the first one's headline figure goes to the progress bar and is what checkpoints are chosen
            by.
        every: epochs between two validations.
        batch_size: images embedded at once.
        patience: validations without a better headline figure before training stops; None = never.
        interruption: may end the run while it evaluates.
        kept: a file that gets the history after each validation, for whoever watches; None = no file.
    """

    def __init__(
        self,
        samples: Samples,
        protocols: Mapping[str, EvaluationProtocol],
        every: int,
        batch_size: int,
        patience: int | None = None,
        interruption: Interruption | None = None,
        kept: Path | None = None,
    ) -> None:
        self.samples, self.protocols, self.every, self.batch_size = samples, protocols, every, batch_size
        self.patience, self.interruption, self.kept = patience, interruption or Interruption(), kept
        first, protocol = next(iter(protocols.items()))
        self.monitor, self.better = f"val/{first}/{protocol.headline}", protocol.better
        self.history: list[Entry] = []
        self.seen: EmbeddedSet | None = None  # of the best entry, unless that was before a resume

    @property
    def best(self) -> Entry | None:
        """The first entry with the best headline figure; None before the first validation."""
        sign = 1 if self.better == "low" else -1
        return min(self.history, key=lambda entry: sign * entry[self.monitor], default=None)

    def due(self, trainer: pl.Trainer) -> bool:
        """Whether the epoch that ends now is evaluated; the last one always is."""
        epoch = trainer.current_epoch + 1
        return epoch % self.every == 0 or epoch == trainer.max_epochs

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A run that is resumed after its last epoch trains no further one."""
        self._stop_if_impatient(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Evaluates and logs, where it is due."""
        if not self.due(trainer):
            return
        twin = cast(SiameseModule, pl_module).evaluated
        with self.interruption.at_once():
            seen = embed_part(twin, self.samples, self.samples.ids("val"), self.batch_size)
            figures = evaluate_part(
                twin, self.samples, "val", self.protocols, {}, self.batch_size, influences=False, seen=seen
            )
        own = torch.tensor([figure.value for figure in figures.values()], dtype=torch.float64)
        first = collectives.broadcast(own).tolist()  # every process stops and chooses by the same figures
        values = {f"val/{name}": value for name, value in zip(figures, first, strict=True)}
        for name, value in values.items():
            pl_module.log(name, value, prog_bar=name == self.monitor)
        self.history.append({"epoch": trainer.current_epoch, "step": trainer.global_step, **values})
        if self.best is self.history[-1]:
            self.seen = seen
        if self.kept is not None:
            write_history(self.kept, self.monitor, self.better, int(trainer.max_epochs or 0), self.history)
        self._stop_if_impatient(trainer)

    def state_dict(self) -> StateDict:
        """For the checkpoint."""
        return {"history": [dict(entry) for entry in self.history]}

    def load_state_dict(self, state: StateDict) -> None:
        """From the checkpoint."""
        self.history, self.seen = [dict(entry) for entry in state["history"]], None

    def _stop_if_impatient(self, trainer: pl.Trainer) -> None:
        if self.patience is not None and self.history:
            since = len(self.history) - 1 - self.history.index(self.best)  # type: ignore[arg-type]
            trainer.should_stop = trainer.should_stop or since >= self.patience
