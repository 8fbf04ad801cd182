"""The hardest pairs: positive ones (of one identity) that lie far apart, negative ones (of two) that lie near."""

from typing import NamedTuple

import torch
from torch import Tensor

from siamese_lab.metrics.tiles import SortedByLabel, check_tile, sort_by_label, spans
from siamese_lab.structures.embedded_set import EmbeddedSet

ROWS = 10_000  # compared with each other at most; of more rows, whole identities are drawn


class HardestPairs(NamedTuple):
    """Pairs of one kind, the hardest first, on the CPU.

    Args:
        left, right: (n,) rows of the evaluated embeddings.
        distance: (n,) of each pair.
    """

    left: Tensor
    right: Tensor
    distance: Tensor


@torch.no_grad()
def find_hardest_pairs(
    embedded: EmbeddedSet, top: int, tile: int = 2048, rows: int = ROWS
) -> tuple[HardestPairs, HardestPairs]:
    """The `top` positive pairs that lie farthest apart, and the `top` negative pairs that lie nearest; each pair once.

    Args:
        embedded: the embeddings.
        top: pairs of each kind; fewer where there are not as many.
        tile: rows compared at once.
        rows: at most about this many are compared, whole identities drawn with a fixed seed.
    """
    kept = _draw_identities(sort_by_label(embedded), rows)
    found = {kind: (kept.z.new_empty(0), kept.order.new_empty(2, 0)) for kind in ("same", "different")}
    for first, last in spans(len(kept.z), check_tile(tile)):
        ends = int(kept.start[kept.identity[last - 1] + 1])
        for left, right in spans(len(kept.z) - first, tile):
            left, right = left + first, right + first
            d = embedded.distance.matrix(kept.z[first:last], kept.z[left:right])
            a, b = kept.identity[first:last, None], kept.identity[None, left:right]
            # rows are sorted by identity: negative pairs have column > row, positive ones lie next to the diagonal
            negative = a < b if left < ends else None  # None: the whole tile
            found["different"] = _merge_smallest(found["different"], d, negative, first, left, top)
            if left < ends:
                same = (a == b).triu_(first + 1 - left)  # -d: the hardest is the smallest
                found["same"] = _merge_smallest(found["same"], -d, same, first, left, top)
    farthest, nearest = (_measure_pairs(embedded, kept, places) for _, places in found.values())
    return HardestPairs(*(column.flip(0) for column in farthest)), nearest


def _merge_smallest(
    best: tuple[Tensor, Tensor], d: Tensor, counts: Tensor | None, row: int, column: int, top: int
) -> tuple[Tensor, Tensor]:
    """The `top` smallest values (n,), ascending, and their places (2, n): of those so far and of a tile `d`.

    `counts` (bool, of the shape of `d`) says which of the tile's entries take part; None = all.
    """
    value, place = best
    wanted = d < value[-1] if len(value) == top else torch.ones_like(d, dtype=torch.bool)
    if counts is not None:
        wanted &= counts
    if not bool(wanted.any()):
        return best
    if int(wanted.sum()) > 64 * top:  # the first tiles: saves the places of the many
        wanted &= d <= d[wanted].kthvalue(top).values
    i, j = wanted.nonzero(as_tuple=True)
    values = torch.cat([value, d[i, j]])
    places = torch.cat([place, torch.stack([i + row, j + column])], 1)
    order = values.argsort(stable=True)[:top]
    return values[order], places[:, order]


def _measure_pairs(embedded: EmbeddedSet, rows: SortedByLabel, place: Tensor) -> HardestPairs:
    """Pairs as rows of `embedded`, the nearest first; compared by `pairwise`, as a matrix product rounds."""
    left, right = place
    exact, order = embedded.distance.pairwise(rows.z[left], rows.z[right]).sort(stable=True)
    return HardestPairs(rows.order[left[order]].cpu(), rows.order[right[order]].cpu(), exact.cpu())


def _draw_identities(rows: SortedByLabel, most: int) -> SortedByLabel:
    """Randomly drawn whole identities with at most `most` rows in all, but at least two; all rows if they are few."""
    if len(rows.z) <= most:
        return rows
    turn = torch.randperm(len(rows.names), generator=torch.Generator().manual_seed(0)).to(rows.sizes.device)
    taken = turn[: max(2, int((rows.sizes[turn].cumsum(0) <= most).sum()))]
    kept = torch.zeros(len(rows.names), dtype=torch.bool, device=turn.device)
    kept[taken] = True
    return rows.only(kept[rows.identity].nonzero().flatten())
