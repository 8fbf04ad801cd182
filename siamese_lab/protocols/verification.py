"""Verification: are two images of one identity?"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from siamese_lab.core.errors import LabError
from siamese_lab.metrics import leave_one_out, roc
from siamese_lab.metrics.pairs import AllPairs, ListedPairs, SamePairs
from siamese_lab.metrics.threshold_counts import Counts, Grid, GridCounter, count, landmarks
from siamese_lab.metrics.tiles import Sorted, by_label, check_tile
from siamese_lab.statistics.influence import Figure
from siamese_lab.structures.embedded_set import EmbeddedSet

FEW = 10  # false accepts that must be expected at a FAR for it to be resolved
SAMPLE = 2048  # rows whose different-label distances say where thresholds are needed
ENTRIES = 1 << 24  # of a table identity x threshold: 128 MB of int64


class Verification:
    """Pairs of images are accepted as one identity where their distance is at most a threshold.

    Figures, shares in [0, 1]:
        eer: where the false accept and the false reject rate are equal, on the straight line between the two nearest
            thresholds. Better low; the headline.
        auc: area under the ROC curve; a tie of a same- with a different-label pair counts one half.
        tar@far=...: share of same-label pairs accepted at the largest threshold that accepts at most this share of the
            different-label pairs. Noted "too few negatives" where fewer than 10 false accepts would be expected.
        accuracy: at the threshold chosen on validation, the mean of the true accept and the true reject rate. With all
        pairs
            nearly every pair is of two identities, and plain accuracy would praise refusing everything; where half of
            the pairs are of one label the two are the same number.
        false_accept, false_reject: the two error rates at that threshold.

    All rates are taken within one kind of pair, so the mix of the two kinds changes none of these figures. Intervals
    are over identities drawn anew; they count a pair in both its identities and take 10 identities with each kind of
    error.

    Args:
        pairs: "all" pairs i < j (exact, in tiles), or how many are drawn (>= 2), half of one label and half of two.
        far: the false accept rates at which the true accept rate is reported, in (0, 1).
        seed: of the drawn pairs, >= 0.
        grid: thresholds at which pairs are counted by identity, for the intervals, >= 64; fewer where there are very
            many identities.
        tile: rows compared at once, >= 1; memory grows with its square (some 50 bytes x tile^2).

    Raises:
        ValueError: if an argument is out of its range.
    """

    headline: str = "eer"
    better: Literal["low", "high"] = "low"

    def __init__(
        self,
        pairs: Literal["all"] | int = "all",
        far: Sequence[float] = (1e-1, 1e-2, 1e-3, 1e-4),
        seed: int = 0,
        grid: int = 2048,
        tile: int = 2048,
    ) -> None:
        if pairs != "all" and not (isinstance(pairs, int) and pairs >= 2):
            raise ValueError(f"pairs must be 'all' or a number >= 2, got {pairs!r}")
        if not all(0 < f < 1 for f in far):
            raise ValueError(f"far must lie in (0, 1), got {list(far)}: they are shares of the different-label pairs")
        if not grid >= 64:
            raise ValueError(f"grid must be >= 64 thresholds, got {grid}: the intervals would be coarse")
        self.pairs, self.far, self.seed, self.grid, self.tile = pairs, tuple(far), seed, grid, check_tile(tile)

    def fits(self, embedded: EmbeddedSet) -> None:
        """Raises what `evaluate` would of these labels, whatever the embeddings."""
        self._source(by_label(embedded), embedded)

    def choose(self, embedded: EmbeddedSet) -> dict[str, float]:
        """The threshold (a distance) of the best balanced accuracy on these pairs."""
        return {"threshold": roc.best_threshold(self._count(embedded, None, by_identity=False)[0])}

    def evaluate(self, embedded: EmbeddedSet, chosen: dict[str, float], influences: bool = True) -> dict[str, Figure]:
        """The figures; those at the threshold only where `chosen` has one. `influences=False` gives values alone."""
        threshold = chosen.get("threshold")
        counts, grid, names = self._count(embedded, threshold, by_identity=influences)
        far, tar = roc.vertices(counts)
        pairs = counts.same_total + counts.different_total
        figures = {
            "eer": Figure(float(roc.eer(far, tar)), n=pairs, better="low"),
            "auc": Figure(float(roc.auc(far, tar)), n=pairs),
        }
        for limit in self.far:
            note = "too few negatives" if counts.different_total * limit < FEW else ""
            name = f"tar@far={far_name(limit)}"
            figures[name] = Figure(float(roc.tar_at(far, tar, limit)), n=counts.same_total, note=note)
        if threshold is not None:
            at = int(torch.searchsorted(counts.edges, counts.edges.new_tensor(threshold)))
            accept = int(counts.different_upto[at]) / counts.different_total
            reject = 1 - int(counts.same_upto[at]) / counts.same_total
            figures["accuracy"] = Figure(1 - (accept + reject) / 2, n=pairs)
            figures["false_accept"] = Figure(accept, n=counts.different_total, better="low")
            figures["false_reject"] = Figure(reject, n=counts.same_total, better="low")
        return figures if grid is None else self._with_intervals(figures, grid, names)

    @torch.no_grad()
    def curves(self, embedded: EmbeddedSet, bins: int = 100) -> roc.Curves:
        """What plots are drawn from: at most 2000 points of the ROC curve and histograms of both kinds over shared
        bins.
        """
        source, same, sample = self._prepare(by_label(embedded), embedded)
        low, high = (
            float(torch.minimum(same.distance.min(), sample.min())),
            float(torch.maximum(same.distance.max(), sample.max())),
        )
        edges = torch.linspace(low, high if high > low else low + 1, bins + 1, dtype=sample.dtype, device=sample.device)
        counts = count(same.distance, source.different(), torch.cat([landmarks(sample, 1024, low_end=True), edges]))
        return roc.curves(counts, edges)

    def _with_intervals(self, figures: dict[str, Figure], grid: Grid, names: tuple[str, ...]) -> dict[str, Figure]:
        measures: dict[str, leave_one_out.Measure] = {"eer": roc.eer, "auc": roc.auc}
        rejected, accepted, wrong = leave_one_out.erring_at(grid, leave_one_out.column_of_eer(grid))
        erring = {"eer": min(rejected, wrong), "auc": min(rejected, wrong)}
        for limit in self.far:
            name = f"tar@far={far_name(limit)}"
            measures[name] = partial(roc.tar_at, limit=limit, smooth=True)
            erring[name] = min(leave_one_out.erring_at(grid, leave_one_out.column_of_far(grid, limit)))
        if grid.at is not None:
            here = grid.at + 1  # after the point (0, 0)
            measures["accuracy"] = lambda far, tar: (1 - far[..., here] + tar[..., here]) / 2
            measures["false_accept"] = lambda far, tar: far[..., here]
            measures["false_reject"] = lambda far, tar: 1 - tar[..., here]
            rejected, accepted, wrong = leave_one_out.erring_at(grid, grid.at)
            erring |= {"accuracy": min(rejected, wrong), "false_accept": wrong, "false_reject": min(rejected, accepted)}
        without = leave_one_out.without_each(grid, list(measures.values()))  # (C, measures)
        return {
            name: leave_one_out.with_interval(figures[name], without[:, k], names, erring[name])
            for k, name in enumerate(measures)
        }

    @torch.no_grad()
    def _count(
        self, embedded: EmbeddedSet, threshold: float | None, by_identity: bool
    ) -> tuple[Counts, Grid | None, tuple[str, ...]]:
        rows = by_label(embedded)
        source, same, sample = self._prepare(rows, embedded)
        extra = landmarks(sample, 512, low_end=True)  # no more than where `choose` looks for a gap
        if threshold is not None:
            extra = torch.cat([extra, extra.new_tensor([threshold])])
        grid = None
        if by_identity:
            size = max(64, min(self.grid, ENTRIES // len(rows.names)))
            grid = GridCounter(same.distance, sample, len(rows.names), size, threshold)
            grid.add_same(same)
        counts = count(same.distance, source.different(), extra, grid)
        return counts, None if grid is None else grid.result(), rows.names

    def _prepare(self, rows: Sorted, embedded: EmbeddedSet) -> tuple[AllPairs | ListedPairs, SamePairs, Tensor]:
        """Where the pairs come from, the same-label ones, and a sample of different-label distances."""
        source = self._source(rows, embedded)
        some = rows
        if len(rows.z) > SAMPLE:
            chosen = (
                torch.randperm(len(rows.z), generator=torch.Generator().manual_seed(self.seed))[:SAMPLE].sort().values
            )
            some = rows.only(chosen.to(rows.z.device))
        sample = [portion.distance.flatten() for portion in AllPairs(some, embedded.distance, self.tile).different()]
        if not sample:  # nearly all rows are of one identity
            sample = [next(iter(source.different())).distance.flatten()]
        return source, source.same(), torch.cat(sample)

    def _source(self, rows: Sorted, embedded: EmbeddedSet) -> AllPairs | ListedPairs:
        source: AllPairs | ListedPairs
        if self.pairs == "all":
            source = AllPairs(rows, embedded.distance, self.tile)
        else:
            source = ListedPairs(rows, embedded.distance, int(self.pairs), self.seed)
        if not (source.same_count and source.different_count):
            raise LabError(
                f"verification needs pairs of one label and pairs of two, but {len(rows.z):,} images of "
                f"{len(rows.names):,} "
                f"identities give {source.same_count:,} and {source.different_count:,}: at least two identities are "
                "needed, "
                "one of them with two images"
            )
        return source


def far_name(far: float) -> str:
    """A false accept rate as it stands in a figure's name: 1e-3, 2.5e-2."""
    mantissa, exponent = f"{far:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"
