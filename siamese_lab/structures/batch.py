"""A batch, and what a sampling draws of it."""

from typing import NamedTuple

from torch import Tensor

from siamese_lab.structures.tuples import Tuples


class Batch(NamedTuple):
    """One global batch.

    Args:
        x: images (B, C, H, W); with several processes this one's share of them, from row `first` on.
        ids: (B,) rows of the samples.
        labels: (B,).
        tuples: over the batch's rows, or None for all that the labels imply.
        epoch, step: of training; the augmentation is drawn from them.
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
