"""Pairs, triplets and episodes of the rows of a batch, and those that its labels imply."""

from typing import NamedTuple

import torch
from torch import Tensor

from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.shapes import check_integers, described


class _PairRows(NamedTuple):
    left: Tensor
    right: Tensor
    same: Tensor


class Pairs(_PairRows):
    """Pairs of rows: `left` (P,), `right` (P,) int64 indices, `same` (P,) bool.

    Raises:
        ValueError: if one of them is of another shape or type.

    Examples:
        >>> import torch
        >>> from siamese_lab.structures.tuples import Pairs
        >>> pairs = Pairs(torch.tensor([0, 0]), torch.tensor([1, 2]), torch.tensor([True, False]))
        >>> len(pairs.left), int(pairs.same.sum())  # pairs, of them with one label
        (2, 1)
    """

    __slots__ = ()

    def __new__(cls, left: Tensor, right: Tensor, same: Tensor) -> "Pairs":
        """Checks shapes and types."""
        check_integers("left", left)
        check_integers("right", right, len(left), "one for each of left")
        if same.shape != left.shape or same.dtype != torch.bool:
            raise ValueError(f"same must be {len(left)} booleans, one for each of left, got {described(same)}")
        return super().__new__(cls, left, right, same)


class _TripletRows(NamedTuple):
    anchor: Tensor
    positive: Tensor
    negative: Tensor


class Triplets(_TripletRows):
    """Triplets of rows: `anchor`, `positive`, `negative`, each (T,) int64 indices.

    Raises:
        ValueError: if one of them is of another shape or type.

    Examples:
        >>> import torch
        >>> from siamese_lab.structures.tuples import Triplets
        >>> triplets = Triplets(torch.tensor([0]), torch.tensor([1]), torch.tensor([2]))
        >>> [part.item() for part in triplets]
        [0, 1, 2]
    """

    __slots__ = ()

    def __new__(cls, anchor: Tensor, positive: Tensor, negative: Tensor) -> "Triplets":
        """Checks shapes and types."""
        check_integers("anchor", anchor)
        check_integers("positive", positive, len(anchor), "one for each of anchor")
        check_integers("negative", negative, len(anchor), "one for each of anchor")
        return super().__new__(cls, anchor, positive, negative)


class _EpisodeRows(NamedTuple):
    support: Tensor
    query: Tensor


class Episode(_EpisodeRows):
    """A few-shot problem: `support` (S,) and `query` (Q,), int64 indices of rows; a row's label is its way.

    Raises:
        ValueError: if one of them is of another shape or type.
    """

    __slots__ = ()

    def __new__(cls, support: Tensor, query: Tensor) -> "Episode":
        """Checks shapes and types."""
        check_integers("support", support)
        check_integers("query", query)
        return super().__new__(cls, support, query)


Tuples = Pairs | Triplets | Episode | None


def as_pairs(e: Embedded, tuples: Tuples) -> Pairs:
    """Tuples as pairs. None gives all pairs that the labels imply, each once; a triplet gives its two pairs.

    Two rows of one image (the same id) form no pair: their distance says nothing.

    Examples:
        >>> import torch
        >>> from siamese_lab.structures.embedded import Embedded
        >>> from siamese_lab.structures.tuples import as_pairs
        >>> e = Embedded(torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([0, 0, 1]))
        >>> [part.tolist() for part in as_pairs(e, None)]
        [[0, 0, 1], [1, 2, 2], [True, False, False]]
    """
    if isinstance(tuples, Pairs):
        return tuples
    if isinstance(tuples, Episode):
        raise ValueError("a loss that consumes pairs got an episode: choose a sampling that produces labels or pairs")
    if isinstance(tuples, Triplets):
        yes = torch.ones_like(tuples.anchor, dtype=torch.bool)
        left, right = tuples.anchor.repeat(2), torch.cat([tuples.positive, tuples.negative])
        return Pairs(left, right, torch.cat([yes, ~yes]))
    valid = e.positives() | e.negatives()
    columns, rows = torch.arange(valid.shape[1], device=valid.device), torch.arange(valid.shape[0], device=valid.device)
    # each pair once; memory rows stand right
    left, right = (valid & (columns[None, :] > rows[:, None])).nonzero(as_tuple=True)
    return Pairs(left, right, e.labels[left] == e.labels[right])


def pair_distances(e: Embedded, tuples: Tuples) -> tuple[Tensor, Tensor, Tensor]:
    """The distances of `as_pairs(e, tuples)`, without a list of the many pairs that labels imply.

    Returns:
        Distances, whether they are of the same label, and a mask of what is a pair. Given pairs: (P,) each. None: (A,
        R) each.
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

    Examples:
        >>> import torch
        >>> from siamese_lab.structures.embedded import Embedded
        >>> from siamese_lab.structures.tuples import as_triplets
        >>> e = Embedded(torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([0, 0, 1]))
        >>> [part.tolist() for part in as_triplets(e, None)]
        [[0, 1], [1, 0], [2, 2]]
    """
    if isinstance(tuples, Triplets):
        return tuples
    if isinstance(tuples, Pairs | Episode):
        kind = "pairs" if isinstance(tuples, Pairs) else "an episode"
        raise ValueError(
            f"a loss that consumes triplets got {kind}: choose a sampling or a miner that produces triplets"
        )
    anchor, positive = e.positives().nonzero(as_tuple=True)  # (P,) each
    pair, negative = e.negatives()[anchor].nonzero(as_tuple=True)  # (P, R) -> (T,)
    return Triplets(anchor[pair], positive[pair], negative)


def as_episode(e: Embedded, tuples: Tuples) -> Episode:
    """Tuples as an episode.

    None makes one of the labels: the first row of each class is its support, the others are queries. Queries of an
    image that is in the support, and of a class that has none, are left out.

    Raises:
        ValueError: for pairs or triplets, of which no episode can be made.
    """
    if isinstance(tuples, Episode):
        return tuples
    if tuples is not None:
        kind = "pairs" if isinstance(tuples, Pairs) else "triplets"
        raise ValueError(
            f"a loss that consumes episodes got {kind}: choose sampling=episodes or one that produces labels"
        )
    labels, ids = e.labels[: e.anchors], e.rows()[: e.anchors]
    order = labels.argsort(stable=True)
    ordered = labels[order]
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[1:] = ordered[1:] != ordered[:-1]
    support, query = order[first], order[~first]
    return Episode(support, query[~torch.isin(ids[query], ids[support])])
