"""Random triplets."""

from collections.abc import Iterator

import torch
from torch import Tensor

from siamese_lab.core.random import Stream, generator
from siamese_lab.sampling._class_index import Classes, check_batch
from siamese_lab.structures.batch import DrawnBatch
from siamese_lab.structures.contracts import Produces
from siamese_lab.structures.tuples import Triplets


class RandomTriplets:
    """batch_size / 3 triplets a batch: two images of one class, one of another; classes are drawn equally often.

    Args:
        labels: (N,) of the training part, given by the data.
        seed: given by the run.
        batch_size: images in a batch; a multiple of 3.
        steps: batches an epoch, >= 1; None = as many as hold the training images once.

    Raises:
        ValueError: if batch_size is no multiple of 3 or larger than the data, or the data have no triplet.
    """

    produces: Produces = "triplets"

    def __init__(self, *, labels: Tensor, seed: int = 0, batch_size: int = 192, steps: int | None = None) -> None:
        self.classes = Classes(labels)
        self.paired = self.classes.with_pairs()
        check_batch(batch_size, 3, len(labels), steps)
        self.triplets, self.seed = batch_size // 3, seed
        self.steps = steps or max(1, len(labels) // batch_size)

    def __len__(self) -> int:
        return self.steps

    def wants(self, epoch: int) -> bool:
        """No table of embeddings is needed."""
        return False

    def batches(self, epoch: int, table: Tensor | None = None) -> Iterator[DrawnBatch]:
        """The batches of an epoch: a function of the seed and the epoch."""
        for step in range(self.steps):
            g = generator(self.seed, Stream.RANDOM_TRIPLETS, epoch, step)
            classes = self.paired[(torch.rand(self.triplets, generator=g) * len(self.paired)).long()]
            anchor, positive = self.classes.pair(classes, g)
            yield drawn_triplets(anchor, positive, self.classes.other(anchor, g))


def drawn_triplets(anchor: Tensor, positive: Tensor, negative: Tensor) -> DrawnBatch:
    """A batch of the images `anchor`, `positive`, `negative`, (T,) each, and the triplets over its rows."""
    rows, t = torch.arange(len(anchor)), len(anchor)
    return DrawnBatch(torch.cat([anchor, positive, negative]), Triplets(rows, rows + t, rows + 2 * t))
