"""Figures of verification: pairs of embeddings are accepted as one identity where their distance is small."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from siamese_lab.core.errors import LabError
from siamese_lab.metrics import leave_one_out, roc
from siamese_lab.metrics.pairs import AllPairs, ListedPairs, Pairs, SamePairs
from siamese_lab.metrics.threshold_counts import Counts, GridCounter, IdentityCounts, count_pairs, end_quantiles
from siamese_lab.metrics.tiles import TILE, SortedByLabel, check_tile, sort_by_label
from siamese_lab.statistics.influence import Figure
from siamese_lab.structures.embedded_set import EmbeddedSet

FEW = 10  # false accepts that must be expected at a FAR for it to be resolved
SAMPLE = 2048  # rows whose different-label distances place the thresholds
ENTRIES = 1 << 24  # of a table identity x threshold: 128 MB of int64


@dataclass(frozen=True)
class PairSelection:
    """Which pairs are compared.

    Args:
        pairs: "all" pairs i < j (exact, in tiles), or how many are drawn (>= 2), half of one label and half of two.
        seed: of the drawn pairs, >= 0.
        tile: rows compared at once, >= 1; memory grows with its square (some 50 bytes x tile^2).

    Raises:
        ValueError: if pairs or tile is out of its range.
    """

    pairs: Pairs = "all"
    seed: int = 0
    tile: int = TILE

    def __post_init__(self) -> None:
        if self.pairs != "all" and not (isinstance(self.pairs, int) and self.pairs >= 2):
            raise ValueError(f"pairs must be 'all' or a number >= 2, got {self.pairs!r}")
        check_tile(self.tile)

    def select(self, rows: SortedByLabel, embedded: EmbeddedSet) -> AllPairs | ListedPairs:
        """The pairs of these rows.

        Raises:
            LabError: if there is no pair of one label or none of two.
        """
        source: AllPairs | ListedPairs
        if self.pairs == "all":
            source = AllPairs(rows, embedded.distance, self.tile)
        else:
            source = ListedPairs(rows, embedded.distance, int(self.pairs), self.seed)
        if not (source.same_count and source.different_count):
            raise LabError(
                f"verification needs pairs of one label and pairs of two, but {len(rows.z):,} images of "
                f"{len(rows.names):,} identities give {source.same_count:,} and {source.different_count:,}: at least "
                "two identities are needed, one of them with two images"
            )
        return source


ALL_PAIRS = PairSelection()


def verification_figures(
    embedded: EmbeddedSet,
    selection: PairSelection = ALL_PAIRS,
    *,
    far: Sequence[float] = (),
    threshold: float | None = None,
    grid: int | None = None,
) -> dict[str, Figure]:
    """EER, AUC, TAR@FAR and, at a threshold, the error rates, all shares in [0, 1].

    The names and definitions are those of `protocols.verification.Verification`.

    Args:
        embedded: the embeddings.
        selection: which pairs are compared.
        far: the false accept rates at which the true accept rate is reported, in (0, 1).
        threshold: a distance; None = no figures at a threshold.
        grid: the number of thresholds at which pairs are counted by identity, for intervals; None = no intervals.

    Raises:
        LabError: if there is no pair of one label or none of two, or an embedding is not finite.
    """
    counts, by_identity, names = _count_pairs(embedded, selection, threshold, grid)
    false_accepts, true_accepts = roc.vertices(counts)
    pairs = counts.same_total + counts.different_total
    figures = {
        "eer": Figure(float(roc.eer(false_accepts, true_accepts)), n=pairs, better="low"),
        "auc": Figure(float(roc.auc(false_accepts, true_accepts)), n=pairs),
    }
    for limit in far:
        note = "too few negatives" if counts.different_total * limit < FEW else ""
        value = float(roc.tar_at(false_accepts, true_accepts, limit))
        figures[tar_name(limit)] = Figure(value, n=counts.same_total, note=note)
    if threshold is not None:
        edge = int(torch.searchsorted(counts.edges, counts.edges.new_tensor(threshold)))
        accept = int(counts.different_upto[edge]) / counts.different_total
        reject = 1 - int(counts.same_upto[edge]) / counts.same_total
        figures["accuracy"] = Figure(1 - (accept + reject) / 2, n=pairs)
        figures["false_accept"] = Figure(accept, n=counts.different_total, better="low")
        figures["false_reject"] = Figure(reject, n=counts.same_total, better="low")
    return figures if by_identity is None else _with_intervals(figures, far, by_identity, names)


def best_threshold(embedded: EmbeddedSet, selection: PairSelection = ALL_PAIRS) -> float:
    """The threshold (a distance) of the best balanced accuracy on these pairs."""
    return roc.best_threshold(_count_pairs(embedded, selection, None, None)[0])


@torch.no_grad()
def error_curves(embedded: EmbeddedSet, selection: PairSelection = ALL_PAIRS, bins: int = 100) -> roc.Curves:
    """At most 2000 points of the ROC curve, and histograms of both kinds of pairs over shared bins."""
    source, same, sample = _select_pairs(sort_by_label(embedded), embedded, selection)
    low = float(torch.minimum(same.distance.min(), sample.min()))
    high = float(torch.maximum(same.distance.max(), sample.max()))
    edges = torch.linspace(low, high if high > low else low + 1, bins + 1, dtype=sample.dtype, device=sample.device)
    extra = torch.cat([end_quantiles(sample, 1024, low_end=True), edges])
    return roc.curves(count_pairs(same.distance, source.different(), extra), edges)


def check_far(far: Sequence[float]) -> tuple[float, ...]:
    """The false accept rates themselves; raises a ValueError if one is not in (0, 1)."""
    if not all(0 < rate < 1 for rate in far):
        raise ValueError(f"far must lie in (0, 1), got {list(far)}: they are shares of the different-label pairs")
    return tuple(far)


def tar_name(far: float) -> str:
    """The name of the true accept rate at a false accept rate: tar@far=1e-3, tar@far=2.5e-2."""
    mantissa, exponent = f"{far:e}".split("e")
    return f"tar@far={float(mantissa):g}e{int(exponent)}"


def _with_intervals(
    figures: dict[str, Figure], far: Sequence[float], counts: IdentityCounts, names: tuple[str, ...]
) -> dict[str, Figure]:
    measures: dict[str, leave_one_out.Measure] = {"eer": roc.eer, "auc": roc.auc}
    rejected, accepted, wrong = leave_one_out.count_erring_identities(counts, leave_one_out.eer_column(counts))
    erring = {"eer": min(rejected, wrong), "auc": min(rejected, wrong)}
    for limit in far:
        name = tar_name(limit)
        measures[name] = partial(roc.tar_at, limit=limit, smooth=True)
        erring[name] = min(leave_one_out.count_erring_identities(counts, leave_one_out.far_column(counts, limit)))
    if counts.threshold_column is not None:
        here = counts.threshold_column + 1  # after the point (0, 0)
        measures["accuracy"] = lambda far, tar: (1 - far[..., here] + tar[..., here]) / 2
        measures["false_accept"] = lambda far, tar: far[..., here]
        measures["false_reject"] = lambda far, tar: 1 - tar[..., here]
        rejected, accepted, wrong = leave_one_out.count_erring_identities(counts, counts.threshold_column)
        erring |= {"accuracy": min(rejected, wrong), "false_accept": wrong, "false_reject": min(rejected, accepted)}
    without = leave_one_out.leave_each_out(counts, list(measures.values()))  # (C, measures)
    return {
        name: leave_one_out.with_interval(figures[name], without[:, k], names, erring[name])
        for k, name in enumerate(measures)
    }


@torch.no_grad()
def _count_pairs(
    embedded: EmbeddedSet, selection: PairSelection, threshold: float | None, grid: int | None
) -> tuple[Counts, IdentityCounts | None, tuple[str, ...]]:
    """Counts of pairs below thresholds; by identity at `grid` thresholds where it is given; the identities' names."""
    rows = sort_by_label(embedded)
    source, same, sample = _select_pairs(rows, embedded, selection)
    extra = end_quantiles(sample, 512, low_end=True)  # where `best_threshold` looks for a gap
    if threshold is not None:
        extra = torch.cat([extra, extra.new_tensor([threshold])])
    counter = None
    if grid is not None:
        size = max(64, min(grid, ENTRIES // len(rows.names)))
        counter = GridCounter(same.distance, sample, len(rows.names), size, threshold)
        counter.add_same(same)
    counts = count_pairs(same.distance, source.different(), extra, counter)
    return counts, None if counter is None else counter.result(), rows.names


def _select_pairs(
    rows: SortedByLabel, embedded: EmbeddedSet, selection: PairSelection
) -> tuple[AllPairs | ListedPairs, SamePairs, Tensor]:
    """The selected pairs, the distances of the same-label ones, and a sample of different-label distances."""
    source = selection.select(rows, embedded)
    some = rows
    if len(rows.z) > SAMPLE:
        generator = torch.Generator().manual_seed(selection.seed)
        chosen = torch.randperm(len(rows.z), generator=generator)[:SAMPLE].sort().values
        some = rows.only(chosen.to(rows.z.device))
    sample = [portion.distance.flatten() for portion in AllPairs(some, embedded.distance, selection.tile).different()]
    if not sample:  # nearly all rows are of one identity
        sample = [next(iter(source.different())).distance.flatten()]
    return source, source.same(), torch.cat(sample)
