"""The nearest images of other classes, exactly, in tiles."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from siamese_lab.structures.contracts import Distance

ROWS, COLUMNS = 256, 4096  # of a tile: 4 MB of float32, which stay in the processor's cache
GROUP = 64  # columns whose minimum is compared first

Score = Callable[[Tensor, Tensor], Tensor]


@torch.no_grad()
def nearest_others(z: Tensor, labels: Tensor, distance: Distance, k: int, queries: Tensor | None = None) -> Tensor:
    """For each query the k rows of other labels that lie nearest, nearest first.

    Exact, in some 20 MB beside z and the result: a tile of distances, and k candidates for each of its rows. After the
    first tile only distances below a query's k-th candidate are sorted, so matrix products take most of the time.

    Args:
        z: (N, D).
        labels: (N,).
        distance: the run's.
        k: neighbours; no label may leave fewer rows than that.
        queries: (Q,) rows of z; None = all of them.

    Returns:
        (Q, k) int64 row numbers, on the CPU.

    Raises:
        ValueError: if some row has fewer than k rows of other labels.
    """
    most = int(labels.bincount(minlength=1).max()) if len(labels) else 0
    if len(labels) - most < k:
        raise ValueError(
            f"neighbours must be at most {len(labels) - most}, got {k}: the largest class leaves no more other images"
        )
    z, score = ranking_score(distance, z)
    rows = queries if queries is not None else torch.arange(len(z), device=z.device)
    found = [_nearest(z, labels, score, some, k) for some in rows.split(ROWS)]
    return torch.cat(found) if found else torch.zeros(0, k, dtype=torch.long)


def ranking_score(distance: Distance, z: Tensor) -> tuple[Tensor, Score]:
    """Mapped embeddings (N, D), and a score (n, m) of two sets of them that orders as the distance does.

    The score is one matrix product where the distance has an `index`, else the distance itself.
    """
    kind = distance.index()
    if kind is None:
        return z, distance.matrix
    name, map_ = kind
    if name == "cosine":
        return F.normalize(map_(z), dim=1), lambda a, b: (a @ b.T).neg_()
    if name == "ip":
        return map_(z), lambda a, b: (a @ b.T).neg_()
    return map_(z), lambda a, b: torch.addmm(b.square().sum(1), a, b.T, alpha=-2.0)  # |a|^2 is the same in a row


def _nearest(z: Tensor, labels: Tensor, score: Score, rows: Tensor, k: int) -> Tensor:
    """(r, k) for the queries `rows` (r,)."""
    best = z.new_full((len(rows), k), torch.inf)
    who = torch.zeros(best.shape, dtype=torch.long, device=z.device)
    a, own = z[rows], labels[rows]
    for begin in range(0, len(z), COLUMNS):
        d = score(a, z[begin : begin + COLUMNS])  # (r, c)
        if begin == 0:
            others = d.masked_fill(labels[: d.shape[1]] == own[:, None], torch.inf)
            near, at = others.topk(min(k, d.shape[1]), largest=False)
            best[:, : near.shape[1]], who[:, : near.shape[1]] = near, at
            continue
        row, column = _places_below(d, best[:, -1:])
        fits = labels[begin + column] != own[row]
        row, column = row[fits], column[fits]
        if len(row):
            near, at = _tabulate(d[row, column], column + begin, row, len(rows))
            best, pick = torch.cat([best, near], 1).topk(k, largest=False)
            who = torch.cat([who, at], 1).gather(1, pick)
    return who.cpu()


def _places_below(d: Tensor, worst: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns (n,) where d (r, c) is below worst (r, 1), by the minimum of each group of columns first."""
    if d.shape[1] % GROUP:  # the last columns of all
        row, column = (d < worst).nonzero(as_tuple=True)
        return row, column
    groups = d.shape[1] // GROUP
    row, group = (d.view(len(d), GROUP, groups).amin(1) < worst).nonzero(
        as_tuple=True
    )  # (n,): every `groups`-th column
    columns = group[:, None] + groups * torch.arange(GROUP, device=d.device)
    inner, place = (d[row[:, None], columns] < worst[row]).nonzero(as_tuple=True)
    return row[inner], columns[inner, place]


def _tabulate(values: Tensor, columns: Tensor, row: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Values and columns (n,) of the rows `row` (n,), in any order, as tables (rows, m) padded with infinity."""
    order = row.argsort(stable=True)
    row = row[order]
    count = row.bincount(minlength=rows)
    place = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
    near = values.new_full((rows, int(count.max())), torch.inf)
    at = torch.zeros(near.shape, dtype=torch.long, device=row.device)
    near[row, place], at[row, place] = values[order], columns[order]
    return near, at
