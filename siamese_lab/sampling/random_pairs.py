from collections.abc import Iterator

import torch
from torch import Tensor

from siamese_lab.core.random import Stream, generator
from siamese_lab.sampling._tuple_batches import check_share_same, pair_batch, tuple_batches
from siamese_lab.structures.batch import DrawnBatch
from siamese_lab.structures.contracts import Produces


class RandomPairs:
    """batch_size / 2 pairs a batch, a share of them of one class, the others of two; classes are drawn equally often.

    Source: Bromley et al., 1993; Koch et al., 2015, section 4.2 (half and half).

    Args:
        labels: (N,) of the training part, given by the data.
        seed: given by the run.
        batch_size: images in a batch; even.
        share_same: share of same-class pairs, in [0, 1].
        steps: batches an epoch, >= 1; None = as many as hold the training images once.

    Raises:
        ValueError: if batch_size is odd or larger than the data, share_same not in [0, 1], or the data have no pair of
            a kind.

    Examples:
        >>> import torch
        >>> from siamese_lab.sampling.random_pairs import RandomPairs
        >>> labels = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])
        >>> sampling = RandomPairs(labels=labels, batch_size=8, share_same=0.5)
        >>> batch = next(sampling.batches(epoch=0))
        >>> batch.tuples.left.tolist(), batch.tuples.right.tolist(), batch.tuples.same.tolist()
        ([0, 1, 2, 3], [4, 5, 6, 7], [True, True, False, False])
    """

    produces: Produces = "pairs"

    def __init__(
        self, *, labels: Tensor, seed: int = 0, batch_size: int = 256, share_same: float = 0.5, steps: int | None = None
    ) -> None:
        check_share_same(share_same)
        self.tuples = tuple_batches(labels, batch_size, 2, steps)
        self.share_same, self.seed = share_same, seed

    def __len__(self) -> int:
        return self.tuples.steps

    def batches(self, epoch: int, table: Tensor | None = None) -> Iterator[DrawnBatch]:
        """The batches of an epoch: a function of the seed and the epoch."""
        for step in range(self.tuples.steps):
            g = generator(self.seed, Stream.RANDOM_PAIRS, epoch, step)
            left, right, same = self.tuples.draw_pairs(self.share_same, g)
            right = torch.where(same, right, self.tuples.classes.draw_others(left, g))
            yield pair_batch(left, right, same)
