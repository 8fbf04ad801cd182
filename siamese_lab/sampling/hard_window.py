from collections.abc import Iterator

import torch
from torch import Tensor

from siamese_lab.core.random import Stream, generator
from siamese_lab.metrics.neighbours import nearest_others
from siamese_lab.sampling._hard_negatives import HardNegatives
from siamese_lab.sampling._tuple_batches import triplet_batch, tuple_batches
from siamese_lab.structures.batch import DrawnBatch
from siamese_lab.structures.contracts import Distance, Produces

ROWS = 1024  # images compared with their candidates at once


class HardWindow:
    """Random triplets, but a share of the negatives rank from `first` to `last` and keep a margin to the positive.

    Ranks are among the anchor's nearest images of other classes: exact, over the whole training set, from the
    embeddings at the start of the epoch. What is nearer is more often mislabelled than hard. At each mining every image
    gets one random positive and the ranks that pass: those with
    d(a, n) >= d(a, p) + absolute_margin and d(a, n) >= d(a, p) + relative_distance |d(a, p)|.
    An anchor without such a rank gets a random negative.

    `relative_distance` is not the relative margin of the sources, a share of a similarity (s(a, n) <= 0.95 s(a, p)),
    which not every distance has. It vanishes where the positive is close; `absolute_margin` does not.

    Source: Moreira et al., 2024 (NV-Retriever), section 3 (margins to the positive), with the window of
    sentence-transformers' `mine_hard_negatives`.

    Args:
        labels: (N,) of the training part, given by the data.
        seed: given by the run.
        batch_size: images in a batch; a multiple of 3.
        first: rank of the nearest negative that may be drawn, >= 1; 1 = the nearest of all.
        last: rank of the farthest, >= 1, not below first; no class may leave fewer images of others.
        absolute_margin: any number, in units of the distance; None = none.
        relative_distance: how much farther than the positive, as a share of its distance, > -1; None = none.
        share_hard: share of the negatives from the window, in [0, 1]; the others are random.
        every: epochs between two minings, >= 1.
        warmup: first epochs with random negatives only, >= 0; too hard at the start does not converge.
        steps: batches an epoch, >= 1; None = as many as hold the training images once.

    Raises:
        ValueError: if a number is out of its range or more than the data have, or the data have no triplet.

    Examples:
        >>> import torch
        >>> from siamese_lab.distances.euclidean import Euclidean
        >>> from siamese_lab.sampling.hard_window import HardWindow
        >>> labels = torch.tensor([0, 0, 0, 1, 1, 1])
        >>> sampling = HardWindow(labels=labels, batch_size=3, first=2, last=3)
        >>> z = torch.tensor([[0.0], [1.0], [2.0], [4.0], [7.0], [9.0]])
        >>> table = sampling.mine(z, Euclidean())
        >>> table[0, 1:].tolist(), table[5, 1:].tolist()  # of the first and the last image, ranks 2 and 3
        ([4, 5], [1, 0])
    """

    produces: Produces = "triplets"

    def __init__(
        self,
        *,
        labels: Tensor,
        seed: int = 0,
        batch_size: int = 192,
        first: int = 2,
        last: int = 20,
        absolute_margin: float | None = None,
        relative_distance: float | None = 0.05,
        share_hard: float = 0.5,
        every: int = 1,
        warmup: int = 1,
        steps: int | None = None,
    ) -> None:
        self.tuples = tuple_batches(labels, batch_size, 3, steps)
        most = len(labels) - int(self.tuples.classes.count.max())
        if not 1 <= first <= last <= most:
            raise ValueError(
                f"first and last must be ranks with 1 <= first <= last <= {most}, got {first} and {last}: the largest "
                f"class leaves {most} other images"
            )
        if relative_distance is not None and not relative_distance > -1:
            raise ValueError(
                f"relative_distance must be > -1 or null, got {relative_distance}: it is a share of a distance"
            )
        self.first, self.last, self.absolute, self.relative = first, last, absolute_margin, relative_distance
        self.negatives = HardNegatives(self.tuples.classes, share_hard, last, every, warmup)
        self.share, self.seed = share_hard, seed

    def __len__(self) -> int:
        return self.tuples.steps

    def wants(self, epoch: int) -> bool:
        """Whether a new table is due before this epoch."""
        return self.negatives.wants(epoch)

    @torch.no_grad()
    def mine(self, z: Tensor, distance: Distance, epoch: int = 0) -> Tensor:
        """The table (N, 1 + ranks): a positive of each image and its negatives of these ranks, -1 where one fails."""
        classes = self.tuples.classes
        positive = classes.draw_partners(generator(self.seed, Stream.HARD_WINDOW_POSITIVES, epoch))  # (N,)
        near = nearest_others(z, classes.class_of.to(z.device), distance, self.last)[:, self.first - 1 :]  # (N, W)
        for rows in torch.split(torch.arange(len(z)), ROWS):
            a = z[rows]
            d = torch.stack([distance.pairwise(a, z[column]) for column in (positive[rows], *near[rows].unbind(1))], 1)
            near[rows] = near[rows].masked_fill(~self._passes(d[:, :1], d[:, 1:]).cpu(), -1)
        return torch.cat([positive[:, None], near], 1)

    def _passes(self, positive: Tensor, negative: Tensor) -> Tensor:
        """Whether distances (n, W) of negatives keep the margins to those of positives (n, 1)."""
        passes = torch.ones_like(negative, dtype=torch.bool)
        if self.absolute is not None:
            passes &= negative >= positive + self.absolute
        if self.relative is not None:
            passes &= negative >= positive + self.relative * positive.abs()
        return passes

    def batches(self, epoch: int, table: Tensor | None = None) -> Iterator[DrawnBatch]:
        """The batches of an epoch: a function of the seed, the epoch and the table."""
        for step in range(self.tuples.steps):
            g = generator(self.seed, Stream.HARD_WINDOW_NEGATIVES, epoch, step)
            anchor, positive = self.tuples.draw_positives(g)
            negative = self.tuples.classes.draw_others(anchor, g)
            if table is not None:
                row = table[anchor]  # (T, 1 + W)
                passing = row[:, 1:] >= 0
                drawn = torch.rand(passing.shape, generator=g).masked_fill(~passing, -1.0).argmax(1)
                hard = (torch.rand(self.tuples.count, generator=g) < self.share) & passing.any(1)
                positive = torch.where(hard, row[:, 0], positive)
                negative = torch.where(hard, row[:, 1:].gather(1, drawn[:, None]).squeeze(1), negative)
            yield triplet_batch(anchor, positive, negative)
