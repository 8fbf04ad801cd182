"""Detection error trade-off curves of several configurations in one plot."""

import numpy as np
from scipy.special import ndtr, ndtri

from siamese_lab.compare.analysis.comparison import Comparison, Configuration, Part
from siamese_lab.compare.report.svg import COLOURS, ReportPlot, legend_above, name_axes, plot_axes, svg_element
from siamese_lab.core.errors import LabError
from siamese_lab.plots._style import DASHES
from siamese_lab.runs.error_curves import Curve, curves_file, read_curves

MOST = len(COLOURS.series)
RATES = (0.0001, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
FIRST = (0.0001, 0.001, 0.01, 0.1, 0.5, 0.9)  # named before the others


def det_curves(comparison: Comparison) -> ReportPlot | None:
    """DET curves of the best configurations: the mean over their runs, with the span of the runs.

    Raises:
        LabError: if the runs keep no curves.
    """
    protocol = comparison.metric.partition("/")[0]
    chosen = ((one, _curves(one, comparison.part, protocol)) for one in _pick_configurations(comparison))
    some = [(one, curves) for one, curves in chosen if curves]
    if not some:
        return None
    least = max(1e-4, 1 / min(curve.different_total for _, found in some for curve in found))
    grid = np.linspace(ndtri(least), ndtri(0.6), 200)
    figure, plot = plot_axes(5.4, 4.9)
    plot.plot(grid, grid, color=COLOURS.muted, linewidth=0.8, linestyle=":", label="equal errors")
    tops = []
    for number, (one, found) in enumerate(some):
        lines = np.array([_refused(curve, grid) for curve in found])  # (runs, G), probits
        colour = COLOURS.series[number]
        middle = ndtri(ndtr(lines).mean(axis=0))
        tops += [float(middle[0]), float(middle[-1])]
        if len(lines) > 1:
            plot.fill_between(grid, lines.min(axis=0), lines.max(axis=0), color=colour, alpha=0.14, linewidth=0)
        plot.plot(grid, middle, color=colour, linestyle=DASHES[number], linewidth=1.7, label=one.short)
    low, high = max(min(tops), float(ndtri(1e-4))), min(max(tops), float(ndtri(0.995)))
    plot.set(xlim=(grid[0], grid[-1]), ylim=(low - 0.05, high + 0.05))
    for axis, ends in ((plot.xaxis, (grid[0], grid[-1])), (plot.yaxis, (low, high))):
        ticks = _ticks(*ends)
        axis.set_ticks([float(ndtri(rate)) for rate in ticks], [f"{100 * rate:g} %" for rate in ticks])
    name_axes(plot, "false accept rate", "false reject rate")
    legend_above(plot, 1 if max(len(one.short) for one, _ in some) > 24 else 2)
    rest = len(comparison.configurations) - len(some)
    more = f" The best, and the best of each level of the axes; {rest} more are not drawn." if rest else ""
    caption = (
        "Detection error trade-off on normal-deviate axes: lower left is better. Mean over runs; the band spans the "
        f"runs.{more}"
    )
    return ReportPlot("DET curves", svg_element(figure, "det", "detection error trade-off"), caption)


def _pick_configurations(comparison: Comparison) -> list[Configuration]:
    """Up to 6 configurations, the best first: all, or the best of each level of the axes."""
    found = comparison.configurations
    picked = [found[0]]
    for axis in comparison.axes:
        for level in dict.fromkeys(one.point.get(axis) for one in found):
            picked.append(next(one for one in found if one.point.get(axis) == level))
    kept = list(dict.fromkeys([*picked, *found] if len(found) > MOST else found))[:MOST]
    return sorted(kept, key=found.index)


def _curves(one: Configuration, part: Part, protocol: str) -> list[Curve]:
    """Those of its runs; an error where verification was evaluated and a run does not have them."""
    curves = []
    for run in one.runs:
        try:
            curves.append(read_curves(curves_file(run.path, part), protocol))
        except LabError as error:
            if protocol == "verification":
                raise LabError(f"no DET curves: {error}") from error
    return [curve for curve in curves if curve is not None]


def _ticks(low: float, high: float) -> list[float]:
    """Rates between two probits, so few that their names do not touch."""
    kept: list[float] = []
    for rate in sorted(RATES, key=lambda rate: rate not in FIRST):
        near = any(abs(ndtri(rate) - ndtri(other)) < (high - low) / 9 for other in kept)
        if low - 1e-9 <= ndtri(rate) <= high + 1e-9 and not near:
            kept.append(rate)
    return sorted(kept)


def _refused(curve: Curve, grid: np.ndarray) -> np.ndarray:
    """The probit of the false reject rate at probits of the false accept rate."""
    far, frr = np.clip(curve.far, 1e-6, 1 - 1e-6), np.clip(curve.frr, 1e-6, 1 - 1e-6)
    return np.interp(grid, ndtri(far), ndtri(frr))
