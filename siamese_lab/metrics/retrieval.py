"""Figures of retrieval: each embedding is a query against all others."""

import torch
from torch import Tensor

from siamese_lab.core.errors import LabError
from siamese_lab.metrics.leave_one_out import with_interval
from siamese_lab.metrics.ranking import MEASURE_NAMES, leave_out_others, rank_queries, ranking_measures
from siamese_lab.metrics.tiles import TILE, SortedByLabel, sort_by_label
from siamese_lab.statistics.influence import Figure
from siamese_lab.structures.embedded_set import EmbeddedSet


@torch.no_grad()
def retrieval_figures(embedded: EmbeddedSet, tile: int = TILE, *, intervals: bool = True) -> dict[str, Figure]:
    """Recall@1, @5, @10, R-precision, MAP@R and MRR: means over the queries, in [0, 1].

    Definitions are those of `protocols.retrieval.Retrieval`; the measures of one query are `ranking.ranking_measures`.

    Args:
        embedded: the embeddings.
        tile: memory bound, >= 1: tile^2 distances are held at once (some 30 bytes each).
        intervals: also the influences of the identities and the intervals.

    Raises:
        LabError: if no identity has two images, or an embedding is not finite.
    """
    rows = sort_by_label(embedded)
    owner = rows.identity[query_rows(rows)].cpu()  # (Q,)
    values, without = _measure(rows, embedded, tile, intervals)  # (Q, 6), (C, 6)
    figures = {}
    for k, name in enumerate(MEASURE_NAMES):
        figure = Figure(float(values[:, k].mean()), n=len(values))
        if without is not None:
            right, wrong = owner[values[:, k] > 0].unique(), owner[values[:, k] < 1].unique()
            figure = with_interval(figure, without[:, k], rows.names, min(len(wrong), len(right)))
        figures[name] = figure
    return figures


@torch.no_grad()
def recall_at(embedded: EmbeddedSet, k: int, tile: int = TILE) -> float:
    """Recall@k for any k >= 1, in [0, 1]; the arguments and errors are those of `retrieval_figures`."""
    rows = sort_by_label(embedded)
    query_rows(rows)
    first = [block.ranks.first for block in rank_queries(rows, embedded.distance, tile, spare=0)]
    return float((torch.cat(first) <= k).double().mean())


def query_rows(rows: SortedByLabel) -> Tensor:
    """The queries (Q,): the rows whose identity has another row.

    Raises:
        LabError: if there is none.
    """
    queries = (rows.sizes[rows.identity] > 1).nonzero().flatten()
    if not len(queries):
        raise LabError(f"retrieval needs an identity with two images, but {len(rows.z):,} images have none: use others")
    return queries


def _measure(rows: SortedByLabel, embedded: EmbeddedSet, tile: int, leave_out: bool) -> tuple[Tensor, Tensor | None]:
    """The measures of each query (Q, 6); with `leave_out` their means without each identity too (C, 6)."""
    identities, parts = len(rows.names), []
    total = torch.zeros(identities, len(MEASURE_NAMES), dtype=torch.float64)
    freed, asked = torch.zeros_like(total), torch.zeros(identities, dtype=torch.float64)
    couples: list[tuple[Tensor, Tensor]] = []
    for block in rank_queries(rows, embedded.distance, tile, spare=int(rows.sizes.max()) if leave_out else 0):
        values, owner = ranking_measures(block.ranks).cpu(), rows.identity[block.rows].cpu()
        parts.append(values)
        if leave_out:
            total.index_add_(0, owner, values)  # on the CPU, where the order of additions is fixed
            asked += torch.bincount(owner, minlength=identities)
            for queries, other, change in leave_out_others(block, identities):
                who, mine, change = other.cpu(), owner[queries.cpu()], change.cpu()
                freed.index_add_(0, who, change)
                couples.append(_sum_by_key(torch.minimum(who, mine) * identities + torch.maximum(who, mine), change))
            couples = [_sum_by_key(*(torch.cat(x) for x in zip(*couples, strict=True)))] if couples else []
    if not leave_out:
        return torch.cat(parts), None
    without = (total.sum(0) - total + freed) / (asked.sum() - asked)[:, None]
    return torch.cat(parts), _count_couples_once(without, couples[0][1] / asked.sum() if couples else freed[:0])


def _sum_by_key(keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Unique keys (U,) and the sums (U, 6) of the `values` (P, 6) that belong to each."""
    unique, place = keys.unique(return_inverse=True)
    return unique, values.new_zeros(len(unique), values.shape[1]).index_add_(0, place, values)


def _count_couples_once(without: Tensor, couples: Tensor) -> Tensor:
    """Leave-one-out values (C, 6) drawn towards their mean, so that their variance is that of the figures.

    What two identities do to each other disappears when either is left out, so its variance counts twice (Efron and
    Stein, Ann. Stat. 1981); in retrieval, where nearest neighbours are often mutual, that is much of the whole. It is
    subtracted once: `couples` (P, 6) are the changes of the figures that each two identities make for each other.
    """
    count = len(without)
    middle = without.mean(0)
    twice = (without - middle).square().sum(0) * (count - 1) / count  # the jackknife's variance
    once = twice - couples.square().sum(0)
    share = (once / twice.clamp(min=1e-300)).clamp(0.5, 1.0)  # one half if there were nothing else
    return middle + (without - middle) * share.sqrt()
