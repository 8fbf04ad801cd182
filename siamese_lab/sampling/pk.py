from collections.abc import Iterator

from torch import Tensor

from siamese_lab.core.random import Stream, generator
from siamese_lab.sampling._class_index import ClassIndex, check_per_class, draw_distinct, steps_per_epoch
from siamese_lab.structures.batch import DrawnBatch
from siamese_lab.structures.contracts import Produces


class PK:
    """P classes with K images each, P = batch_size / K; the labels imply the tuples.

    Each class is drawn equally often: an epoch runs through shuffled lists of all classes. A class of fewer than K
    images repeats them (two rows of one image form no pair).

    Source: Hermans, Beyer, Leibe, 2017, section 2.

    Args:
        labels: (N,) of the training part, given by the data.
        seed: given by the run.
        batch_size: images in a batch; a multiple of per_class.
        per_class: K, >= 2.
        steps: batches an epoch, >= 1; None = as many as hold the training images once.

    Raises:
        ValueError: if batch_size is no multiple of per_class, or the data have fewer images or classes than a batch
            needs, or no class has two images.

    Examples:
        >>> import torch
        >>> from siamese_lab.sampling.pk import PK
        >>> labels = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])
        >>> sampling = PK(labels=labels, batch_size=4, per_class=2)
        >>> batch = next(sampling.batches(epoch=0))  # two classes, two images of each
        >>> len(sampling), labels[batch.ids].unique(return_counts=True)[1].tolist(), batch.tuples
        (2, [2, 2], None)
    """

    produces: Produces = "labels"

    def __init__(
        self, *, labels: Tensor, seed: int = 0, batch_size: int = 256, per_class: int = 4, steps: int | None = None
    ) -> None:
        check_per_class(per_class, len(labels))
        self.classes = ClassIndex(labels)
        self.classes.with_two_images()
        most = min(len(self.classes), len(labels) // per_class) * per_class
        self.steps = steps_per_epoch(len(labels), batch_size, per_class, most, steps)
        self.per_batch, self.per_class, self.seed = batch_size // per_class, per_class, seed

    def __len__(self) -> int:
        return self.steps

    def batches(self, epoch: int, table: Tensor | None = None) -> Iterator[DrawnBatch]:
        """The batches of an epoch: a function of the seed and the epoch."""
        g = generator(self.seed, Stream.PK_CLASSES, epoch)
        classes = draw_distinct(len(self.classes), self.per_batch, self.steps, g)  # (steps, P)
        for step in range(self.steps):
            g = generator(self.seed, Stream.PK_IMAGES, epoch, step)
            yield DrawnBatch(self.classes.draw_images(classes[step], self.per_class, g).flatten(), None)
