from collections.abc import Iterator

import torch
from torch import Tensor

from siamese_lab.core.checks import require_within
from siamese_lab.core.random import Stream, generator
from siamese_lab.sampling._class_index import ClassIndex, check_per_class, steps_per_epoch
from siamese_lab.structures.batch import DrawnBatch
from siamese_lab.structures.contracts import Produces


class Balanced:
    """P classes with K images each, P = batch_size / K; a class of n images is drawn in proportion to n^alpha.

    alpha = 0 draws all classes equally often, as `pk` does: the images of a small class then come again and again.
    alpha = 1 draws them in proportion to their images: small classes are rare. Within an epoch all images of a class
    come in random order before one comes again (so a batch may hold an image twice; two rows of one image form no
    pair). No class comes twice in a batch, so large classes are drawn somewhat less often than n^alpha.

    Source: Kang et al., ICLR 2020, eq. 1 (alpha is their q; 1/2 is their square-root sampling).

    Args:
        labels: (N,) of the training part, given by the data.
        seed: given by the run.
        batch_size: images in a batch; a multiple of per_class.
        per_class: K, >= 2.
        alpha: in [0, 1].
        steps: batches an epoch, >= 1; None = as many as hold the training images once.

    Raises:
        ValueError: if a number is out of its range, or the data have fewer images or classes than a batch needs, or no
            class has two images.

    Examples:
        >>> import torch
        >>> from siamese_lab.sampling.balanced import Balanced
        >>> labels = torch.tensor([0] * 9 + [1, 1, 1] + [2, 2, 2])
        >>> sampling = Balanced(labels=labels, batch_size=4, per_class=2, alpha=0.5)
        >>> batch = next(sampling.batches(epoch=0))  # two classes, two images of each
        >>> len(sampling), labels[batch.ids].unique(return_counts=True)[1].tolist(), batch.tuples
        (3, [2, 2], None)
    """

    produces: Produces = "labels"

    def __init__(
        self,
        *,
        labels: Tensor,
        seed: int = 0,
        batch_size: int = 256,
        per_class: int = 4,
        alpha: float = 0.5,
        steps: int | None = None,
    ) -> None:
        check_per_class(per_class, len(labels))
        require_within("alpha", alpha, "[0, 1]", "0 draws classes equally often, 1 in proportion to their images")
        self.classes = ClassIndex(labels)
        self.classes.with_two_images()
        most = min(len(self.classes), len(labels) // per_class) * per_class
        self.steps = steps_per_epoch(len(labels), batch_size, per_class, most, steps)
        self.weight = self.classes.count.double() ** alpha  # (C,)
        self.per_batch, self.per_class, self.seed = batch_size // per_class, per_class, seed

    def __len__(self) -> int:
        return self.steps

    def batches(self, epoch: int, table: Tensor | None = None) -> Iterator[DrawnBatch]:
        """The batches of an epoch: a function of the seed and the epoch."""
        streams = (generator(self.seed, Stream.BALANCED_CLASSES, epoch, step) for step in range(self.steps))
        drawn = [torch.multinomial(self.weight, self.per_batch, generator=g) for g in streams]
        ids = self._deal(torch.cat(drawn), generator(self.seed, Stream.BALANCED_IMAGES, epoch))  # (steps x P, K)
        for batch in ids.view(self.steps, -1):
            yield DrawnBatch(batch, None)

    def _deal(self, classes: Tensor, g: torch.Generator) -> Tensor:
        """K images (M, K) for each of `classes` (M,), dealt from shuffled lists of every class's images."""
        count, k = self.classes.count, self.per_class
        times = classes.bincount(minlength=len(count))  # (C,)
        lists = -(-times * k // count)  # (C,) shuffles of all images that a class needs
        length = lists * count
        start = length.cumsum(0) - length
        owner = torch.arange(len(count)).repeat_interleave(length)  # (L,) all lists, one after the other
        place = torch.arange(len(owner)) - start[owner]
        number = (lists.cumsum(0) - lists)[owner] + place // count[owner]  # of the list; shuffled within it
        shuffled = (number + torch.rand(len(owner), generator=g, dtype=torch.float64)).argsort()
        images = self.classes.order[(self.classes.first[owner] + place % count[owner])[shuffled]]
        order = classes.argsort(stable=True)
        turn = torch.empty_like(classes)  # how often the class has come before
        turn[order] = torch.arange(len(classes)) - (times.cumsum(0) - times)[classes[order]]
        return images[(start[classes] + turn * k)[:, None] + torch.arange(k)]
