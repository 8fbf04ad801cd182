"""What is seen while a run trains: a bar on a terminal, a line for each validation elsewhere."""

import sys
import time

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar

from siamese_lab.core.messages import is_quiet


class Bar(TQDMProgressBar):
    """Lightning's bar with the loss and the headline validation figure, without a version number."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=5, leave=False)

    def get_metrics(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """The numbers at the bar's end."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return {name.removeprefix("train/"): value for name, value in metrics.items()}


class Lines(pl.Callback):
    """One line to stderr for each epoch that was validated.

    Args:
        monitor: the headline validation figure.
    """

    def __init__(self, monitor: str) -> None:
        self.monitor, self.began = monitor, time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Prints the line."""
        metrics = trainer.callback_metrics
        figure = f"  {self.monitor} {metrics[self.monitor]:.4f}" if self.monitor in metrics else ""
        loss = f"  loss {metrics['train/loss']:.4f}" if "train/loss" in metrics else ""
        seconds = time.perf_counter() - self.began
        epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        print(f"{epoch}{loss}{figure}  {seconds:.0f} s", file=sys.stderr, flush=True)


def progress(wanted: bool, monitor: str) -> list[pl.Callback]:
    """The bar where stderr is a terminal, the lines where it is not, nothing where it is not wanted."""
    if not wanted or is_quiet():
        return []
    return [Bar()] if sys.stderr.isatty() else [Lines(monitor)]
