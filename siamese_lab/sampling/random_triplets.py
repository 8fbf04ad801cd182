from collections.abc import Iterator

from torch import Tensor

from siamese_lab.core.random import Stream, generator
from siamese_lab.sampling._tuple_batches import triplet_batch, tuple_batches
from siamese_lab.structures.batch import DrawnBatch
from siamese_lab.structures.contracts import Produces


class RandomTriplets:
    """batch_size / 3 triplets a batch: two images of one class, one of another; classes are drawn equally often.

    Args:
        labels: (N,) of the training part, given by the data.
        seed: given by the run.
        batch_size: images in a batch; a multiple of 3.
        steps: batches an epoch, >= 1; None = as many as hold the training images once.

    Raises:
        ValueError: if batch_size is no multiple of 3 or larger than the data, or the data have no triplet.

    Examples:
        >>> import torch
        >>> from siamese_lab.sampling.random_triplets import RandomTriplets
        >>> labels = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])
        >>> sampling = RandomTriplets(labels=labels, batch_size=6)
        >>> batch = next(sampling.batches(epoch=0))
        >>> batch.tuples.anchor.tolist(), batch.tuples.positive.tolist(), batch.tuples.negative.tolist()
        ([0, 1], [2, 3], [4, 5])
    """

    produces: Produces = "triplets"

    def __init__(self, *, labels: Tensor, seed: int = 0, batch_size: int = 192, steps: int | None = None) -> None:
        self.tuples = tuple_batches(labels, batch_size, 3, steps)
        self.seed = seed

    def __len__(self) -> int:
        return self.tuples.steps

    def batches(self, epoch: int, table: Tensor | None = None) -> Iterator[DrawnBatch]:
        """The batches of an epoch: a function of the seed and the epoch."""
        for step in range(self.tuples.steps):
            g = generator(self.seed, Stream.RANDOM_TRIPLETS, epoch, step)
            anchor, positive = self.tuples.draw_positives(g)
            yield triplet_batch(anchor, positive, self.tuples.classes.draw_others(anchor, g))
