"""Retrieval: which images stand nearest to each image of a part?"""

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from siamese_lab.core.errors import LabError
from siamese_lab.metrics.ranking import MEASURES, blocks, measures, without_others
from siamese_lab.metrics.tiles import Sorted, by_label, check_tile
from siamese_lab.statistics.influence import Figure, influences, interval
from siamese_lab.structures.embedded_set import EmbeddedSet


class Retrieval:
    """Each image is a query against all others of the part.

    Figures, means over the queries in [0, 1], better high:
        map@r: mean average precision at R (the headline), R being how many other images the query's identity has.
        r_precision: share of hits among the R nearest.
        recall@1, recall@5, recall@10: whether a hit stands among the nearest 1, 5, 10.
        mrr: 1 / position of the nearest hit.

    The query itself is never retrieved. A hit at the same distance as images of other identities stands behind all of
    them. Images that are the only one of their identity are not queries, but stand in the others' way. Intervals are
    over identities, left out as queries and as images that stand in the way.

    Source: Musgrave, Belongie, Lim, ECCV 2020, sec. 3.2 (MAP@R, R-precision).

    Args:
        tile: memory bound, >= 1: tile^2 distances are held at once (some 30 bytes each).

    Raises:
        ValueError: if tile is not positive.
    """

    headline: str = "map@r"
    better: Literal["low", "high"] = "high"

    def __init__(self, tile: int = 2048) -> None:
        self.tile = check_tile(tile)

    def fits(self, embedded: EmbeddedSet) -> None:
        """Raises what `evaluate` would of these labels, whatever the embeddings."""
        self._rows(embedded)

    def choose(self, embedded: EmbeddedSet) -> dict[str, float]:
        """Nothing is chosen."""
        return {}

    @torch.no_grad()
    def evaluate(self, embedded: EmbeddedSet, chosen: dict[str, float], influences: bool = True) -> dict[str, Figure]:
        """The figures; `influences=False` gives values alone.

        Raises:
            LabError: if no identity has two images.
        """
        rows = self._rows(embedded)
        values, without = self._values(rows, embedded, influences)  # (Q, 6), (C, 6)
        owner = rows.identity[rows.sizes[rows.identity] > 1].cpu()
        figures = {}
        for k in sorted(range(len(MEASURES)), key=lambda k: MEASURES[k] != self.headline):
            figure = Figure(float(values[:, k].mean()), n=len(values))
            if without is not None:
                figure = _with_interval(figure, without[:, k], values[:, k], owner, rows.names)
            figures[MEASURES[k]] = figure
        return figures

    def _rows(self, embedded: EmbeddedSet) -> Sorted:
        rows = by_label(embedded)
        if not len(rows.z) or int(rows.sizes.max()) < 2:
            raise LabError(
                f"retrieval needs an identity with two images, but {len(rows.z):,} images have none: use other data"
            )
        return rows

    def _values(self, rows: Sorted, embedded: EmbeddedSet, leave_out: bool) -> tuple[Tensor, Tensor | None]:
        identities, parts = len(rows.names), []
        total = torch.zeros(identities, len(MEASURES), dtype=torch.float64)
        freed, asked = torch.zeros_like(total), torch.zeros(identities, dtype=torch.float64)
        couples: list[tuple[Tensor, Tensor]] = []
        for block in blocks(rows, embedded.distance, self.tile, spare=int(rows.sizes.max()) if leave_out else 0):
            values, owner = measures(block.ranks).cpu(), rows.identity[block.rows].cpu()
            parts.append(values)
            if leave_out:
                total.index_add_(0, owner, values)  # on the CPU, where the order of additions is fixed
                asked += torch.bincount(owner, minlength=identities)
                for queries, other, change in without_others(block, identities):
                    who, mine, change = other.cpu(), owner[queries.cpu()], change.cpu()
                    freed.index_add_(0, who, change)
                    couples.append(_by_key(torch.minimum(who, mine) * identities + torch.maximum(who, mine), change))
                couples = [_by_key(*(torch.cat(x) for x in zip(*couples, strict=True)))] if couples else []
        if not leave_out:
            return torch.cat(parts), None
        without = (total.sum(0) - total + freed) / (asked.sum() - asked)[:, None]
        return torch.cat(parts), _count_couples_once(without, couples[0][1] / asked.sum() if couples else freed[:0])


def _by_key(keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Unique keys (U,) and the sums (U, 6) of the `values` (P, 6) that belong to each."""
    unique, place = keys.unique(return_inverse=True)
    return unique, values.new_zeros(len(unique), values.shape[1]).index_add_(0, place, values)


def _count_couples_once(without: Tensor, couples: Tensor) -> Tensor:
    """Leave-one-out values (C, 6) drawn towards their mean, so that their variance is that of the figures.

    What two identities do to each other goes when either is left out, so leaving one out counts its variance twice
    (Efron and Stein, Ann. Stat. 1981); in retrieval, where nearest neighbours are often mutual, that is much of the
    whole. It is taken out once: `couples` (P, 6) are the changes of the figures that each two identities make for each
    other.
    """
    count = len(without)
    middle = without.mean(0)
    twice = (without - middle).square().sum(0) * (count - 1) / count  # the jackknife's variance
    once = twice - couples.square().sum(0)
    share = (once / twice.clamp(min=1e-300)).clamp(0.5, 1.0)  # one half if there were nothing else
    return middle + (without - middle) * share.sqrt()


def _with_interval(figure: Figure, without: Tensor, values: Tensor, owner: Tensor, names: tuple[str, ...]) -> Figure:
    influence = influences(without.numpy(), names)
    erring = min(len(owner[values < 1].unique()), len(owner[values > 0].unique()))
    low, high, note = interval(figure.value, influence, erring)
    return replace(figure, low=low, high=high, influence=influence, note=note)
