from collections.abc import Sequence
from typing import Literal

from siamese_lab.metrics.roc import Curves
from siamese_lab.metrics.tiles import sort_by_label
from siamese_lab.metrics.verification import (
    PairSelection,
    best_threshold,
    check_far,
    error_curves,
    verification_figures,
)
from siamese_lab.statistics.influence import Figure
from siamese_lab.structures.embedded_set import EmbeddedSet


class Verification:
    """Verification: pairs of images are accepted as one identity where their distance is at most a threshold.

    Figures, shares in [0, 1]:
        eer: equal error rate, where the false accept and the false reject rate are equal, on the straight line between
            the two nearest thresholds. Better low; the headline.
        auc: area under the ROC curve; a tie of a same- with a different-label pair counts one half.
        tar@far=...: share of same-label pairs accepted at the largest threshold that accepts at most this share of the
            different-label pairs. Noted "too few negatives" where fewer than 10 false accepts would be expected.
        accuracy: balanced accuracy at the threshold chosen on validation, the mean of the true accept and the true
            reject rate. (Of all pairs nearly all are of two identities: rejecting each would have a high accuracy.)
        false_accept, false_reject: the two error rates at that threshold.

    All rates are taken within one kind of pair, whatever the mix of the two. Intervals are over identities drawn anew:
    a pair counts in both its identities. They need 10 identities with each kind of error.

    Args:
        pairs: "all" pairs i < j (exact, in tiles), or how many are drawn (>= 2), half of one label and half of two.
        far: the false accept rates at which the true accept rate is reported, in (0, 1).
        seed: of the drawn pairs, >= 0.
        grid: thresholds at which pairs are counted by identity, for the intervals, >= 64; fewer where there are very
            many identities.
        tile: rows compared at once, >= 1; memory grows with its square (some 50 bytes x tile^2).

    Raises:
        ValueError: if an argument is out of its range.

    Examples:
        >>> import torch
        >>> from siamese_lab.distances.euclidean import Euclidean
        >>> from siamese_lab.protocols.verification import Verification
        >>> from siamese_lab.structures.embedded_set import EmbeddedSet
        >>> z = torch.tensor([[0.0], [1.0], [1.5], [3.5], [9.0], [9.5]])
        >>> part = EmbeddedSet(z, torch.tensor([0, 0, 1, 1, 2, 2]), ("a", "b", "c"), Euclidean())
        >>> protocol = Verification(far=[0.1])
        >>> chosen = protocol.choose(part)
        >>> figures = protocol.evaluate(part, chosen, influences=False)
        >>> chosen, {name: round(figures[name].value, 4) for name in ("eer", "auc", "accuracy")}
        ({'threshold': 2.25}, {'eer': 0.1667, 'auc': 0.9028, 'accuracy': 0.9167})
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
        self.selection, self.far = PairSelection(pairs, seed, tile), check_far(far)
        if not grid >= 64:
            raise ValueError(f"grid must be >= 64 thresholds, got {grid}: the intervals would be coarse")
        self.grid = grid

    def fits(self, embedded: EmbeddedSet) -> None:
        """Raises what `evaluate` would of these labels, whatever the embeddings."""
        self.selection.select(sort_by_label(embedded), embedded)

    def choose(self, embedded: EmbeddedSet) -> dict[str, float]:
        """The threshold (a distance) of the best balanced accuracy on these pairs."""
        return {"threshold": best_threshold(embedded, self.selection)}

    def evaluate(self, embedded: EmbeddedSet, chosen: dict[str, float], influences: bool = True) -> dict[str, Figure]:
        """The figures; those at the threshold only where `chosen` has one. `influences=False` gives values alone.

        Raises:
            LabError: if there is no pair of one label or none of two, or an embedding is not finite.
        """
        return verification_figures(
            embedded,
            self.selection,
            far=self.far,
            threshold=chosen.get("threshold"),
            grid=self.grid if influences else None,
        )

    def curves(self, embedded: EmbeddedSet, bins: int = 100) -> Curves:
        """What plots are drawn from: at most 2000 points of the ROC curve and histograms of both kinds of pairs."""
        return error_curves(embedded, self.selection, bins)
