from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from siamese_lab.core.random import Stream, generator
from siamese_lab.sampling._class_index import ClassIndex, check_per_class, draw_distinct, steps_per_epoch
from siamese_lab.structures.batch import DrawnBatch
from siamese_lab.structures.contracts import Produces


class Hierarchical:
    """Each batch comes from one group, such as an alphabet, whose classes are harder to tell apart than others.

    P classes with K images each, P = batch_size / K, as in `pk`; a group with fewer classes gives all of them with more
    images each. Groups are drawn in proportion to their classes, so each class is drawn equally often. A group with a
    single class, or without two images of one class, is never drawn (`siamese-lab check` names its classes). A class
    in several groups counts as several classes.

    Args:
        labels: (N,) of the training part, given by the data.
        groups: {name: (codes (N,), names)}, given by the data.
        seed: given by the run.
        batch_size: images in a batch; a multiple of per_class.
        per_class: K, >= 2.
        within: the kind of group, e.g. alphabet; None = the first that the data have.
        steps: batches an epoch, >= 1; None = as many as hold the training images once.

    Raises:
        ValueError: if the data have no such groups or none that could fill a batch, or a number is out of its range.

    Examples:
        >>> import torch
        >>> from siamese_lab.sampling.hierarchical import Hierarchical
        >>> labels = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
        >>> alphabets = (torch.tensor([0, 0, 0, 0, 1, 1, 1, 1]), ("Latin", "Greek"))
        >>> sampling = Hierarchical(labels=labels, groups={"alphabet": alphabets}, batch_size=4, per_class=2)
        >>> batch = next(sampling.batches(epoch=0))
        >>> len(batch.ids), len(alphabets[0][batch.ids].unique())  # images, alphabets
        (4, 1)
    """

    produces: Produces = "labels"

    def __init__(
        self,
        *,
        labels: Tensor,
        groups: Mapping[str, tuple[Tensor, tuple[str, ...]]],
        seed: int = 0,
        batch_size: int = 64,
        per_class: int = 4,
        within: str | None = None,
        steps: int | None = None,
    ) -> None:
        if not groups:
            raise ValueError("these data have no groups of classes that a batch could come from: choose sampling=pk")
        if within is not None and within not in groups:
            raise ValueError(
                f"within must be one of {', '.join(groups)} or null, got {within}: these data have no such groups"
            )
        check_per_class(per_class, len(labels))
        ClassIndex(labels).with_two_images()
        kind = next(iter(groups)) if within is None else within
        codes = groups[kind][0]
        self.classes = ClassIndex(codes * (labels.max() + 1) + labels)  # group by group
        _, group = torch.unique(codes[self.classes.order[self.classes.first]], return_inverse=True)  # (C,)
        size = group.bincount()  # (G,) classes
        self.start = size.cumsum(0) - size
        pairs = torch.zeros_like(size).index_add(0, group, (self.classes.count > 1).long())
        images = torch.zeros_like(size).index_add(0, group, self.classes.count)
        self.size = size.where((size > 1) & (pairs > 0), 0)  # 0: never drawn
        if not self.size.any():
            raise ValueError(f"no {kind} holds two classes, one of them with two images: choose sampling=pk")
        most = int(images[self.size > 0].max()) // per_class * per_class
        self.steps = steps_per_epoch(len(labels), batch_size, per_class, most, steps)
        self.batch_size, self.most, self.seed = batch_size, batch_size // per_class, seed

    def __len__(self) -> int:
        return self.steps

    def batches(self, epoch: int, table: Tensor | None = None) -> Iterator[DrawnBatch]:
        """The batches of an epoch: a function of the seed and the epoch."""
        groups = self._draw_groups(epoch)  # (steps,)
        times = {group: int((groups == group).sum()) for group in torch.unique(groups).tolist()}
        lists = {group: iter(self._draw_classes(epoch, group, count)) for group, count in times.items()}
        for step, group in enumerate(groups.tolist()):
            classes = next(lists[group])  # (P,)
            each = -(-self.batch_size // len(classes))
            g = generator(self.seed, Stream.HIERARCHICAL_IMAGES, epoch, step)
            ids = self.classes.draw_images(classes, each, g)  # (P, K)
            yield DrawnBatch(ids.T.flatten()[: self.batch_size], None)

    def _draw_groups(self, epoch: int) -> Tensor:
        """Groups (steps,) in proportion to their classes, exact to less than one draw."""
        g = generator(self.seed, Stream.HIERARCHICAL_GROUPS, epoch)
        shift = torch.rand(1, generator=g, dtype=torch.float64)
        places = (torch.arange(self.steps, dtype=torch.float64) + shift) / self.steps
        drawn = torch.searchsorted(self.size.cumsum(0), places * int(self.size.sum()), right=True)
        return drawn[torch.randperm(self.steps, generator=g)]

    def _draw_classes(self, epoch: int, group: int, times: int) -> Tensor:
        """(times, P) classes of a group."""
        size = int(self.size[group])
        g = generator(self.seed, Stream.HIERARCHICAL_CLASSES, epoch, group)
        return int(self.start[group]) + draw_distinct(size, min(size, self.most), times, g)
