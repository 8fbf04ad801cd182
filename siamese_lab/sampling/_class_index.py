"""The images of each class, and draws from them without a loop."""

import torch
from torch import Tensor

from siamese_lab.core.checks import require_within


class ClassIndex:
    """The images of each class, as one array sorted by class.

    Args:
        labels: (N,) int64, any values.
    """

    def __init__(self, labels: Tensor) -> None:
        self.order = labels.argsort(stable=True)  # (N,) positions, class by class
        _, self.class_of, self.count = torch.unique(labels, return_inverse=True, return_counts=True)  # (N,), (C,)
        self.first = self.count.cumsum(0) - self.count

    def __len__(self) -> int:
        return len(self.count)

    def draw_images(self, classes: Tensor, k: int, g: torch.Generator) -> Tensor:
        """k images (P, k) of each of `classes` (P,): all different where the class has k, else repeated in turn."""
        count = self.count[classes]
        keys = torch.rand(len(classes), int(count.max()), generator=g)
        keys[torch.arange(keys.shape[1]) >= count[:, None]] = 2.0  # places that the class does not have come last
        shuffled = keys.topk(min(k, keys.shape[1]), largest=False).indices  # sorted: the first places of a random order
        turn = torch.arange(k)[None, :] % count[:, None]  # (P, k)
        return self.order[self.first[classes][:, None] + shuffled.gather(1, turn)]

    def draw_pairs(self, classes: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor]:
        """Two different images (P,), (P,) of each of `classes` (P,); the same one twice where a class has one only."""
        count = self.count[classes]
        a = (torch.rand(len(classes), generator=g) * count).long()
        b = (a + 1 + (torch.rand(len(classes), generator=g) * (count - 1)).long()) % count
        return self.order[self.first[classes] + a], self.order[self.first[classes] + b]

    def draw_partners(self, g: torch.Generator) -> Tensor:
        """For each image another one of its class (N,), drawn equally; itself where it is alone."""
        count = self.count[self.class_of[self.order]]  # (N,) in the order of the classes
        first = self.first[self.class_of[self.order]]
        step = 1 + (torch.rand(len(count), generator=g) * (count - 1)).long()
        found = torch.empty_like(self.order)
        found[self.order] = self.order[first + (torch.arange(len(count)) - first + step) % count]
        return found

    def draw_cycle(self, g: torch.Generator) -> Tensor:
        """For each image the next one (N,) in a random cycle of its class; itself only where it is alone."""
        jitter = torch.rand(len(self.class_of), generator=g, dtype=torch.float64)
        shuffled = (self.class_of + jitter).argsort()  # class by class
        count, first = self.count[self.class_of[shuffled]], self.first[self.class_of[shuffled]]
        found = torch.empty_like(shuffled)
        found[shuffled] = shuffled[first + (torch.arange(len(count)) - first + 1) % count]
        return found

    def draw_others(self, images: Tensor, g: torch.Generator) -> Tensor:
        """An image of another class for each of `images` (P,): first the class is drawn, then the image."""
        shift = 1 + (torch.rand(len(images), generator=g) * (len(self) - 1)).long()
        classes = (self.class_of[images] + shift) % len(self)
        return self.order[self.first[classes] + (torch.rand(len(images), generator=g) * self.count[classes]).long()]

    def with_two_images(self) -> Tensor:
        """The classes that have at least two images.

        Raises:
            ValueError: if there is none, or only one class at all.
        """
        chosen: Tensor = (self.count > 1).nonzero().flatten()
        if len(self) < 2 or len(chosen) == 0:
            raise ValueError(
                f"training needs at least two classes and a class of two images, the training data have {len(self)} "
                f"classes, {len(chosen)} of them with two images or more"
            )
        return chosen


def draw_distinct(n: int, k: int, rows: int, g: torch.Generator) -> Tensor:
    """(rows, k) numbers below n, different within a row; every n // k rows come from one shuffled list of all n."""
    lists = -(-rows // (n // k))
    shuffled = torch.rand(lists, n, generator=g).argsort(1)[:, : n // k * k]
    return shuffled.reshape(-1, k)[:rows]


def steps_per_epoch(images: int, batch_size: int, unit: int, most: int, steps: int | None) -> int:
    """`steps`, or where it is None as many batches as hold the training images once, at least one.

    Args:
        images: of the training part.
        batch_size: images in a batch.
        unit: images that belong together: K of a class, 2 of a pair, 3 of a triplet.
        most: images that the training data can fill a batch with; at least one unit.
        steps: batches an epoch, or None.

    Raises:
        ValueError: if batch_size is not a positive multiple of unit up to most, or steps is not positive.
    """
    if not 0 < batch_size <= most or batch_size % unit:
        near = min(max(1, round(batch_size / unit)), most // unit) * unit
        raise ValueError(
            f"batch_size must be a positive multiple of {unit} images, at most {most} with these training data, got "
            f"{batch_size}: {near} would do"
        )
    if steps is not None and not steps > 0:
        raise ValueError(f"steps must be > 0 or null, got {steps}: it is the number of batches an epoch")
    return steps or max(1, images // batch_size)


def check_per_class(per_class: int, images: int) -> None:
    """Raises a ValueError unless per_class, K images of a class, lies in [2, images]."""
    require_within("per_class", per_class, f"[2, {images}]", "a class needs two images to form a positive pair")
