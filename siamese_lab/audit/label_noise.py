"""What the mining ledger's notes come to: images by how likely their label is wrong, and likely duplicates."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from siamese_lab.core.files import write_text
from siamese_lab.core.text import printable
from siamese_lab.distances.euclidean import Euclidean
from siamese_lab.metrics.neighbours import ROWS, nearest_others
from siamese_lab.structures.contracts import Distance
from siamese_lab.structures.samples import Samples

SEARCHED = (
    20_000  # the most suspicious images, whose neighbours are looked for: of all of a million it would take hours
)
VOTES = 5  # nearest images of other classes that say which one an image resembles
CLASSES = 4096  # at most, whose middles an image is compared with
NEAR = 0.1  # of the usual distance of an image to its nearest; what lies nearer is likely a duplicate
PAIRS = 1000  # duplicates that are listed
FORMULA = tuple("=+-@＝＋－＠")  # how a cell begins that a spreadsheet would compute
HEADS = (
    *("rank", "image", "class", "drawn", "hard_positive", "hard_negative"),
    *("suspicion_percent", "strangers_nearer_percent", "classes_nearer_percent"),
    *("resembles", "nearest_image", "nearest_class", "nearest_distance"),
)
PAIR_HEADS = (
    "rank",
    "image",
    "class",
    "other_image",
    "other_class",
    "same_class",
    "distance_percent",
    "grey_levels_apart",
)


class DuplicatePairs(NamedTuple):
    """P pairs of images, nearest first: places `left` (P,) and `right` (P,), `distance` (P,) of their embeddings as a
    share of the usual one to the nearest image, `grey` (P,) the mean difference of their pixels in grey levels."""

    left: Tensor
    right: Tensor
    distance: Tensor
    grey: Tensor


@dataclass(frozen=True)
class Lists:
    """The N images of the training part; a place is a position in it.

    Args:
        samples: the data set.
        ids: (N,) the samples.
        labels: (N,) that were trained on, 0..C-1.
        names: (C,) the classes.
        strangers: (N,) mean share of the strangers that were nearer than the nearest mate in training, in [0, 1]; -1 =
            nothing is known.
        middles: (N,) share of the other classes whose middle is nearer at the end than that of the image's own, in [0,
            1]; -1 = unknown.
        suspicion: (N,) the mean of these two, of what is known of them; -1 = nothing is.
        order: (N,) places, the most suspicious first.
        nearest: (Q,) place of the nearest image of another class, of the first Q of `order`.
        distance: (Q,) to that.
        resembles: (Q,) the class that most of the nearest images of other classes have.
        typical: (C,) place of the image that lies nearest to the middle of its class.
        twins: likely duplicates.
    """

    samples: Samples
    ids: Tensor
    labels: Tensor
    names: tuple[str, ...]
    strangers: Tensor
    middles: Tensor
    suspicion: Tensor
    order: Tensor
    nearest: Tensor
    distance: Tensor
    resembles: Tensor
    typical: Tensor
    twins: DuplicatePairs

    def file_and_class(self, place: int) -> tuple[str, str]:
        """An image's file (else its number in the data set), with the degrees by which it was turned; and its class."""
        sample = int(self.ids[place])
        turn = int(self.samples.turn[sample])
        file = self.samples.files[int(self.samples.row[sample])] if self.samples.files else str(sample)
        return printable(file) + (f"@{90 * turn}" if turn else ""), self.names[int(self.labels[place])]


@torch.no_grad()
def build_lists(
    z: Tensor, samples: Samples, ids: Tensor, labels: Tensor, distance: Distance, strangers: Tensor
) -> Lists:
    """Sorts the images, and looks up what they are confused with.

    Beside z it takes what `nearest_others` takes; of more than 20,000 images the most suspicious are looked up.

    Args:
        z: (N, D), on any device.
        samples: the data set.
        ids: (N,) the samples of the training part.
        labels: (N,) that were trained on, 0..C-1.
        distance: the run's.
        strangers: (N,), see `Lists`.
    """
    middles = nearer_classes(z, labels.to(z.device), distance).cpu()
    both = torch.stack([strangers, middles])
    suspicion = torch.where((both >= 0).any(0), both.clamp(min=0).sum(0) / (both >= 0).sum(0).clamp(min=1), -1.0)
    order = suspicion.argsort(descending=True, stable=True)
    queries, codes = order[:SEARCHED], labels.to(z.device)
    votes = min(VOTES, len(labels) - int(labels.bincount().max()))
    others = nearest_others(z, codes, distance, votes, queries.to(z.device))  # (Q, votes)
    voted = labels[others]
    # of those that agree the nearest counts
    agree = (voted[:, :, None] == voted[:, None, :]).sum(2) * votes - torch.arange(votes)
    return Lists(
        samples=samples,
        ids=ids,
        labels=labels,
        names=tuple(printable(samples.classes[label]) for label in samples.labels[ids].unique().tolist()),
        strangers=strangers,
        middles=middles,
        suspicion=suspicion,
        order=order,
        nearest=others[:, 0],
        distance=distance.pairwise(z[queries], z[others[:, 0]]).cpu(),
        resembles=voted.gather(1, agree.argmax(1, keepdim=True)).flatten(),
        typical=centroids(z, codes).cpu(),
        twins=duplicate_pairs(z, samples, ids, queries),
    )


def nearer_classes(z: Tensor, labels: Tensor, distance: Distance) -> Tensor:
    """Share (N,) of the other classes whose mean is nearer than the mean of the others of an image's own class; -1
    where it has none.

    Of more than 4,096 classes as many are compared, evenly spaced.

    Args:
        z: (N, D).
        labels: (N,), 0..C-1; all are used.
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
    """The row (C,) of z (N, D) that is nearest to the mean of its label (N,), 0..C-1; all are used."""
    classes = int(labels.max()) + 1
    mean = z.new_zeros(classes, z.shape[1]).index_add_(0, labels, z) / labels.bincount(minlength=classes)[:, None]
    apart = (z - mean[labels]).square().sum(1)
    order = apart.argsort(stable=True)
    order = order[labels[order].argsort(stable=True)]  # class by class, the nearest first
    count = labels.bincount(minlength=classes)
    return order[count.cumsum(0) - count]


def duplicate_pairs(z: Tensor, samples: Samples, ids: Tensor, queries: Tensor) -> DuplicatePairs:
    """Pairs of an image and its nearest whose embeddings are nearly equal, whatever the run's distance says.

    Args:
        z: (N, D).
        samples: the data set.
        ids: (N,) the samples; those that show one image, turned, are no pair.
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


def write_lists(path: Path, lists: Lists, notes: Any) -> None:
    """Writes `ledger.csv` and `ledger_duplicates.csv`.

    Args:
        path: the run folder.
        lists: what to write.
        notes: with drawn, hard_positive and hard_negative (N,).
    """
    order = lists.order.tolist()
    shares = (100 * torch.stack([lists.suspicion, lists.strangers, lists.middles], 1)[lists.order]).tolist()
    counts = torch.stack([notes.drawn, notes.hard_positive, notes.hard_negative], 1)[lists.order].tolist()
    found: list[tuple[object, ...]] = [
        (lists.names[like], *lists.file_and_class(near), float(f"{distance:.4g}"))
        for like, near, distance in zip(
            lists.resembles.tolist(), lists.nearest.tolist(), lists.distance.tolist(), strict=True
        )
    ]
    found += [("", "", "", "")] * (len(order) - len(found))
    rows = (
        (rank, *lists.file_and_class(place), *count, *(round(share, 2) if share >= 0 else "" for share in some), *near)
        for rank, (place, count, some, near) in enumerate(zip(order, counts, shares, found, strict=True), 1)
    )
    write_text(path / "ledger.csv", csv_text(HEADS, rows))
    pairs = enumerate(zip(*(column.tolist() for column in lists.twins), strict=True), 1)
    alike = (lists.labels[lists.twins.left] == lists.labels[lists.twins.right]).tolist()
    lines = (
        (
            rank,
            *lists.file_and_class(a),
            *lists.file_and_class(b),
            "yes" if alike[rank - 1] else "no",
            round(100 * distance, 2),
            round(grey, 2),
        )
        for rank, (a, b, distance, grey) in pairs
    )
    write_text(path / "ledger_duplicates.csv", csv_text(PAIR_HEADS, lines))


def csv_text(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Rows as csv. What a spreadsheet would take for a formula gets an apostrophe before it, a number does not."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows(
        [f"'{cell}" if isinstance(cell, str) and cell.lstrip().startswith(FORMULA) else cell for cell in row]
        for row in rows
    )
    return text.getvalue()
