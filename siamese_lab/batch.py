"""What flows through the lab: samples, batches, embeddings, and the tuples that labels imply."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

TRAIN, VAL, TEST, UNUSED = 0, 1, 2, -1
PARTS = {"train": TRAIN, "val": VAL, "test": TEST}


class Pairs(NamedTuple):
    """Pairs of rows: `left` (P,), `right` (P,) int64 indices, `same` (P,) bool."""

    left: Tensor
    right: Tensor
    same: Tensor


class Triplets(NamedTuple):
    """Triplets of rows: `anchor`, `positive`, `negative`, each (T,) int64 indices."""

    anchor: Tensor
    positive: Tensor
    negative: Tensor


class Episodes(NamedTuple):
    """E one-shot problems over sample ids: `support` (E, way, shot), `query` (E, Q), `truth` (E, Q) the right way of each
    query (an index into the support's second axis), `name` (E,) what each problem is called in a report."""

    support: Tensor
    query: Tensor
    truth: Tensor
    name: tuple[str, ...]


class Episode(NamedTuple):
    """One problem of some ways and shots: `support` (S,) and `query` (Q,), int64 indices of rows; a row's label is its way."""

    support: Tensor
    query: Tensor


Tuples = Pairs | Triplets | Episode | None


class Batch(NamedTuple):
    """One global batch: `x` images (B, C, H, W), `ids` (B,) rows of the samples, `labels` (B,), `tuples` over the batch's rows
    or None for all that the labels imply, and where in training it stands (the augmentation is drawn from that).

    Where several processes train together, `x` is this one's share of the images, from row `first` on; all else is of the whole batch."""

    x: Tensor
    ids: Tensor
    labels: Tensor
    tuples: Tuples
    epoch: int
    step: int
    first: int = 0


@dataclass(frozen=True)
class Samples:
    """A decoded data set. Row i is image `row[i]` of the store, turned by `turn[i]` quarter turns.

    Args:
        images: the store, uint8 (M, C, H, W); may be memory-mapped and larger than memory.
        row: (N,) int64, the image of each sample.
        turn: (N,) int64 in 0..3, counter-clockwise quarter turns.
        labels: (N,) int64, an index into `classes`; within a part all of them are used by that part alone, unless `disjoint` is
            "image".
        classes: the identities' names, unique.
        groups: what the identities belong to, e.g. {"alphabet": (codes (N,), names)}.
        split: (N,) int64: TRAIN, VAL, TEST or UNUSED.
        disjoint: "label" if no identity stands in two parts, "image" if only the images differ.
        fingerprint: hash of the decoded content, the labels and the split.
        trials: episodes that the data set's publisher fixed, over rows of these samples.
        files: where each image came from, for messages and the projector; empty where images were drawn.
    """

    images: Tensor
    row: Tensor
    turn: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    groups: Mapping[str, tuple[Tensor, tuple[str, ...]]]
    split: Tensor
    disjoint: str
    fingerprint: str
    trials: Mapping[str, Episodes] = field(default_factory=dict)
    files: tuple[str, ...] = ()

    def ids(self, part: str) -> Tensor:
        """The samples of "train", "val" or "test", ascending."""
        return (self.split == PARTS[part]).nonzero().flatten()

    def gather(self, ids: Tensor) -> Tensor:
        """Images of `ids` (B,), uint8 (B, C, H, W), turned."""
        x = self.images[self.row[ids]]
        turn = self.turn[ids]
        if turn.any():
            for k in (1, 2, 3):
                chosen = turn == k
                if chosen.any():
                    x[chosen] = torch.rot90(x[chosen], k, (2, 3))
        return x


@dataclass
class Embedded:
    """Embeddings of one batch (or of everything) with the distance they are compared by.

    Args:
        z: (R, D); taken to at least float32.
        labels: (R,).
        ids: (R,) sample ids; two rows of one id are the same image and never form a pair. Default: all different.
        anchors: A <= R; rows from A on come from a memory and carry no gradient. Default: all rows.
        distance: an nn.Module with pairwise(a, b) and matrix(a, b).
        where: (epoch, step) of training, for what draws at random.
    """

    z: Tensor
    labels: Tensor
    ids: Tensor | None = None
    anchors: int | None = None
    distance: nn.Module | None = None
    where: tuple[int, int] = (0, 0)
    _matrix: Tensor | None = field(default=None, init=False, repr=False)
    _equal: Tensor | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.distance is None:
            from siamese_lab.distances.euclidean import Euclidean  # the default of a notebook; a run always gives its own

            self.distance = Euclidean()
        if self.z.dtype in (torch.float16, torch.bfloat16):
            self.z = self.z.float()
        if len(self.labels) != len(self.z):
            raise ValueError(f"labels must have one entry per row, got {len(self.labels)} labels for {len(self.z)} rows")
        if self.ids is None:
            self.ids = torch.arange(len(self.z), device=self.z.device)
        if self.anchors is None:
            self.anchors = len(self.z)

    def matrix(self) -> Tensor:
        """Distances (A, R) from each anchor to each row, computed once, with gradient, in at least float32."""
        if self._matrix is None:
            with torch.enable_grad(), torch.autocast(self.z.device.type, enabled=False):
                self._matrix = self._distance().matrix(self.z[: self.anchors], self.z)
        return self._matrix

    def at(self, left: Tensor, right: Tensor) -> Tensor:
        """Distances (P,) of the rows `left`, which are anchors, to the rows `right`.

        Read from the matrix where that is there already, or where so many are asked for that one matrix product costs less than
        gathering both embeddings of each.
        """
        if self._matrix is not None or 4 * len(left) >= len(self.z[: self.anchors]) * len(self.z):
            return self.matrix()[left, right]
        with torch.autocast(self.z.device.type, enabled=False):
            distances: Tensor = self._distance().pairwise(self.z[left], self.z[right])
        return distances

    def positives(self) -> Tensor:
        """Mask (A, R): same label, another image."""
        return self._same() & self._other()

    def negatives(self) -> Tensor:
        """Mask (A, R): another label."""
        return ~self._same()

    def zero(self) -> Tensor:
        """A zero loss that still has a graph, for a batch without a valid tuple: every rank gets its (zero) gradients."""
        return self.z.sum() * 0.0

    def rows(self) -> Tensor:
        """The image (R,) that each row shows."""
        return self.ids if self.ids is not None else torch.arange(len(self.z), device=self.z.device)

    def _same(self) -> Tensor:
        if self._equal is None:
            self._equal = self.labels[: self.anchors, None] == self.labels[None, :]
        return self._equal

    def _other(self) -> Tensor:
        ids = self.rows()
        return ids[: self.anchors, None] != ids[None, :]

    def _distance(self) -> Any:
        return self.distance


def as_pairs(e: Embedded, tuples: Tuples) -> Pairs:
    """Tuples as pairs. None gives all pairs that the labels imply, each once; a triplet gives its two pairs.

    Two rows of one image (the same id) form no pair: their distance says nothing.
    """
    if isinstance(tuples, Pairs):
        return tuples
    if isinstance(tuples, Episode):
        raise ValueError("a loss that eats pairs got an episode: choose a sampling that gives labels or pairs")
    if isinstance(tuples, Triplets):
        yes = torch.ones_like(tuples.anchor, dtype=torch.bool)
        left, right = tuples.anchor.repeat(2), torch.cat([tuples.positive, tuples.negative])
        return Pairs(left, right, torch.cat([yes, ~yes]))
    valid = e.positives() | e.negatives()
    columns, rows = torch.arange(valid.shape[1], device=valid.device), torch.arange(valid.shape[0], device=valid.device)
    left, right = (valid & (columns[None, :] > rows[:, None])).nonzero(as_tuple=True)  # each pair once; memory rows stand right
    return Pairs(left, right, e.labels[left] == e.labels[right])


def pair_distances(e: Embedded, tuples: Tuples) -> tuple[Tensor, Tensor, Tensor]:
    """The distances of `as_pairs(e, tuples)`, without a list of the many pairs that labels imply.

    Returns:
        Distances, whether they are of the same label, and a mask of what is a pair. Given pairs: (P,) each. None: (A, R) each.
    """
    if tuples is not None:
        left, right, same = as_pairs(e, tuples)
        return e.at(left, right), same, torch.ones_like(same)
    positives = e.positives()
    return e.matrix(), positives, (positives | e.negatives()).triu(1)  # each pair once; memory rows stand right


def as_triplets(e: Embedded, tuples: Tuples) -> Triplets:
    """Tuples as triplets. None gives all that the labels imply.

    Raises:
        ValueError: for pairs, of which no triplet can be made.
    """
    if isinstance(tuples, Triplets):
        return tuples
    if isinstance(tuples, Pairs | Episode):
        kind = "pairs" if isinstance(tuples, Pairs) else "an episode"
        raise ValueError(f"a loss that eats triplets got {kind}: choose a sampling or a miner that gives triplets")
    anchor, positive = e.positives().nonzero(as_tuple=True)  # (P,) each
    pair, negative = e.negatives()[anchor].nonzero(as_tuple=True)  # (P, R) -> (T,)
    return Triplets(anchor[pair], positive[pair], negative)


def as_episode(e: Embedded, tuples: Tuples) -> Episode:
    """Tuples as an episode. None makes one of the labels: the first row of each class is its support, the others are queries.

    Queries of an image that is in the support, and of a class that has none, are left out.

    Raises:
        ValueError: for pairs or triplets, of which no episode can be made.
    """
    if isinstance(tuples, Episode):
        return tuples
    if tuples is not None:
        kind = "pairs" if isinstance(tuples, Pairs) else "triplets"
        raise ValueError(f"a loss that eats episodes got {kind}: choose sampling=episodes or one that gives labels")
    labels, ids = e.labels[: e.anchors], e.rows()[: e.anchors]
    order = labels.argsort(stable=True)
    ordered = labels[order]
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[1:] = ordered[1:] != ordered[:-1]
    support, query = order[first], order[~first]
    return Episode(support, query[~torch.isin(ids[query], ids[support])])
