"""Ranks of the hits (gallery images of the query's identity), and how they change when another identity is left out."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from siamese_lab.metrics.tiles import SortedByLabel
from siamese_lab.structures.contracts import Distance

RECALLS = (1, 5, 10)
MEASURE_NAMES = (*(f"recall@{k}" for k in RECALLS), "r_precision", "map@r", "mrr")


@dataclass(frozen=True)
class Ranks:
    """The ranks of the hits (other images of the query's identity) of t queries with at most H hits, nearest first.

    H may differ from block to block.

    Args:
        position: (t, H) int64, 1 = nearest of all; exact up to at least R, beyond it at least R + 1.
        first: (t,) int64 exact position of the nearest hit.
        relevant: (t,) R, how many hits there are.
    """

    position: Tensor
    first: Tensor
    relevant: Tensor


@dataclass(frozen=True)
class Block:
    """Ranks of the queries `rows` (t,), and the nearest images of other identities.

    Args:
        rows: (t,) rows of the queries.
        ranks: of their hits.
        ahead: (t, H) how many images of other identities stand before each hit, at most M.
        first_ahead: (t,) the same for the first hit.
        others: (t, M) the identity of the nearest of them, nearest first; -1 where there are no more.
    """

    rows: Tensor
    ranks: Ranks
    ahead: Tensor
    others: Tensor


def ranking_measures(ranks: Ranks) -> Tensor:
    """The `MEASURE_NAMES` of each query, (t, 6) float64 in [0, 1].

    With p_k the position of hit k: recall@n = [p_1 <= n]; R-precision = #{k: p_k <= R} / R; MAP@R = sum of k / p_k over
    {k: p_k <= R} / R (Musgrave et al. 2020, eq. 3); MRR's share 1 / p_1.
    """
    position, relevant = ranks.position.double(), ranks.relevant.double()
    k = torch.arange(1, position.shape[1] + 1, device=position.device)
    counted = (position <= relevant[:, None]) & (k <= relevant[:, None])
    precision = torch.where(counted, k / position.clamp(min=1), 0.0)
    recalls = [(ranks.first <= n).double() for n in RECALLS]
    r_precision, average = counted.sum(1) / relevant, precision.sum(1) / relevant
    return torch.stack([*recalls, r_precision, average, 1 / ranks.first.double()], 1)


def rank_queries(rows: SortedByLabel, distance: Distance, tile: int, spare: int) -> Iterator[Block]:
    """Ranks the gallery (all other rows) for every query, some tile^2 distances at a time.

    Rows without another image of their identity are no queries, but stay in the gallery. A hit at the same distance as
    images of other identities is ranked behind all of them.

    Args:
        rows: the embeddings, sorted by label.
        distance: a module with matrix(a, b).
        tile: the root of the number of distances held at once.
        spare: how many more of the nearest images of other identities to keep than the measures need.
    """
    total, sizes = len(rows.z), rows.sizes
    hits = int(sizes.max()) - 1
    keep = min(max(hits, max(RECALLS)) + spare, total)
    queries = (sizes[rows.identity] > 1).nonzero().flatten()
    for chunk in queries.split(max(1, tile * tile // max(total, 1))):
        own = rows.identity[chunk]
        d = distance.matrix(rows.z[chunk], rows.z)  # (t, N)
        left, right = int(rows.start[own[0]]), int(rows.start[own[-1] + 1])  # sorted: all hits of the chunk lie in here
        near = d[:, left:right]
        mine = rows.identity[left:right] == own[:, None]
        hit = mine & (torch.arange(left, right, device=own.device) != chunk[:, None])
        same = near.masked_fill(~hit, float("inf")).sort(1).values[:, :hits].contiguous()  # (t, H)
        near.masked_fill_(mine, float("inf"))  # from here on d holds the others alone
        first = 1 + (d <= same[:, :1]).sum(1)
        nearest, who = d.topk(keep, largest=False, sorted=True)
        ahead = torch.searchsorted(nearest, same, right=True)
        k = torch.arange(1, same.shape[1] + 1, device=own.device)
        relevant = sizes[own] - 1
        position = (ahead + k).where(k <= relevant[:, None], total + keep)
        who = rows.identity[who].masked_fill(nearest.isinf(), -1)
        yield Block(chunk, Ranks(position, first, relevant), ahead, who)


def leave_out_others(block: Block, identities: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """How each query's measures change when one other identity is left out.

    Only identities among the first max(R, 10) others change what is counted up to there, and `others` holds as many
    more as one identity has images. So the changes are exact, but for those of MRR beyond these ranks, where 1 / rank
    is small.

    Yields:
        (queries (q,), identity (q,), change (q, 6)): every query with every such identity, in portions.
    """
    base = ranking_measures(block.ranks)
    reach = max(block.ranks.position.shape[1], max(RECALLS))
    others, count = block.others, block.ahead
    if identities <= reach:
        turns = [torch.full_like(others[:, 0], c) for c in range(identities)]
        fresh = [(others == c).any(1) for c in range(identities)]
    else:
        listed = others[:, :reach]
        ordered, place = listed.sort(dim=1, stable=True)
        again = torch.zeros_like(listed, dtype=torch.bool)
        again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
        seen = torch.zeros_like(again).scatter(1, place, again)  # the identity stands further to the left already
        turns, fresh = list(listed.T), list(((listed >= 0) & ~seen).T)
    for who, valid in zip(turns, fresh, strict=True):
        chosen = valid.nonzero().flatten()
        if not len(chosen):
            continue
        gone = (others[chosen] == who[chosen, None]).cumsum(1)
        gone = torch.cat([torch.zeros_like(gone[:, :1]), gone], 1).gather(1, count[chosen])  # (q, H) before each hit
        position, first = block.ranks.position[chosen] - gone, block.ranks.first[chosen] - gone[:, 0]
        ranks = Ranks(position, first, block.ranks.relevant[chosen])
        yield chosen, who[chosen], ranking_measures(ranks) - base[chosen]
