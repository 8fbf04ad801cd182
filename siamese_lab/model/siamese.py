"""Training of a twin encoder as a LightningModule: the twin, a miner, a memory and a loss."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.utilities.types import OptimizerConfig, OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.checkpoint import checkpoint

from siamese_lab.core.random import Stream, generator
from siamese_lab.distributed import collectives
from siamese_lab.model.twin import Twin
from siamese_lab.structures.batch import Batch
from siamese_lab.structures.contracts import Loss, Memory, Miner
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.parameters import take_rows
from siamese_lab.structures.tuples import Tuples

LOG_EVERY = 10  # steps


class SiameseModule(pl.LightningModule):
    """Trains a twin encoder: embeds a batch once, forms its tuples, and lowers the loss over them.

    Args:
        twin: what is trained.
        loss: (Embedded, tuples) -> (scalar, facts).
        miner: Embedded -> tuples or None.
        seed: of the augmentation.
        ema: decay a step of the average of the weights that is evaluated, in (0, 1); None = the weights themselves.
        memory: adds the rows of earlier batches; None = none.
        chunk: images that go through the backbone at once in training, so that a batch needs no more memory than that;
            None = all.
        make_optimizers: module -> what Lightning's configure_optimizers returns.

    Raises:
        ValueError: if ema is not in (0, 1) or chunk not positive.
    """

    loss: Loss
    memory: Memory | None

    def __init__(
        self,
        twin: Twin,
        loss: Loss,
        miner: Miner,
        *,
        seed: int = 0,
        ema: float | None = None,
        memory: Memory | None = None,
        chunk: int | None = None,
        make_optimizers: Callable[["SiameseModule"], OptimizerLRSchedulerConfig] | None = None,
    ) -> None:
        super().__init__()
        if ema is not None and not 0 < ema < 1:
            raise ValueError(
                f"trainer.ema must lie in (0, 1) or be null, got {ema}: it is what the average keeps at each step"
            )
        if chunk is not None and not chunk > 0:
            raise ValueError(
                f"trainer.chunk must be > 0 or null, got {chunk}: it is how many images go through the backbone at once"
            )
        self.twin, self.loss = twin, loss
        self.miner, self.seed, self.make_optimizers = miner, seed, make_optimizers
        self.memory, self.chunk = memory, chunk
        self.seen: tuple[Embedded, Tuples, dict[str, Tensor]] | None = None  # the last step's embeddings, for callbacks
        self.average = AveragedModel(twin, multi_avg_fn=get_ema_multi_avg_fn(ema), use_buffers=True) if ema else None
        if self.average is not None:
            self.average.requires_grad_(False)

    @property
    def evaluated(self) -> Twin:
        """The twin that is evaluated: the one with the averaged weights where there are any, else the trained one."""
        return self.twin if self.average is None else cast(Twin, self.average.module)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Augments on the device, by parameters drawn for the whole batch from (seed, epoch, step)."""
        augment = self.twin.augment
        drawn = augment.draw(len(batch.ids), generator(self.seed, Stream.AUGMENT, batch.epoch, batch.step))
        mine = take_rows(drawn, slice(batch.first, batch.first + len(batch.x)))
        return batch._replace(x=augment.apply(self.twin.prepare(batch.x), mine))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One loss over the whole batch's tuples: those of the sampling, else those of the miner, else all."""
        z, where = collectives.all_gather(self._forward(batch.x)), (batch.epoch, batch.step)
        e = Embedded(z, batch.labels, batch.ids, distance=self.twin.distance, where=where)
        if self.memory is not None:
            e = self.memory(e)
        tuples = batch.tuples if batch.tuples is not None else self.miner(e)
        loss, facts = self.loss(e, tuples)
        self.seen = (replace(e, z=e.z.detach()), tuples, facts)
        if self.trainer.is_last_batch or (self.global_step + 1) % LOG_EVERY == 0:  # else it is not written anyway
            self.log("train/loss", loss.detach(), prog_bar=True, on_step=True, on_epoch=False)
            self.log_dict({f"train/{name}": fact.float() for name, fact in facts.items()}, on_step=True, on_epoch=False)
        return loss

    def _forward(self, x: Tensor) -> Tensor:
        """Embeddings (b, D) of a batch in training; chunks are computed again when their gradient is asked for."""
        if self.chunk is None or len(x) <= self.chunk:
            z: Tensor = self.twin.backbone(x)
            return z
        again = partial(checkpoint, self.twin.backbone, use_reentrant=False, preserve_rng_state=True)
        return torch.cat([again(part) for part in x.split(self.chunk)])

    def on_after_backward(self) -> None:
        """Brings the gradients of several processes together."""
        collectives.average_gradients(self)

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Optimizer | LightningOptimizer,
        optimizer_closure: Callable[[], object] | None = None,
    ) -> None:
        """Steps, and moves the average of the weights: here, so that a checkpoint at the batch's end holds both."""
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        if self.average is not None:
            self.average.update_parameters(self.twin)

    def configure_optimizers(self) -> OptimizerConfig | OptimizerLRSchedulerConfig:
        """The optimizer over the twin and the loss, with its schedule."""
        if self.make_optimizers is not None:
            return self.make_optimizers(self)
        return {"optimizer": torch.optim.AdamW(self.parameters(), lr=1e-3)}
