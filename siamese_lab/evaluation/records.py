"""Figures and error curves in the form in which a run folder keeps them."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from siamese_lab.metrics.roc import Curves
from siamese_lab.runs.error_curves import Curve, subsample_curve
from siamese_lab.runs.schema import FigureRecord
from siamese_lab.statistics.influence import Figure
from siamese_lab.structures.contracts import EvaluationProtocol
from siamese_lab.structures.embedded_set import EmbeddedSet


@runtime_checkable
class DrawsCurves(Protocol):
    """A protocol that has ROC and DET curves."""

    def curves(self, embedded: EmbeddedSet) -> Curves:
        """The error rates at every threshold, and histograms of the distances."""


def error_curves(protocols: Mapping[str, EvaluationProtocol], seen: EmbeddedSet) -> dict[str, Curves]:
    """The curves of the protocols that have them."""
    return {name: protocol.curves(seen) for name, protocol in protocols.items() if isinstance(protocol, DrawsCurves)}


def plain_figures(figures: Mapping[str, Figure]) -> dict[str, FigureRecord]:
    """Figures as metrics.json holds them: without their influences."""
    return {
        name: {
            "value": figure.value,
            "low": figure.low,
            "high": figure.high,
            "n": figure.n,
            "unit": figure.unit,
            "better": figure.better,
            "note": figure.note,
        }
        for name, figure in figures.items()
    }


def thin_curve(curves: Curves) -> Curve:
    """The points of the ROC curve that a run folder keeps."""
    return subsample_curve(curves.threshold, curves.far, curves.tar, curves.different_total, curves.same_total)
