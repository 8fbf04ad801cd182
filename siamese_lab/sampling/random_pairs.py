"""Random pairs."""

from collections.abc import Iterator

import torch
from torch import Tensor

from siamese_lab.core.random import Stream, generator
from siamese_lab.sampling._class_index import Classes, check_batch
from siamese_lab.structures.batch import DrawnBatch
from siamese_lab.structures.contracts import Produces
from siamese_lab.structures.tuples import Pairs


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
    """

    produces: Produces = "pairs"

    def __init__(
        self, *, labels: Tensor, seed: int = 0, batch_size: int = 256, share_same: float = 0.5, steps: int | None = None
    ) -> None:
        if not 0 <= share_same <= 1:
            raise ValueError(f"share_same must lie in [0, 1], got {share_same}: it is the share of same-class pairs")
        self.classes = Classes(labels)
        self.paired = self.classes.with_pairs()
        check_batch(batch_size, 2, len(labels), steps)
        self.pairs, self.share_same, self.seed = batch_size // 2, share_same, seed
        self.steps = steps or max(1, len(labels) // batch_size)

    def __len__(self) -> int:
        return self.steps

    def wants(self, epoch: int) -> bool:
        """No table of embeddings is needed."""
        return False

    def batches(self, epoch: int, table: Tensor | None = None) -> Iterator[DrawnBatch]:
        """The batches of an epoch: a function of the seed and the epoch."""
        for step in range(self.steps):
            g = generator(self.seed, Stream.RANDOM_PAIRS, epoch, step)
            same = torch.arange(self.pairs) < round(self.pairs * self.share_same)  # (P,)
            classes = self.paired[(torch.rand(self.pairs, generator=g) * len(self.paired)).long()]
            left, right = self.classes.pair(classes, g)
            right = torch.where(same, right, self.classes.other(left, g))
            yield drawn_pairs(left, right, same)


def drawn_pairs(left: Tensor, right: Tensor, same: Tensor) -> DrawnBatch:
    """A batch of the images `left` (P,) then `right` (P,), and the pairs over its rows."""
    rows = torch.arange(len(left))
    return DrawnBatch(torch.cat([left, right]), Pairs(rows, rows + len(left), same))
