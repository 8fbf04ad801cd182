"""Batches out of memory: no worker processes, no collating, one indexing a batch."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from siamese_lab.batch import Batch, Samples


class BatchLoader:
    """What Lightning iterates: the sampling's batches of the training part, gathered whole.

    Nothing is drawn before the first `next`, so that a callback can still set the epoch and the mined table when an epoch starts.

    Args:
        samples: the data set.
        ids: (n,) samples of the training part; a sampling speaks of positions in it.
        labels: (n,) labels of these, 0..C-1.
        sampling: draws the batches.
    """

    def __init__(self, samples: Samples, ids: Tensor, labels: Tensor, sampling: Any) -> None:
        self.samples, self.ids, self.labels, self.sampling = samples, ids, labels, sampling
        self.epoch = 0
        self.table: Tensor | None = None

    def __len__(self) -> int:
        return len(self.sampling)

    def __iter__(self) -> Iterator[Batch]:
        for step, (drawn, tuples) in enumerate(self.sampling.batches(self.epoch, self.table)):
            ids = self.ids[drawn]
            yield Batch(self.samples.gather(ids), ids, self.labels[drawn], tuples, self.epoch, step)
