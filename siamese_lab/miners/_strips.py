"""A batch in strips of anchors, so that what a miner works with stays small beside the matrix of distances."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Triplets

STRIP = 2**21  # pairs of rows compared at once


class Strip(NamedTuple):
    """Some anchors against all R rows: number of the `first` anchor, distances `d` (a, R) and two masks (a, R)."""

    first: int
    d: Tensor
    positives: Tensor
    negatives: Tensor


def split_anchors(e: Embedded) -> Iterator[Strip]:
    """The strips of a batch, in the order of its anchors."""
    d, ids = e.matrix().detach(), e.rows()
    rows = max(1, STRIP // max(1, len(e.z)))
    for first in range(0, len(d), rows):
        part = slice(first, min(first + rows, len(d)))
        same = e.labels[part, None] == e.labels[None, :]
        yield Strip(first, d[part], same & (ids[part, None] != ids[None, :]), ~same)


def mine_strips(e: Embedded, mine: Callable[[Strip], tuple[Tensor, Tensor, Tensor]]) -> Triplets:
    """The triplets that `mine` finds in each strip; it counts anchors from the strip's first."""
    found = []
    for strip in split_anchors(e):
        anchor, positive, negative = mine(strip)
        found.append((anchor + strip.first, positive, negative))
    return Triplets(*(torch.cat(column) for column in zip(*found, strict=True)))


def positive_pairs(strip: Strip) -> tuple[Tensor, Tensor]:
    """Anchor and positive (P,) of each pair in a strip whose anchor has a negative too, anchor by anchor."""
    anchor, positive = (strip.positives & strip.negatives.any(1, keepdim=True)).nonzero(as_tuple=True)
    return anchor, positive


def tabulate(anchor: Tensor, values: Tensor, anchors: int, fill: float) -> tuple[Tensor, Tensor]:
    """The values (P,) of the pairs of each anchor as a row of a table, and the column (P,) of each.

    `anchor` (P,) ascends; cells without a pair hold `fill`.
    """
    count = torch.bincount(anchor, minlength=anchors)
    column = torch.arange(len(anchor), device=anchor.device) - (count.cumsum(0) - count)[anchor]
    table = values.new_full((anchors, int(count.max()) if len(count) else 0), fill)
    table[anchor, column] = values
    return table, column
