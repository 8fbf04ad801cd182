"""What the samplings that draw pairs or triplets share: the size of a batch, its positives, and its rows."""

from dataclasses import dataclass

import torch
from torch import Tensor

from siamese_lab.core.checks import require_within
from siamese_lab.sampling._class_index import Classes, check_batch, steps_per_epoch
from siamese_lab.structures.batch import DrawnBatch
from siamese_lab.structures.tuples import Pairs, Triplets


@dataclass(frozen=True)
class TupleBatches:
    """Batches of a fixed number of pairs or triplets.

    Args:
        classes: the images of each class.
        paired: (C,) the classes that have at least two images.
        tuples: pairs or triplets in a batch.
        steps: batches an epoch.
    """

    classes: Classes
    paired: Tensor
    tuples: int
    steps: int

    def positives(self, g: torch.Generator) -> tuple[Tensor, Tensor]:
        """Two different images (T,), (T,) of one class for each tuple; classes are drawn equally often."""
        return self.classes.pair(self.paired[(torch.rand(self.tuples, generator=g) * len(self.paired)).long()], g)

    def same(self, share: float) -> Tensor:
        """Which pairs (T,) of a batch are of one class: the first ones, a `share` of all."""
        return torch.arange(self.tuples) < round(self.tuples * share)


def tuple_batches(labels: Tensor, batch_size: int, unit: int, steps: int | None) -> TupleBatches:
    """The batches of `batch_size` images, cut into tuples of `unit` images.

    Args:
        labels: (N,) of the training part.
        batch_size: images in a batch; a multiple of unit.
        unit: images of a tuple: 2 for pairs, 3 for triplets.
        steps: batches an epoch, >= 1; None = as many as hold the training images once.

    Raises:
        ValueError: if the data cannot fill such a batch, or have no positive or no negative pair.
    """
    classes = Classes(labels)
    paired = classes.with_pairs()
    check_batch(batch_size, unit, len(labels), steps)
    return TupleBatches(classes, paired, batch_size // unit, steps_per_epoch(len(labels), batch_size, steps))


def check_share_same(share_same: float) -> None:
    """Refuses a share of same-class pairs outside [0, 1].

    Raises:
        ValueError: if it lies outside, or is NaN.
    """
    require_within("share_same", share_same, "[0, 1]", "it is the share of same-class pairs")


def drawn_pairs(left: Tensor, right: Tensor, same: Tensor) -> DrawnBatch:
    """A batch of the images `left` (P,) then `right` (P,), and the pairs over its rows."""
    rows = torch.arange(len(left))
    return DrawnBatch(torch.cat([left, right]), Pairs(rows, rows + len(left), same))


def drawn_triplets(anchor: Tensor, positive: Tensor, negative: Tensor) -> DrawnBatch:
    """A batch of the images `anchor`, `positive`, `negative`, (T,) each, and the triplets over its rows."""
    rows, t = torch.arange(len(anchor)), len(anchor)
    return DrawnBatch(torch.cat([anchor, positive, negative]), Triplets(rows, rows + t, rows + 2 * t))
