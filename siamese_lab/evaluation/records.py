"""Figures and error curves in the form in which a run folder keeps them."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Protocol, runtime_checkable

from siamese_lab.metrics.roc import Curves
from siamese_lab.runs.error_curves import Curve, thinned
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


def plain_figures(figures: Mapping[str, Figure]) -> dict[str, dict[str, float | int | str | None]]:
    """Figures as metrics.json holds them: without their influences."""
    return {
        name: {key: value for key, value in asdict(figure).items() if key != "influence"}
        for name, figure in figures.items()
    }


def thin_curve(curves: Curves) -> Curve:
    """The points of the ROC curve that a run folder keeps."""
    return thinned(curves.threshold, curves.far, curves.tar, curves.different_total, curves.same_total)
