"""Plots of verification, drawn from the curves that the protocol computed."""

import re
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from siamese_lab.metrics.roc import Curves
from siamese_lab.plots._style import BLUE, LIGHT, LINE, ORANGE, THIN, legend_below, mark_point, titled_axes
from siamese_lab.structures.contracts import Distance

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEW = 10  # false accepts below which a rate is mostly chance
DECADES = 8  # that a logarithmic axis shows at most
RATES = (1e-6, 1e-4, 1e-3, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)  # that normal-deviate axes name
HIGHEST = 0.8  # rate that they show


def distance_histograms(
    curves: Curves, distance: Distance, threshold: float | None = None, title: str = ""
) -> "Figure":
    """Histograms of the distances of same-label and of different-label pairs, each kind adding up to 100 %.

    Args:
        curves: from `Verification.curves`.
        distance: the run's, for the name of the axis.
        threshold: the accepted distance, chosen on validation; drawn, and the legend says what it accepts.
        title: of the plot.
    """
    figure, axes = titled_axes(title)
    edges = curves.bins[:: _fold(curves)]
    kinds = (
        (curves.same_histogram, curves.same_total, BLUE, "same identity"),
        (curves.different_histogram, curves.different_total, ORANGE, "different identities"),
    )
    for counts, total, colour, name in kinds:
        share = 100 * counts.reshape(len(edges) - 1, -1).sum(1) / total
        axes.stairs(share, edges, fill=True, color=colour, alpha=0.3)
        axes.stairs(share, edges, color=colour, linewidth=1.6, label=f"{name} ({total:,} pairs)")
    if threshold is not None:
        axes.axvline(threshold, color=LIGHT.ink, linestyle="--", linewidth=1.4, label=_accepted(curves, threshold))
    axes.set_xlabel(f"{distance_name(distance)} of a pair")
    axes.set_ylabel(f"share of its kind of pairs, % per {edges[1] - edges[0]:.2g}")
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0)
    legend_below(axes)
    return figure


def roc_plot(curves: Curves, threshold: float | None = None, title: str = "") -> "Figure":
    """The receiver operating characteristic over the logarithm of the false accept rate, down to a single false accept.

    Args:
        curves: from `Verification.curves`.
        threshold: the accepted distance, whose point is marked.
        title: of the plot.
    """
    figure, axes = titled_axes(title)
    least = max(1 / curves.different_total, 10.0**-DECADES)
    far = np.clip(curves.far, least / 2, 1)  # a logarithmic axis has no 0
    few = FEW / curves.different_total
    if few > least:
        words = f"fewer than {FEW} false accepts"
        axes.axvspan(least / 2, min(few, 1), color=LIGHT.muted, alpha=0.13, linewidth=0, label=words)
    chance = np.geomspace(least / 2, 1, 200)
    axes.plot(chance, chance, color=LIGHT.muted, linestyle=":", linewidth=1.2, label="chance")
    axes.plot(chance, 1 - chance, color=LIGHT.muted, alpha=0.5, linewidth=THIN, label="equal errors")
    pairs = f"{curves.same_total:,} same, {curves.different_total:,} different pairs"
    axes.plot(far, curves.tar, color=BLUE, linewidth=LINE, label=pairs)
    if threshold is not None:
        x, y = rates_at(curves, threshold)
        mark_point(axes, max(x, least), y, _accepted(curves, threshold))
    axes.set_xscale("log")
    axes.minorticks_off()  # half the time of a plot
    axes.set_xlim(least, 1)
    axes.set_ylim(0, 1.01)
    axes.set_xlabel("false accept rate: share of the different pairs")
    axes.set_ylabel("true accept rate: share of the same pairs")
    legend_below(axes)
    return figure


def det_plot(curves: Curves, threshold: float | None = None, title: str = "") -> "Figure":
    """The detection error trade-off: false reject rate over false accept rate on normal-deviate axes.

    Two normal distributions of distances give a straight line.

    Args:
        curves: from `Verification.curves`.
        threshold: the accepted distance, whose point is marked.
        title: of the plot.
    """
    figure, axes = titled_axes(title)
    # no axis has a 0
    least = [max(1 / total, 10.0**-DECADES) / 2 for total in (curves.different_total, curves.same_total)]
    pairs = zip((curves.far, 1 - curves.tar), least, strict=True)
    far, frr = (ndtri(np.clip(rates, end, 1 - end)) for rates, end in pairs)
    high = float(ndtri(HIGHEST))
    seen = (far <= high) & (frr <= high)
    low = [min(float(rates[seen].min(initial=0.0)), float(ndtri(0.01))) - 0.1 for rates in (far, frr)]
    line = np.linspace(min(low), high, 2)
    axes.plot(line, line, color=LIGHT.muted, alpha=0.5, linewidth=THIN, label="equal errors")
    label = f"{curves.same_total:,} same, {curves.different_total:,} different pairs"
    axes.plot(far, frr, color=BLUE, linewidth=LINE, label=label)
    if threshold is not None:
        x, y = rates_at(curves, threshold)
        mark_point(axes, ndtri(max(x, least[0])), ndtri(max(1 - y, least[1])), _accepted(curves, threshold))
    for axis, start in ((axes.xaxis, low[0]), (axes.yaxis, low[1])):
        shown = [rate for rate in RATES if start <= ndtri(rate) <= high]
        axis.set_ticks([float(ndtri(rate)) for rate in shown], [f"{100 * rate:g}" for rate in shown])
    axes.set(xlim=(low[0], high), ylim=(low[1], high))
    axes.set_xlabel("false accept rate, % of the different pairs")
    axes.set_ylabel("false reject rate, % of the same pairs")
    legend_below(axes)
    return figure


def rates_at(curves: Curves, threshold: float) -> tuple[float, float]:
    """(far, tar), shares in [0, 1], at the nearest point of the curve that accepts no more than `threshold`."""
    point = int(np.searchsorted(curves.threshold, threshold, side="right")) - 1
    return (float(curves.far[point]), float(curves.tar[point])) if point >= 0 else (0.0, 0.0)


def _fold(curves: Curves) -> int:
    """How many bins to draw as one, so that few pairs do not leave gaps between the bars."""
    bins = len(curves.bins) - 1
    wanted = max(10.0, min(curves.same_total, curves.different_total) ** 0.5)
    return min((f for f in range(1, bins + 1) if bins % f == 0 and bins / f <= wanted), default=1)


def _accepted(curves: Curves, threshold: float) -> str:
    far, tar = rates_at(curves, threshold)
    accepts = f"accepts {100 * tar:.1f} % of the same, {100 * far:.2f} % of the different"
    return f"threshold {threshold:.3g} from validation:\n{accepts}"


def distance_name(distance: Distance) -> str:
    """The name of a distance as a reader has it: SquaredEuclidean -> "squared euclidean distance"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", type(distance).__name__).lower() + " distance"
