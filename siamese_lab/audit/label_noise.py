"""Audits the labels of a training part: images by how likely their label is wrong, and likely duplicates."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from siamese_lab.core.text import printable
from siamese_lab.distances.euclidean import Euclidean
from siamese_lab.metrics.neighbours import ROWS, nearest_others
from siamese_lab.structures.contracts import Distance
from siamese_lab.structures.samples import Samples

SEARCHED = 20_000  # most suspicious images whose neighbours are searched: for all of a million it would take hours
VOTES = 5  # nearest images of other classes that vote for the class an image resembles
CLASSES = 4096  # centroids at most that an image is compared with
NEAR = 0.1  # share of the median distance to the nearest image, below which a pair is likely a duplicate
PAIRS = 1000  # likely duplicates listed at most


class DuplicatePairs(NamedTuple):
    """P pairs of images, nearest first, each column (P,).

    - left, right: places of the images in the training part.
    - distance: of their embeddings, as a share of the median distance of an image to its nearest.
    - grey: mean difference of their pixels in grey levels.
    """

    left: Tensor
    right: Tensor
    distance: Tensor
    grey: Tensor


@dataclass(frozen=True)
class LabelAudit:
    """The audit of the N images of a training part. A place is a position in it.

    Args:
        samples: the data set.
        ids: (N,) the samples.
        labels: (N,) used in training, 0..C-1.
        names: names of the C classes.
        negatives_nearer: (N,) mean share of the negatives that were nearer than the nearest positive in training, in
            [0, 1]; -1 = unknown.
        classes_nearer: (N,) share of the other classes whose centroid is nearer at the end than that of the image's own
            class, in [0, 1]; -1 = unknown.
        suspicion: (N,) mean of those of the two that are known; -1 = neither is.
        order: (N,) places, the most suspicious first.
        nearest: (Q,) place of the nearest image of another class, of the first Q of `order`.
        distance: (Q,) to that image.
        resembles: (Q,) class of most of the nearest images of other classes.
        typical: (C,) place of the image nearest to the centroid of its class.
        duplicates: likely ones.
    """

    samples: Samples
    ids: Tensor
    labels: Tensor
    names: tuple[str, ...]
    negatives_nearer: Tensor
    classes_nearer: Tensor
    suspicion: Tensor
    order: Tensor
    nearest: Tensor
    distance: Tensor
    resembles: Tensor
    typical: Tensor
    duplicates: DuplicatePairs

    def file_and_class(self, place: int) -> tuple[str, str]:
        """An image's file, else its number in the data, with "@90" if it was turned by 90 degrees; and its class."""
        sample = int(self.ids[place])
        turn = int(self.samples.turn[sample])
        file = self.samples.files[int(self.samples.row[sample])] if self.samples.files else str(sample)
        return printable(file) + (f"@{90 * turn}" if turn else ""), self.names[int(self.labels[place])]


@torch.no_grad()
def audit_labels(
    z: Tensor, samples: Samples, ids: Tensor, labels: Tensor, distance: Distance, negatives_nearer: Tensor
) -> LabelAudit:
    """Sorts the images by suspicion, and finds the images and classes that they are confused with.

    Needs the memory of z and of `nearest_others`. Of more than 20,000 images only the most suspicious are searched.

    Args:
        z: (N, D) embeddings, on any device.
        samples: the data set.
        ids: (N,) the samples of the training part.
        labels: (N,) used in training, 0..C-1.
        distance: the run's.
        negatives_nearer: (N,), see `LabelAudit`.
    """
    classes_nearer = nearer_classes(z, labels.to(z.device), distance).cpu()
    both = torch.stack([negatives_nearer, classes_nearer])
    suspicion = torch.where((both >= 0).any(0), both.clamp(min=0).sum(0) / (both >= 0).sum(0).clamp(min=1), -1.0)
    order = suspicion.argsort(descending=True, stable=True)
    queries, codes = order[:SEARCHED], labels.to(z.device)
    votes = min(VOTES, len(labels) - int(labels.bincount().max()))
    others = nearest_others(z, codes, distance, votes, queries.to(z.device))  # (Q, votes)
    voted = labels[others]
    # a tie goes to the class of the nearest image
    agree = (voted[:, :, None] == voted[:, None, :]).sum(2) * votes - torch.arange(votes)
    return LabelAudit(
        samples=samples,
        ids=ids,
        labels=labels,
        names=tuple(printable(samples.classes[label]) for label in samples.labels[ids].unique().tolist()),
        negatives_nearer=negatives_nearer,
        classes_nearer=classes_nearer,
        suspicion=suspicion,
        order=order,
        nearest=others[:, 0],
        distance=distance.pairwise(z[queries], z[others[:, 0]]).cpu(),
        resembles=voted.gather(1, agree.argmax(1, keepdim=True)).flatten(),
        typical=centroids(z, codes).cpu(),
        duplicates=duplicate_pairs(z, samples, ids, queries),
    )


def nearer_classes(z: Tensor, labels: Tensor, distance: Distance) -> Tensor:
    """Share (N,) of the other classes whose centroid is nearer to an image than that of its own class.

    The centroid of its own class is taken without the image itself; -1 for the only image of a class. Of more than
    4,096 classes, 4,096 evenly spaced ones are compared.

    Args:
        z: (N, D).
        labels: (N,), 0..C-1, none of them without an image.
        distance: the run's.
    """
    count = labels.bincount()  # (C,)
    total = z.new_zeros(len(count), z.shape[1]).index_add_(0, labels, z)
    some = (
        torch.linspace(0, len(count) - 1, min(CLASSES, len(count)), dtype=torch.float64, device=z.device).round().long()
    )
    means, shares = total[some] / count[some, None], []
    for rows, own in zip(z.split(ROWS), labels.split(ROWS), strict=True):
        rest = (total[own] - rows) / (count[own, None] - 1).clamp(min=1)
        others = some != own[:, None]
        nearer = (distance.matrix(rows, means) < distance.pairwise(rows, rest)[:, None]) & others
        shares.append((nearer.sum(1) / others.sum(1).clamp(min=1)).masked_fill(count[own] == 1, -1.0))
    return torch.cat(shares).double()


def centroids(z: Tensor, labels: Tensor) -> Tensor:
    """The row (C,) of z (N, D) nearest to the mean of each label 0..C-1 of labels (N,), none without a row."""
    classes = int(labels.max()) + 1
    mean = z.new_zeros(classes, z.shape[1]).index_add_(0, labels, z) / labels.bincount(minlength=classes)[:, None]
    apart = (z - mean[labels]).square().sum(1)
    order = apart.argsort(stable=True)
    order = order[labels[order].argsort(stable=True)]  # class by class, the nearest first
    count = labels.bincount(minlength=classes)
    return order[count.cumsum(0) - count]


def duplicate_pairs(z: Tensor, samples: Samples, ids: Tensor, queries: Tensor) -> DuplicatePairs:
    """Pairs of an image and its nearest one whose embeddings are nearly equal in Euclidean distance.

    Args:
        z: (N, D).
        samples: the data set.
        ids: (N,) the samples; two turned copies of one image are no pair.
        queries: (Q,) rows of z.
    """
    stores = samples.row[ids]
    if len(stores) == int(stores.bincount().max()):
        empty = torch.zeros(0, dtype=torch.int64)
        return DuplicatePairs(empty, empty, torch.zeros(0), torch.zeros(0))
    nearest = nearest_others(z, stores.to(z.device), Euclidean(), 1, queries.to(z.device)).flatten()
    apart = (z[queries] - z[nearest]).norm(dim=1).cpu()
    usual = apart.median()
    # (P, 2)
    pairs = torch.stack([torch.minimum(queries, nearest), torch.maximum(queries, nearest)], 1)[apart <= NEAR * usual]
    pairs = pairs.unique(dim=0)
    share = (z[pairs[:, 0]] - z[pairs[:, 1]]).norm(dim=1).cpu() / usual.clamp(min=torch.finfo(usual.dtype).tiny)
    first = share.argsort(stable=True)[:PAIRS]
    left, right = pairs[first].unbind(1)
    grey = [
        (samples.gather(ids[a]).float() - samples.gather(ids[b]).float()).abs().flatten(1).mean(1)
        for a, b in zip(left.split(100), right.split(100), strict=True)
    ]
    return DuplicatePairs(left, right, share[first], torch.cat(grey) if len(left) else share[:0])
