"""The siamese network as a LightningModule: backbone, distance, miner, loss."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.checkpoint import checkpoint

from siamese_lab.augment.affine import Affine
from siamese_lab.augment.none import Unchanged
from siamese_lab.core.random import generator
from siamese_lab.distributed import collectives
from siamese_lab.structures.batch import Batch
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples

LOG_EVERY = 10  # steps
AUGMENT = 100  # purpose of a random stream, see seeds.generator


class SiameseModule(pl.LightningModule):
    """One backbone that embeds both (all three, all 256) images of a tuple, and the loss that shapes it.

    Args:
        backbone: images (B, C, H, W) in [0, 1] -> embeddings (B, D).
        distance: the run's one distance.
        loss: (Embedded, tuples) -> (scalar, facts).
        miner: Embedded -> tuples or None.
        augment: of the training images.
        seed: of the augmentation.
        ema: decay a step of the average of the weights that is evaluated, in (0, 1); None = the weights themselves.
        views: how many augmented views of an image its embedding is the mean of.
        memory: adds the rows of earlier batches; None = none.
        chunk: images that go through the backbone at once in training, so that a batch needs no more memory than that;
            None = all.
        channels_last: memory layout of images and convolutions.
        make_optimizers: module -> what Lightning's configure_optimizers returns.

    Raises:
        ValueError: if ema is not in (0, 1) or views not positive.
    """

    def __init__(
        self,
        backbone: nn.Module,
        distance: nn.Module,
        loss: nn.Module,
        miner: Callable[[Embedded], Tuples],
        augment: Affine | Unchanged,
        *,
        seed: int = 0,
        ema: float | None = None,
        views: int = 1,
        memory: nn.Module | None = None,
        chunk: int | None = None,
        channels_last: bool = True,
        make_optimizers: Callable[["SiameseModule"], Any] | None = None,
    ) -> None:
        super().__init__()
        if ema is not None and not 0 < ema < 1:
            raise ValueError(
                f"trainer.ema must lie in (0, 1) or be null, got {ema}: it is what the average keeps at each step"
            )
        if not views > 0:
            raise ValueError(
                f"evaluation.views must be > 0, got {views}: an embedding is the mean over that many views"
            )
        if chunk is not None and not chunk > 0:
            raise ValueError(
                f"trainer.chunk must be > 0 or null, got {chunk}: it is how many images go through the backbone at once"
            )
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.backbone, self.distance, self.loss = backbone.to(memory_format=self.layout), distance, loss
        self.miner, self.augment, self.seed, self.views, self.make_optimizers = (
            miner,
            augment,
            seed,
            views,
            make_optimizers,
        )
        self.memory, self.chunk = memory, chunk
        self.seen: tuple[Embedded, Tuples, dict[str, Tensor]] | None = None  # the last step's embeddings, for callbacks
        encoder = nn.ModuleDict({"backbone": self.backbone, "distance": self.distance})
        self.average = AveragedModel(encoder, multi_avg_fn=get_ema_multi_avg_fn(ema), use_buffers=True) if ema else None
        if self.average is not None:
            self.average.requires_grad_(False)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Augments on the device, by parameters drawn for the whole batch from (seed, epoch, step)."""
        maps = self.augment.draw(len(batch.ids), generator(self.seed, AUGMENT, batch.epoch, batch.step))
        mine = maps[batch.first : batch.first + len(batch.x)]
        return batch._replace(x=self.augment.apply(self.prepare(batch.x), mine))

    def prepare(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W), uint8 or floats in [0, 1], as floats in the run's memory layout and the weights'
        precision.
        """
        made = x.to(self.dtype, memory_format=self.layout)
        return made.div_(255.0) if x.dtype == torch.uint8 else made

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One loss over the whole batch's tuples: those of the sampling, else those of the miner, else all."""
        z, where = collectives.all_gather(self._forward(batch.x)), (batch.epoch, batch.step)
        e = Embedded(z, batch.labels, batch.ids, distance=self.distance, where=where)
        if self.memory is not None:
            e = self.memory(e)
        tuples = batch.tuples if batch.tuples is not None else self.miner(e)
        loss, facts = self.loss(e, tuples)
        value: Tensor = loss
        self.seen = (replace(e, z=e.z.detach()), tuples, facts)
        if self.trainer.is_last_batch or (self.global_step + 1) % LOG_EVERY == 0:  # else it is not written anyway
            self.log("train/loss", value.detach(), prog_bar=True, on_step=True, on_epoch=False)
            self.log_dict({f"train/{name}": fact.float() for name, fact in facts.items()}, on_step=True, on_epoch=False)
        return value

    def _forward(self, x: Tensor) -> Tensor:
        """Embeddings (b, D) of a batch in training; where it goes in chunks, each is computed again when its gradient
        is asked for.
        """
        if self.chunk is None or len(x) <= self.chunk:
            z: Tensor = self.backbone(x)
            return z
        return torch.cat(
            [
                checkpoint(self.backbone, part, use_reentrant=False, preserve_rng_state=True)
                for part in x.split(self.chunk)
            ]
        )

    def on_after_backward(self) -> None:
        """Brings the gradients of several processes together."""
        collectives.average_gradients(self)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Steps, and moves the average of the weights: here, so that a checkpoint at the batch's end holds both."""
        super().optimizer_step(*args, **kwargs)
        if self.average is not None:
            self.average.update_parameters(self.encoder(averaged=False))

    def configure_optimizers(self) -> Any:
        """The optimizer over backbone, distance and loss, with its schedule."""
        return (
            self.make_optimizers(self)
            if self.make_optimizers is not None
            else torch.optim.AdamW(self.parameters(), lr=1e-3)
        )

    @torch.no_grad()
    def embed(self, x: Tensor, *, averaged: bool = True) -> Tensor:
        """Embeddings (B, D) as everything but training sees them: eval mode, no autocast, the mean over `views` fixed
        views.

        Args:
            x: images (B, C, H, W), uint8 or floats in [0, 1], on the module's device.
            averaged: use the average of the weights where there is one; mining takes the current ones.
        """
        backbone = self.encoder(averaged)["backbone"]
        training = [
            part for part in backbone.modules() if part.training
        ]  # a frozen part of it may be in eval mode already
        backbone.eval()
        try:
            with torch.autocast(x.device.type, enabled=False):
                x = self.prepare(x)
                z: Tensor = backbone(x)
                for view in self.augment.views(self.views)[1:]:
                    z = z + backbone(self.augment.apply(x, view.repeat(len(x), 1, 1)))
        finally:
            for part in training:
                part.training = True
        if self.views == 1:
            return z
        return F.normalize(z, dim=1) if getattr(getattr(backbone, "head", None), "normalise", False) else z / self.views

    def encoder(self, averaged: bool = True) -> nn.ModuleDict:
        """Backbone and distance that evaluation uses: the averaged ones where there are any."""
        if averaged and self.average is not None:
            return cast(nn.ModuleDict, self.average.module)
        return nn.ModuleDict({"backbone": self.backbone, "distance": self.distance})
