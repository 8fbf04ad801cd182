"""Notes which images a training finds hard, and lists at its end whose label is likely wrong."""

from pathlib import Path
from typing import NamedTuple, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import STEP_OUTPUT
from torch import Tensor

from siamese_lab.audit.csv_files import write_audit
from siamese_lab.audit.label_noise import audit_labels
from siamese_lab.audit.plots import draw_duplicates, draw_suspects
from siamese_lab.core.errors import Stopped
from siamese_lab.core.mappings import StateDict
from siamese_lab.distributed import collectives
from siamese_lab.evaluation.evaluator import embed_ids
from siamese_lab.model.siamese import SiameseModule
from siamese_lab.plots._style import pixels
from siamese_lab.structures.batch import Batch
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Episode, Pairs, Triplets, Tuples
from siamese_lab.training.mining import Mining


class Notes(NamedTuple):
    """What is known of the N images of the training part, each (N,).

    - drawn: times it stood in a batch.
    - hard_positive, hard_negative: times it was the hardest positive, the hardest negative of an anchor.
    - asked: times it had both a positive and a negative in its batch.
    - nearer: sum over these of the share of the negatives nearer to it than its nearest positive, each in [0, 1].
    """

    drawn: Tensor
    hard_positive: Tensor
    hard_negative: Tensor
    asked: Tensor
    nearer: Tensor

    @staticmethod
    def blank(n: int) -> "Notes":
        """Of n images that training has not begun with: 20 bytes each."""
        drawn, hard_positive, hard_negative, asked = torch.zeros(4, n, dtype=torch.int32)
        return Notes(drawn, hard_positive, hard_negative, asked, torch.zeros(n))

    def negatives_nearer(self) -> Tensor:
        """Mean share (N,) of negatives nearer than the nearest positive, in [0, 1]; -1 where `asked` is 0."""
        return torch.where(self.asked > 0, self.nearer.double() / self.asked.clamp(min=1), -1.0)


class Ledger(pl.Callback):
    """Writes `ledger.csv` and `ledger_duplicates.csv` into the run folder when training ends, and plots to TensorBoard.

    An anchor's hardest positive is the farthest image of its label in the batch, its hardest negative the nearest image
    of another label; where the sampling formed tuples, only those with this anchor count. Rows of a memory are ignored.

    An image with a wrong label often has negatives nearer than its nearest positive. The list is sorted by the mean of
    two shares. The first is the share of such negatives in its batches, over the whole training, since the network may
    have memorised the image in the end. The second is the share of the other classes whose centroid is nearer than that
    of its own at the end, since some images are seldom drawn. For the second, and to find what an image is confused
    with, the training part is embedded once, with the last weights (their average, if there is one), without views. Of
    more than 20,000 images only the most suspicious ones have their neighbours searched.

    Args:
        every: steps between two looks, >= 1.
        top: images, and pairs, in the pictures, >= 1.

    Raises:
        ValueError: if a number is out of its range.

    Examples:
        >>> import torch
        >>> from siamese_lab.callbacks.ledger import Ledger, Notes, note
        >>> from siamese_lab.structures.embedded import Embedded
        >>> notes, e = Notes.blank(4), Embedded(torch.tensor([[0.0], [5.0], [1.0], [2.0]]), torch.tensor([0, 0, 1, 1]))
        >>> note(notes, torch.arange(4), e)  # what the callback does after a step
        >>> notes.drawn.tolist(), [round(share, 2) for share in notes.negatives_nearer().tolist()]
        ([1, 1, 1, 1], [1.0, 1.0, 0.0, 0.0])
        >>> Ledger(every=1).changes_result
        False
    """

    changes_result: bool = False  # it only watches: the run id does not depend on it

    def __init__(self, every: int = 1, top: int = 24) -> None:
        if not every >= 1:
            raise ValueError(f"every must be >= 1, got {every}: it counts the steps from one look to the next")
        if not top >= 1:
            raise ValueError(f"top must be >= 1, got {top}: it is how many images the picture shows")
        self.every, self.top = every, top
        self.notes: Notes | None = None
        self._ids: Tensor | None = None  # (N,) of the training part, on the device

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A blank page for each image of the training part, or the pages of the checkpoint."""
        self._ids = trainer.datamodule.loader.ids.to(pl_module.device)  # type: ignore[attr-defined]
        self.notes = Notes(*(page.to(pl_module.device) for page in self.notes or Notes.blank(len(self._ids))))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: STEP_OUTPUT, batch: Batch, batch_idx: int
    ) -> None:
        """Looks at the batch."""
        seen = cast(SiameseModule, pl_module).seen
        if trainer.global_step % self.every == 0 and self.notes is not None and self._ids is not None and seen:
            e = seen[0]
            note(self.notes, torch.searchsorted(self._ids, e.rows()[: e.anchors]), e, batch.tuples)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes, also where a resumed run had nothing left to train."""
        self._write(trainer, cast(SiameseModule, pl_module))

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Writes where the limit of time ended training: the run is evaluated all the same."""
        if isinstance(exception, Stopped) and exception.reason == "max_time":
            self._write(trainer, cast(SiameseModule, pl_module))

    def state_dict(self) -> StateDict:
        """For the checkpoint."""
        return {} if self.notes is None else {name: values.cpu() for name, values in self.notes._asdict().items()}

    def load_state_dict(self, state: StateDict) -> None:
        """From the checkpoint."""
        self.notes = Notes(**state) if state else None

    def _write(self, trainer: pl.Trainer, module: SiameseModule) -> None:
        """All processes embed, the first one writes."""
        loader = trainer.datamodule.loader  # type: ignore[attr-defined]
        callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        (size,) = (callback.batch_size for callback in callbacks if isinstance(callback, Mining))
        module.to(trainer.strategy.root_device)  # Lightning has put it on the CPU
        twin = module.evaluated
        views, twin.views = twin.views, 1
        try:
            z = embed_ids(twin, loader.samples, loader.ids, size)
        finally:
            twin.views = views
        if collectives.rank() or self.notes is None:
            return
        notes = Notes(*(values.cpu() for values in self.notes))
        audit = audit_labels(z, loader.samples, loader.ids, loader.labels, twin.distance, notes.negatives_nearer())
        counts = torch.stack([notes.drawn, notes.hard_positive, notes.hard_negative], 1)
        write_audit(Path(trainer.default_root_dir), audit, counts)
        if trainer.logger is not None:
            pictures = {"suspects": draw_suspects(audit, self.top), "duplicates": draw_duplicates(audit, self.top)}
            for name, picture in pictures.items():
                if picture is not None:
                    trainer.logger.experiment.add_image(  # type: ignore[attr-defined]
                        f"ledger/{name}", pixels(picture), trainer.global_step, dataformats="HWC"
                    )


@torch.no_grad()
def note(notes: Notes, at: Tensor, e: Embedded, tuples: Tuples = None) -> None:
    """Adds what one batch shows, in place.

    Args:
        notes: of N images.
        at: (A,) the place in `notes` of each row of the batch.
        e: the batch; rows behind its anchors are passed over.
        tuples: that the sampling formed of its rows; None = none.
    """
    z, labels = e.z[: e.anchors], e.labels[: e.anchors]
    d = e.distance.matrix(z, z)  # (A, A)
    same = labels[:, None] == labels[None, :]
    positive, negative = same & (at[:, None] != at[None, :]), ~same
    near = d.masked_fill(~positive, torch.inf).amin(1, keepdim=True)
    nearer = ((d < near) & negative).sum(1) / negative.sum(1)
    asked = positive.any(1) & negative.any(1)
    notes.asked.index_add_(0, at, asked.int())
    notes.nearer.index_add_(0, at, nearer.float().masked_fill(~asked, 0.0))
    notes.drawn.index_add_(0, at, torch.ones_like(at, dtype=torch.int32))
    formed = among(tuples, same)
    for kind, worst, counts in (
        (positive & formed, -torch.inf, notes.hard_positive),
        (negative & formed, torch.inf, notes.hard_negative),
    ):
        masked = d.masked_fill(~kind, worst)
        hardest = masked.argmax(1) if worst < 0 else masked.argmin(1)
        counts.index_add_(0, at[hardest], kind.any(1).int())


def among(tuples: Tuples, like: Tensor) -> Tensor:
    """Mask (A, A) of what tuples set each anchor against; all of it where there are none.

    Args:
        tuples: indices of rows below A.
        like: (A, A) bool, of the wanted size.
    """
    if tuples is None:
        return torch.ones_like(like)
    formed = torch.zeros_like(like)
    if isinstance(tuples, Pairs):
        formed[tuples.left, tuples.right] = formed[tuples.right, tuples.left] = True
    elif isinstance(tuples, Triplets):
        formed[tuples.anchor, tuples.positive] = formed[tuples.anchor, tuples.negative] = True
    elif isinstance(tuples, Episode):
        formed[tuples.query[:, None], tuples.support] = True
    return formed
