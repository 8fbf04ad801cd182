"""Figures and error curves in the form in which a run folder keeps them."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from siamese_lab.metrics.roc import Curves
from siamese_lab.runs.error_curves import Curve, thinned
from siamese_lab.statistics.influence import Figure
from siamese_lab.structures.embedded_set import EmbeddedSet


def error_curves(protocols: Mapping[str, Any], seen: EmbeddedSet) -> dict[str, Curves]:
    """The curves of the protocols that have them."""
    return {name: protocol.curves(seen) for name, protocol in protocols.items() if hasattr(protocol, "curves")}


def plain_figures(figures: dict[str, Figure]) -> dict[str, dict[str, Any]]:
    """Figures as metrics.json holds them: without their influences."""
    return {
        name: {key: value for key, value in asdict(figure).items() if key != "influence"}
        for name, figure in figures.items()
    }


def thin_curve(curves: "Curves") -> Curve:
    """What is kept of a protocol's curves."""
    return thinned(curves.threshold, curves.far, curves.tar, curves.different_total, curves.same_total)
