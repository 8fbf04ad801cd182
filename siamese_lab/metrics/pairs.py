"""The distances of positive pairs (`same` label) and negative pairs (`different` labels): all in tiles, or drawn."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from siamese_lab.core.errors import LabError
from siamese_lab.metrics.tiles import SortedByLabel, spans
from siamese_lab.structures.contracts import Distance

Pairs = Literal["all"] | int
# same-label distances held in memory: 80 MB of float32, as much again for their identities and the sort
MOST_SAME = 20_000_000
CHUNK = 1 << 16  # listed pairs compared at once


@dataclass(frozen=True)
class Portion:
    """A portion of the different-label pairs.

    Args:
        distance: of any shape.
        left, right: the two identities of each pair, in shapes that broadcast to that of `distance`.
    """

    distance: Tensor
    left: Tensor
    right: Tensor


@dataclass(frozen=True)
class SamePairs:
    """All same-label pairs that are evaluated: `distance` (P,), `identity` (P,)."""

    distance: Tensor
    identity: Tensor


class AllPairs:
    """Every pair i < j, in tiles of tile x tile distances.

    Args:
        rows: the embeddings.
        distance: a module with matrix(a, b).
        tile: rows compared at once.

    Raises:
        LabError: if there are more same-label pairs than memory should hold.
    """

    def __init__(self, rows: SortedByLabel, distance: Distance, tile: int) -> None:
        self.rows, self.distance, self.tile = rows, distance, tile
        sizes = rows.sizes
        self.same_count = int((sizes * (sizes - 1) // 2).sum())
        self.different_count = len(rows.z) * (len(rows.z) - 1) // 2 - self.same_count
        if self.same_count > MOST_SAME:
            raise LabError(
                f"pairs=all keeps every same-label distance in memory, at most {MOST_SAME:,}, but this data has "
                f"{self.same_count:,}: ask for a number of pairs, e.g. pairs=1000000"
            )

    def same(self) -> SamePairs:
        """The same-label pairs, which lie next to the diagonal as the rows are sorted by label."""
        rows, distances, identities = self.rows, [], []
        ends = rows.start[rows.identity + 1]
        for first, last in spans(len(rows.z), self.tile):
            end = int(ends[last - 1])
            for left in range(first, end, self.tile):  # one identity may be wider than a tile
                right = min(left + self.tile, end)
                same = rows.identity[first:last, None] == rows.identity[None, left:right]
                same = same.triu_(first + 1 - left)  # column > row: each pair once
                i, j = same.nonzero(as_tuple=True)
                if len(i):
                    distances.append(self.distance.matrix(rows.z[first:last], rows.z[left:right])[i, j])
                    identities.append(rows.identity[first:last][i])
        if not distances:
            return SamePairs(rows.z.new_empty(0), rows.identity[:0])
        return SamePairs(torch.cat(distances), torch.cat(identities))

    def different(self) -> Iterator[Portion]:
        """The different-label pairs, a tile at a time."""
        rows = self.rows
        for first, last in spans(len(rows.z), self.tile):
            final = int(rows.identity[last - 1])
            for left, right in spans(len(rows.z) - first, self.tile):
                left, right = left + first, right + first
                d = self.distance.matrix(rows.z[first:last], rows.z[left:right])
                a, b = rows.identity[first:last], rows.identity[left:right]
                if int(rows.identity[left]) > final:  # no identity stands on both sides: the whole tile counts
                    yield Portion(d, a[:, None], b[None, :])
                else:
                    i, j = (a[:, None] < b[None, :]).nonzero(as_tuple=True)  # sorted by label: column > row
                    if len(i):
                        yield Portion(d[i, j], a[i], b[j])


class ListedPairs:
    """`count` pairs drawn without replacement, half of one label and half of two; fewer where there are not as many.

    They are drawn uniformly among the pairs of their kind, and compared by `pairwise`, since their rows are scattered.

    Args:
        rows: the embeddings.
        distance: a module with pairwise(a, b).
        count: pairs in all.
        seed: of the draw, >= 0.
    """

    def __init__(self, rows: SortedByLabel, distance: Distance, count: int, seed: int) -> None:
        self.rows, self.distance = rows, distance
        generator = torch.Generator().manual_seed(seed)  # on the CPU: the same pairs on every device
        start = rows.start.cpu()
        self._same = draw_same(start, count // 2, generator)
        self._different = draw_different(start, count - count // 2, generator)
        self.same_count, self.different_count = len(self._same[0]), len(self._different[0])

    def same(self) -> SamePairs:
        """The drawn same-label pairs."""
        left, right = (x.to(self.rows.z.device) for x in self._same)
        return SamePairs(self._distances(left, right), self.rows.identity[left])

    def different(self) -> Iterator[Portion]:
        """The drawn different-label pairs."""
        left, right = (x.to(self.rows.z.device) for x in self._different)
        if len(left):
            yield Portion(self._distances(left, right), self.rows.identity[left], self.rows.identity[right])

    def _distances(self, left: Tensor, right: Tensor) -> Tensor:
        z = self.rows.z
        parts = [self.distance.pairwise(z[left[a:b]], z[right[a:b]]) for a, b in spans(len(left), CHUNK)]
        return torch.cat(parts) if parts else z.new_empty(0)


def draw_same(start: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """At most `count` different pairs of rows of one identity, uniformly.

    Args:
        start: (C + 1,) first row of each identity, the rows being sorted by identity.
        count: pairs wanted; all there are if there are fewer.
        generator: on the CPU.

    Returns:
        left (P,), right (P,) rows, left < right.
    """
    sizes = start.diff()
    ends = (sizes * (sizes - 1) // 2).cumsum(0)
    chosen = draw_distinct(int(ends[-1]) if len(ends) else 0, count, generator)
    owner = torch.searchsorted(ends, chosen, right=True)
    place = chosen - torch.where(owner > 0, ends[owner - 1], 0)  # pairs of an identity: (0,1) (0,2) (1,2) (0,3) ...
    high = ((1 + (1 + 8 * place.double()).sqrt()) / 2).long()
    # the root may round
    high = high - (high * (high - 1) // 2 > place).long() + ((high + 1) * high // 2 <= place).long()
    low = place - high * (high - 1) // 2
    return start[owner] + low, start[owner] + high


def draw_different(start: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """At most `count` different pairs of rows of two identities, uniformly; arguments and result as for `draw_same`."""
    before = start[:-1].repeat_interleave(start.diff())  # (N,) rows of earlier identities: each of them is a partner
    ends = before.cumsum(0)
    chosen = draw_distinct(int(ends[-1]) if len(ends) else 0, count, generator)
    right = torch.searchsorted(ends, chosen, right=True)
    return chosen - (ends[right] - before[right]), right


def draw_distinct(available: int, count: int, generator: torch.Generator) -> Tensor:
    """`count` different numbers below `available` in random order, or all of them."""
    if available <= 4 * count:
        return torch.randperm(available, generator=generator)[:count]
    chosen = torch.empty(0, dtype=torch.int64)
    while len(chosen) < count:
        chosen = drop_repeated(torch.cat([chosen, torch.randint(available, (count,), generator=generator)]))
    return chosen[:count]


def drop_repeated(keys: Tensor) -> Tensor:
    """`keys` without repetitions, in the order of their first occurrence."""
    ordered, place = keys.sort(stable=True)
    fresh = torch.ones_like(ordered, dtype=torch.bool)
    fresh[1:] = ordered[1:] != ordered[:-1]
    return keys[place[fresh].sort().values]
