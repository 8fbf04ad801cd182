"""Batches of pairs or triplets: their size, their positives, and their rows."""

from dataclasses import dataclass

import torch
from torch import Tensor

from siamese_lab.core.checks import require_within
from siamese_lab.sampling._class_index import ClassIndex, steps_per_epoch
from siamese_lab.structures.batch import DrawnBatch
from siamese_lab.structures.tuples import Pairs, Triplets


@dataclass(frozen=True)
class TupleBatches:
    """Batches of a fixed number of pairs or triplets.

    Args:
        classes: the images of each class.
        paired: (C,) the classes that have at least two images.
        count: pairs or triplets in a batch.
        steps: batches an epoch.
    """

    classes: ClassIndex
    paired: Tensor
    count: int
    steps: int

    def draw_positives(self, g: torch.Generator) -> tuple[Tensor, Tensor]:
        """Two different images (T,), (T,) of one class for each tuple; classes are drawn equally often."""
        return self.classes.draw_pairs(self.paired[(torch.rand(self.count, generator=g) * len(self.paired)).long()], g)

    def draw_pairs(self, share_same: float, g: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Two images (T,), (T,) of one class for each pair, and which pairs (T,) are to stay so: the first ones, a
        share of all. The others are given another right image, so their class may have one image only.
        """
        same = torch.arange(self.count) < round(self.count * share_same)
        drawn = torch.rand(self.count, generator=g)
        classes = torch.where(same, self.paired[(drawn * len(self.paired)).long()], (drawn * len(self.classes)).long())
        return *self.classes.draw_pairs(classes, g), same


def tuple_batches(labels: Tensor, batch_size: int, unit: int, steps: int | None) -> TupleBatches:
    """Batches of `batch_size` images, cut into tuples of `unit` images.

    Args:
        labels: (N,) of the training part.
        batch_size: images in a batch; a multiple of unit.
        unit: images of a tuple: 2 for pairs, 3 for triplets.
        steps: batches an epoch, >= 1; None = as many as hold the training images once.

    Raises:
        ValueError: if the data cannot fill such a batch, or have no positive or no negative pair.
    """
    classes = ClassIndex(labels)
    paired = classes.with_two_images()
    steps = steps_per_epoch(len(labels), batch_size, unit, len(labels), steps)
    return TupleBatches(classes, paired, batch_size // unit, steps)


def check_share_same(share_same: float) -> None:
    """Raises a ValueError unless the share of same-class pairs lies in [0, 1]."""
    require_within("share_same", share_same, "[0, 1]", "it is the share of same-class pairs")


def pair_batch(left: Tensor, right: Tensor, same: Tensor) -> DrawnBatch:
    """A batch of the images `left` (P,) then `right` (P,), and the pairs over its rows."""
    rows = torch.arange(len(left))
    return DrawnBatch(torch.cat([left, right]), Pairs(rows, rows + len(left), same))


def triplet_batch(anchor: Tensor, positive: Tensor, negative: Tensor) -> DrawnBatch:
    """A batch of the images `anchor`, `positive`, `negative`, (T,) each, and the triplets over its rows."""
    rows, t = torch.arange(len(anchor)), len(anchor)
    return DrawnBatch(torch.cat([anchor, positive, negative]), Triplets(rows, rows + t, rows + 2 * t))
