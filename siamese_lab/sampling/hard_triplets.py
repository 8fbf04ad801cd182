from collections.abc import Iterator

from torch import Tensor

from siamese_lab.core.random import Stream, generator
from siamese_lab.sampling._hard_negatives import HardNegatives
from siamese_lab.sampling._tuple_batches import triplet_batch, tuple_batches
from siamese_lab.structures.batch import DrawnBatch
from siamese_lab.structures.contracts import Distance, Produces


class HardTriplets:
    """Random triplets, but a share of the negatives are among the anchor's nearest images of other classes.

    The nearest are exact, over the whole training set, from the embeddings at the start of the epoch.

    Source: offline hard mining as in Hermans, Beyer, Leibe, 2017, section 2 ("triplet + OHM" of table 1).

    Args:
        labels: (N,) of the training part, given by the data.
        seed: given by the run.
        batch_size: images in a batch; a multiple of 3.
        share_hard: share of the negatives that are hard, in [0, 1].
        neighbours: how many nearest images of other classes the hard ones are drawn from, >= 1.
        every: epochs between two minings, >= 1.
        warmup: first epochs with random negatives only, >= 0; too hard at the start does not converge.
        steps: batches an epoch, >= 1; None = as many as hold the training images once.

    Raises:
        ValueError: if a number is out of its range or more than the data have, or the data have no triplet.

    Examples:
        >>> import torch
        >>> from siamese_lab.distances.euclidean import Euclidean
        >>> from siamese_lab.sampling.hard_triplets import HardTriplets
        >>> labels = torch.tensor([0, 0, 0, 1, 1, 1])
        >>> sampling = HardTriplets(labels=labels, batch_size=3, neighbours=2)
        >>> z = torch.tensor([[0.0], [1.0], [2.0], [4.0], [7.0], [9.0]])
        >>> sampling.mine(z, Euclidean()).tolist()  # the nearest images of other classes
        [[3, 4], [3, 4], [3, 4], [2, 1], [2, 1], [2, 1]]
    """

    produces: Produces = "triplets"

    def __init__(
        self,
        *,
        labels: Tensor,
        seed: int = 0,
        batch_size: int = 192,
        share_hard: float = 0.5,
        neighbours: int = 10,
        every: int = 1,
        warmup: int = 1,
        steps: int | None = None,
    ) -> None:
        self.tuples = tuple_batches(labels, batch_size, 3, steps)
        self.negatives = HardNegatives(self.tuples.classes, share_hard, neighbours, every, warmup)
        self.seed = seed

    def __len__(self) -> int:
        return self.tuples.steps

    def wants(self, epoch: int) -> bool:
        """Whether a new table is due before this epoch."""
        return self.negatives.wants(epoch)

    def mine(self, z: Tensor, distance: Distance, epoch: int = 0) -> Tensor:
        """The table (N, neighbours) of each training image's nearest images of other classes."""
        return self.negatives.mine(z, distance)

    def batches(self, epoch: int, table: Tensor | None = None) -> Iterator[DrawnBatch]:
        """The batches of an epoch: a function of the seed, the epoch and the table."""
        for step in range(self.tuples.steps):
            g = generator(self.seed, Stream.HARD_TRIPLETS, epoch, step)
            anchor, positive = self.tuples.draw_positives(g)
            yield triplet_batch(anchor, positive, self.negatives.draw(anchor, table, g))
