from collections.abc import Iterator

import torch
from torch import Tensor

from siamese_lab.core.random import Stream, generator
from siamese_lab.sampling._hard_negatives import HardNegatives
from siamese_lab.sampling._tuple_batches import check_share_same, pair_batch, tuple_batches
from siamese_lab.structures.batch import DrawnBatch
from siamese_lab.structures.contracts import Distance, Produces


class HardPairs:
    """Random pairs, but a share of the different-class pairs joins an image to one of its nearest of other classes.

    The nearest are exact, over the whole training set, from the embeddings at the start of the epoch.

    Args:
        labels: (N,) of the training part, given by the data.
        seed: given by the run.
        batch_size: images in a batch; even.
        share_same: share of same-class pairs, in [0, 1].
        share_hard: share of the different-class pairs that are hard, in [0, 1].
        neighbours: how many nearest images of other classes the hard ones are drawn from, >= 1.
        every: epochs between two minings, >= 1.
        warmup: first epochs without hard pairs, >= 0; too hard at the start does not converge.
        steps: batches an epoch, >= 1; None = as many as hold the training images once.

    Raises:
        ValueError: if a number is out of its range or more than the data have, or the data have no pair of a kind.

    Examples:
        >>> import torch
        >>> from siamese_lab.distances.euclidean import Euclidean
        >>> from siamese_lab.sampling.hard_pairs import HardPairs
        >>> labels = torch.tensor([0, 0, 0, 1, 1, 1])
        >>> sampling = HardPairs(labels=labels, batch_size=4, neighbours=1)
        >>> z = torch.tensor([[0.0], [1.0], [2.0], [4.0], [7.0], [9.0]])
        >>> sampling.mine(z, Euclidean()).tolist()  # the nearest image of another class
        [[3], [3], [3], [2], [2], [2]]
    """

    produces: Produces = "pairs"

    def __init__(
        self,
        *,
        labels: Tensor,
        seed: int = 0,
        batch_size: int = 256,
        share_same: float = 0.5,
        share_hard: float = 0.5,
        neighbours: int = 10,
        every: int = 1,
        warmup: int = 1,
        steps: int | None = None,
    ) -> None:
        check_share_same(share_same)
        self.tuples = tuple_batches(labels, batch_size, 2, steps)
        self.negatives = HardNegatives(self.tuples.classes, share_hard, neighbours, every, warmup)
        self.share_same, self.seed = share_same, seed

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
            g = generator(self.seed, Stream.HARD_PAIRS, epoch, step)
            left, right, same = self.tuples.draw_pairs(self.share_same, g)
            yield pair_batch(left, torch.where(same, right, self.negatives.draw(left, table, g)), same)
