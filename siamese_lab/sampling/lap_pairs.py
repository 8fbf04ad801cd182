from collections.abc import Iterator

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from siamese_lab.core.checks import require_at_least
from siamese_lab.core.random import Stream, generator
from siamese_lab.sampling._class_index import ClassIndex, steps_per_epoch
from siamese_lab.sampling._mining_schedule import MiningSchedule
from siamese_lab.sampling._tuple_batches import pair_batch
from siamese_lab.structures.batch import DrawnBatch
from siamese_lab.structures.contracts import Distance, Produces


class LAPPairs:
    """In each epoch every image stands in two same-class and two different-class pairs, once left and once right.

    Same-class pairs are a random derangement of each class. Different-class pairs solve a linear assignment: of all
    ways to give every image one partner of another class, each image being partner once, the one with the least sum of
    distance + K s u; u is uniform in [0, 1], s the standard deviation of the distances, and K falls from `noise` to
    `noise_end`. Large K makes partners random, small K hard.

    Assigning n images takes time of order n^3, so the images are dealt at random, each class evenly, into partitions of
    at most `partition` images: time N x partition^2 for each epoch, memory of a few partition^2. A mining solves the
    next `every` epochs at once, never repeating a pair, so a resumed run needs nothing but the table.

    An image that is alone in its class stands in different-class pairs only. Where one class fills more than half of a
    partition, its surplus gets random partners.

    Source: martinpiotte, "Whale recognition model with score 0.78563", Kaggle 2018. Differs from it: K is in units of s
    and falls in equal ratios, partitions are drawn anew at each mining.

    Args:
        labels: (N,) of the training part, given by the data.
        seed: given by the run.
        batch_size: images in a batch; a multiple of 4, half of them in same-class pairs if every class has two images.
        partition: images in one assignment, >= 2.
        noise: K at the first mining, >= 0.
        noise_end: K from `noise_epochs` after it on, > 0 and at most `noise`, unless both are 0.
        noise_epochs: epochs in which K falls, >= 1.
        every: epochs between two minings, >= 1.
        warmup: first epochs with random pairs, >= 0; too hard at the start does not converge.
        steps: batches an epoch, >= 1; None = as many as hold the epoch's pairs once, so every image four times.

    Raises:
        ValueError: if a number is out of its range or more than the data have, or the data have no pair of a kind.

    Examples:
        >>> import torch
        >>> from siamese_lab.distances.euclidean import Euclidean
        >>> from siamese_lab.sampling.lap_pairs import LAPPairs
        >>> labels = torch.tensor([0, 0, 0, 1, 1, 1])
        >>> sampling = LAPPairs(labels=labels, batch_size=4, noise=0.0, noise_end=0.0)
        >>> z = torch.tensor([[0.0, 0.0], [0.0, 3.0], [0.0, 6.0], [1.0, 0.0], [1.0, 3.0], [1.0, 6.0]])
        >>> sampling.mine(z, Euclidean()).tolist()  # a partner of another class for each image
        [[3], [4], [5], [0], [1], [2]]
    """

    produces: Produces = "pairs"

    def __init__(
        self,
        *,
        labels: Tensor,
        seed: int = 0,
        batch_size: int = 256,
        partition: int = 512,
        noise: float = 100.0,
        noise_end: float = 0.25,
        noise_epochs: int = 10,
        every: int = 1,
        warmup: int = 1,
        steps: int | None = None,
    ) -> None:
        self.classes = ClassIndex(labels)
        self.classes.with_two_images()
        steps_per_epoch(len(labels), batch_size, 4, len(labels), steps)  # checks both
        require_at_least("partition", partition, 2, "it is the number of images that partners are assigned among")
        if not (0 < noise_end <= noise or noise == noise_end == 0):
            raise ValueError(f"noise must fall to noise_end > 0, or both be 0, got {noise} and {noise_end}")
        require_at_least("noise_epochs", noise_epochs, 1, "the noise falls in that many epochs")
        self.schedule = MiningSchedule(every, warmup)
        self.seed, self.partition, self.every, self.warmup = seed, partition, every, warmup
        self.noise, self.noise_end, self.noise_epochs = noise, noise_end, noise_epochs
        self.paired = (self.classes.count[self.classes.class_of] > 1).nonzero().flatten()  # (n,) not alone in a class
        pairs, n = batch_size // 2, len(self.paired)
        self.same = min(max(1, round(pairs * n / (n + len(labels)))), pairs - 1)  # same-class pairs in a batch
        self.different = pairs - self.same
        self.steps = steps or max(1, min(n // self.same, len(labels) // self.different))

    def __len__(self) -> int:
        return self.steps

    def wants(self, epoch: int) -> bool:
        """Whether a new table is due before this epoch."""
        return self.schedule.wants(epoch)

    @torch.no_grad()
    def mine(self, z: Tensor, distance: Distance, epoch: int = 0) -> Tensor:
        """The table (N, every): each image's partner of another class in the next epochs."""
        g = generator(self.seed, Stream.LAP_PAIRS_MINING, epoch)
        order = self._shuffle_by_class(g)
        parts = -(-len(order) // self.partition)
        table = torch.empty(len(order), self.every, dtype=torch.long)
        for part in range(parts):
            rows = order[part::parts]  # (n,) a class's images go to different partitions
            d = distance.matrix(z[rows], z[rows]).double().cpu()
            table[rows] = self._assign(rows, d, self.noise_at(epoch), g)
        return table

    def noise_at(self, epoch: int) -> float:
        """K in an epoch."""
        done = min(1.0, max(0, epoch - self.warmup) / self.noise_epochs)
        return self.noise * (self.noise_end / self.noise) ** done if self.noise else 0.0

    def _assign(self, rows: Tensor, d: Tensor, noise: float, g: torch.Generator) -> Tensor:
        """Partners (n, every) of the images `rows` (n,) with distances d (n, n) to one another."""
        classes, n = self.classes.class_of[rows], len(rows)
        own = classes[:, None] == classes[None, :]
        spread = d[~own].std() if int((~own).sum()) > 1 else d.new_zeros(())
        cost = d + noise * spread * torch.rand(n, n, generator=g, dtype=torch.float64)
        worst, gap = float(cost.max()), n * (float(cost.max() - cost.min()) + 1.0)  # a used pair: worse than n others
        cost[own] = worst + (n + 1) * gap  # a same-class pair: worse than n used ones
        found = []
        for _ in range(self.every):
            partner = torch.from_numpy(linear_sum_assignment(cost.numpy())[1])  # (n,)
            line, left = torch.arange(n), ~own[torch.arange(n), partner]
            cost[line[left], partner[left]] = cost[partner[left], line[left]] = worst + gap
            found.append(torch.where(left, rows[partner], self.classes.draw_others(rows, g)))
        return torch.stack(found, 1)

    def batches(self, epoch: int, table: Tensor | None = None) -> Iterator[DrawnBatch]:
        """The batches of an epoch: a function of the seed, the epoch and the table."""
        g = generator(self.seed, Stream.LAP_PAIRS_BATCHES, epoch)
        twin = self.classes.draw_cycle(g)
        other = self._random_partners(g) if table is None else table[:, (epoch - self.warmup) % self.every]
        same = _draw_in_rounds(self.paired, self.steps * self.same, g).view(self.steps, -1)
        different = _draw_in_rounds(torch.arange(len(other)), self.steps * self.different, g).view(self.steps, -1)
        kind = torch.arange(self.same + self.different) < self.same
        for a, b in zip(same, different, strict=True):
            yield pair_batch(torch.cat([a, b]), torch.cat([twin[a], other[b]]), kind)

    def _random_partners(self, g: torch.Generator) -> Tensor:
        """Random partners (N,) of other classes: a random order of classes, shifted by the size of the largest."""
        order = self._shuffle_by_class(g)
        partner = torch.empty_like(order)
        partner[order] = order.roll(-int(self.classes.count.max()))
        clash = self.classes.class_of[partner] == self.classes.class_of
        return torch.where(clash, self.classes.draw_others(torch.arange(len(order)), g), partner)

    def _shuffle_by_class(self, g: torch.Generator) -> Tensor:
        """All images (N,), class by class, classes and their images in a random order."""
        place = torch.randperm(len(self.classes), generator=g)[self.classes.class_of]
        return (place + torch.rand(len(place), generator=g, dtype=torch.float64)).argsort()


def _draw_in_rounds(images: Tensor, count: int, g: torch.Generator) -> Tensor:
    """`count` of the images, shuffled; all of them before one comes again."""
    rounds = -(-count // len(images))
    return torch.cat([images[torch.randperm(len(images), generator=g)] for _ in range(rounds)])[:count]
