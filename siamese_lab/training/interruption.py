"""Ends a run between two batches: on a signal, at the time limit, or where the loss is no number."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import STEP_OUTPUT
from torch import Tensor

from siamese_lab.core.errors import Stopped
from siamese_lab.core.mappings import StateDict
from siamese_lab.distributed import collectives
from siamese_lab.model.siamese import LOG_EVERY
from siamese_lab.structures.batch import Batch

SIGNALS = (signal.SIGINT, signal.SIGTERM)
REASONS = (None, "max_time", "SIGTERM", "SIGINT")


class Interruption(pl.Callback):
    """Knows why a run has to stop. Whoever can write a checkpoint asks what is `agreed` first and then calls `stop`.

    A signal that comes during a step waits for the step's end. Where nothing would be lost (validation, evaluation,
    mining) it acts at once.

    Args:
        max_time: of this process's training; None = no limit.
    """

    def __init__(self, max_time: timedelta | None = None) -> None:
        self.max_time = max_time
        self.step = 0  # optimizer steps done
        self._signal: signal.Signals | None = None
        self._now = True  # whether a signal acts at once
        self._began: float | None = None
        self._finite: Tensor | None = None  # whether all losses since the last look were

    @contextmanager
    def listening(self) -> Iterator[None]:
        """SIGINT and SIGTERM come here, from the main thread of the process; afterwards to whoever had them before."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._heard) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Within it a signal acts at once."""
        before, self._now = self._now, True
        try:
            self._act()
            yield
        finally:
            self._now = before

    @property
    def reason(self) -> str | None:
        """Why training has to stop: "SIGINT", "SIGTERM" or "max_time"; None = it has not to."""
        if self._signal is not None:
            return self._signal.name
        if self.max_time is None or self._began is None:
            return None
        return "max_time" if time.monotonic() - self._began > self.max_time.total_seconds() else None

    def agreed(self) -> str | None:
        """The reason that any of the run's processes has: all of them learn it, and stop after the same step."""
        return REASONS[collectives.all_reduce_max(REASONS.index(self.reason))]

    def stop(self, reason: str | None) -> None:
        """Ends the run if there is a reason to.

        Raises:
            Stopped: with the reason.
        """
        if reason:
            raise Stopped(reason, self.step)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """From here on there is something to lose. Lightning has put its own handler over ours in the meantime."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self._heard)
        self._began, self._now, self.step = time.monotonic(), False, trainer.global_step
        self._act()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: STEP_OUTPUT, batch: Batch, batch_idx: int
    ) -> None:
        """Notes the step and looks at its loss; on a GPU every few steps, since a look waits for the device."""
        self.step = trainer.global_step
        loss = cast(Tensor, outputs["loss"] if isinstance(outputs, Mapping) else outputs)
        finite = torch.isfinite(loss.detach()).all()
        self._finite = finite if self._finite is None else self._finite & finite
        if loss.device.type == "cpu" or self.step % LOG_EVERY == 0 or trainer.is_last_batch:
            self.look()

    def look(self) -> None:
        """Ends the run if a loss since the last look was NaN or infinite.

        Raises:
            Stopped: with the reason "diverged".
        """
        finite, self._finite = self._finite, None
        if finite is not None and not bool(finite):
            raise Stopped("diverged", self.step)

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: StateDict) -> None:
        """No checkpoint takes the place of a good one whose weights are no numbers."""
        self.look()
        if not all(bool(torch.isfinite(weight).all()) for weight in pl_module.parameters()):
            raise Stopped("diverged", self.step)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """What follows can be interrupted."""
        self._now = True

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt  # asked twice
        self._signal = signal.Signals(number)
        if not self._now:
            words = f"\nsiamese-lab: {self._signal.name}: the run stops after this step; Ctrl-C stops it at once\n"
            os.write(2, words.encode())  # not print: the signal may have come in the middle of one
        self._act()

    def _act(self) -> None:
        if self._now and self._signal is not None:
            raise Stopped(self._signal.name, self.step)
