from collections.abc import Iterator

import torch
from torch import Tensor

from siamese_lab.core.checks import require_at_least
from siamese_lab.core.random import Stream, generator
from siamese_lab.sampling._class_index import ClassIndex, draw_distinct, steps_per_epoch
from siamese_lab.structures.batch import DrawnBatch
from siamese_lab.structures.contracts import Produces
from siamese_lab.structures.tuples import Episode


class Episodes:
    """Each batch is one episode: `shot` support images and `queries` query images of each of `way` classes.

    Each class is drawn equally often. A class with fewer than shot + queries images is never drawn (`siamese-lab check`
    names it).

    Source: Vinyals et al., NeurIPS 2016, section 2.2; Snell et al., NeurIPS 2017, section 3.1 (more ways in training
    than in testing).

    Args:
        labels: (N,) of the training part, given by the data.
        seed: given by the run.
        way: classes in an episode, >= 2.
        shot: support images of each, >= 1.
        queries: query images of each, >= 1; a batch holds way x (shot + queries) images.
        steps: batches an epoch, >= 1; None = as many as hold the training images once.

    Raises:
        ValueError: if a number is out of its range, or the data have fewer classes with enough images.

    Examples:
        >>> import torch
        >>> from siamese_lab.sampling.episodes import Episodes
        >>> labels = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])
        >>> sampling = Episodes(labels=labels, way=2, shot=1, queries=2)
        >>> batch = next(sampling.batches(epoch=0))
        >>> len(batch.ids), len(batch.tuples.support), len(batch.tuples.query)
        (6, 2, 4)
    """

    produces: Produces = "episodes"

    def __init__(
        self, *, labels: Tensor, seed: int = 0, way: int = 20, shot: int = 1, queries: int = 5, steps: int | None = None
    ) -> None:
        self.classes = ClassIndex(labels)
        self.classes.with_two_images()
        require_at_least("way", way, 2, "it is the number of classes in an episode")
        require_at_least("shot", shot, 1, "it is the number of support images of a class")
        require_at_least("queries", queries, 1, "it is the number of query images of a class")
        self.able = (self.classes.count >= shot + queries).nonzero().flatten()  # (C,) classes
        if way > len(self.able):
            raise ValueError(
                f"way must be at most {len(self.able)}, got {way}: so many classes of the training data have "
                f"{shot + queries} images, shot + queries"
            )
        self.way, self.shot, self.each, self.seed = way, shot, shot + queries, seed
        self.steps = steps_per_epoch(len(labels), way * self.each, 1, len(labels), steps)

    def __len__(self) -> int:
        return self.steps

    def batches(self, epoch: int, table: Tensor | None = None) -> Iterator[DrawnBatch]:
        """The batches of an epoch: a function of the seed and the epoch."""
        g = generator(self.seed, Stream.EPISODES_CLASSES, epoch)
        classes = self.able[draw_distinct(len(self.able), self.way, self.steps, g)]  # (steps, way)
        rows = torch.arange(self.way * self.each).view(self.way, self.each)
        for step in range(self.steps):
            g = generator(self.seed, Stream.EPISODES_IMAGES, epoch, step)
            ids = self.classes.draw_images(classes[step], self.each, g)  # (way, shot + queries)
            yield DrawnBatch(ids.flatten(), Episode(rows[:, : self.shot].flatten(), rows[:, self.shot :].flatten()))
