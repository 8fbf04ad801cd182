"""A batch, and what a sampling draws of it."""

from typing import NamedTuple

from torch import Tensor

from siamese_lab.structures.tuples import Tuples


class Batch(NamedTuple):
    """One global batch: `x` images (B, C, H, W), `ids` (B,) rows of the samples, `labels` (B,), `tuples` over the
    batch's rows or None for all that the labels imply, and where in training it stands (the augmentation is drawn from
    that).

    Where several processes train together, `x` is this one's share of the images, from row `first` on; all else is of
    the whole batch.
    """

    x: Tensor
    ids: Tensor
    labels: Tensor
    tuples: Tuples
    epoch: int
    step: int
    first: int = 0


class DrawnBatch(NamedTuple):
    """One global batch: `ids` (B,) positions in the training part, `tuples` over its rows or None."""

    ids: Tensor
    tuples: Tuples
