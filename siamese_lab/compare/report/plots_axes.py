"""The figure along the axes of a study: against a number, and as a map of two."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from siamese_lab.compare.analysis import marginal
from siamese_lab.compare.analysis.comparison import Comparison, Configuration, Run
from siamese_lab.compare.analysis.contrasts import goodness
from siamese_lab.compare.report.svg import (
    COLOURS,
    ReportPlot,
    few_ticks,
    in_unit,
    legend_above,
    name_axes,
    plain_text,
    plot_axes,
    svg_element,
)
from siamese_lab.compare.selection.axes import all_numbers, axis_values
from siamese_lab.core.errors import LabError
from siamese_lab.core.text import format_value
from siamese_lab.plots._style import DASHES, LINE, MARKERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Rectangle

MOST = len(COLOURS.series)  # lines in a picture
MOST_CELLS = 12  # of a side of a heat map
MOST_TICKS = 9
WIDE = 50  # ratio of the largest to the smallest value from which an axis is logarithmic


def axis_plot(comparison: Comparison, runs: Sequence[Run], axes: Sequence[str], axis: str, name: str) -> ReportPlot:
    """The figure against a numeric axis: a line with 95 % bands for each loss, or level of another axis of words.

    Where the other axes have no setting in common, as in a search, every configuration is a dot.
    """
    owner = axis.rpartition(".")[0]
    others = {other: axis_values(runs, other) for other in axes if other != axis}
    words = [other for other, values in others.items() if not all_numbers(values) and len(values) <= MOST]
    group = owner if owner in words else next(iter(words), None)
    figure, plot = plot_axes()
    values = [float(text) for text in axis_values(runs, axis)]
    if min(values) > 0 and max(values) / min(values) >= WIDE:
        plot.set_xscale("log")
    means = _means(comparison, runs, axes, [group, axis] if group else [axis])
    if means is None:
        found, draw = list(comparison.choices), _dots
        caption = "Every configuration is a dot: they have no setting of the other axes in common to be averaged over."
    else:
        (found, notes), draw = means, _line
        about = "Mean over seeds; bands are the 95 % intervals of the means, not of their differences."
        caption = f"{about} {_sentence(notes)}"
        plot.set_xticks(values if len(values) <= MOST_TICKS else values[:: len(values) // MOST_TICKS + 1])
        few_ticks(plot.xaxis)
    for number, level in enumerate(axis_values(runs, group) if group else [""]):
        some = [one for one in found if not group or one.point.get(group) == level]
        draw(plot, some, axis, f"{group}={level}" if group else "", number, 100 if comparison.unit == "share" else 1)
    plot.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    in_unit(plot.yaxis, comparison.unit)
    name_axes(plot, axis, comparison.metric)
    legend_above(plot)
    title = f"{comparison.metric} against {axis}"
    return ReportPlot(title, svg_element(figure, name, title), caption)


def _means(
    comparison: Comparison, runs: Sequence[Run], axes: Sequence[str], by: Sequence[str]
) -> tuple[list[Configuration], list[str]] | None:
    """Matched means and notes; None where a line would join what differs in more than these axes."""
    others = [axis for axis in axes if axis not in by and all_numbers(axis_values(runs, axis))]
    if any(marginal.is_confounded(axis, by, runs) for axis in others):
        return None
    try:
        return marginal.marginal_means(runs, by, axes, comparison.metric, comparison.part)
    except LabError:
        return None


def _line(plot: "Axes", found: Sequence[Configuration], axis: str, label: str, number: int, scale: float) -> None:
    """One level's line and band; a level line where it has no such axis."""
    colour, dashes = COLOURS.series[number], DASHES[number]
    points = sorted((one for one in found if axis in one.point), key=lambda one: float(one.point[axis]))
    if found and not points:
        estimate, label = found[0].estimate, f"{label}, which has no {axis.rpartition('.')[2]}"
        plot.axhline(scale * estimate.value, linewidth=1.3, label=label, color=colour, linestyle=dashes)
        if estimate.low is not None and estimate.high is not None:
            plot.axhspan(scale * estimate.low, scale * estimate.high, color=colour, alpha=0.08, linewidth=0)
        return
    x, y = [float(one.point[axis]) for one in points], [scale * one.estimate.value for one in points]
    lows = [scale * one.estimate.low for one in points if one.estimate.low is not None]
    highs = [scale * one.estimate.high for one in points if one.estimate.high is not None]
    if len(lows) == len(highs) == len(points):
        plot.fill_between(x, lows, highs, color=colour, alpha=0.14, linewidth=0)
    (line,) = plot.plot(x, y, label=label, color=colour, linewidth=LINE, linestyle=dashes)
    line.set(marker=MARKERS[number], markersize=6, markeredgecolor=COLOURS.paper)


def _dots(plot: "Axes", found: Sequence[Configuration], axis: str, label: str, number: int, scale: float) -> None:
    points = [one for one in found if axis in one.point]
    x, y = [float(one.point[axis]) for one in points], [scale * one.estimate.value for one in points]
    if points:
        (dots,) = plot.plot(x, y, label=label, color=COLOURS.series[number], linestyle="none")
        dots.set(marker=MARKERS[number], markersize=6, markeredgecolor=COLOURS.paper)


def heat_map(
    comparison: Comparison, runs: Sequence[Run], axes: Sequence[str], pair: tuple[str, str], name: str
) -> ReportPlot | None:
    """The mean for every couple of two axes' values.

    Raises:
        LabError: if the couples share no setting of the other axes.
    """
    down, across = axis_values(runs, pair[0]), axis_values(runs, pair[1])
    if max(len(down), len(across)) > MOST_CELLS:
        raise LabError(f"{pair[0]} x {pair[1]} has more than {MOST_CELLS} values a side: not drawn as a map")
    found, notes = marginal.marginal_means(runs, list(pair), axes, comparison.metric, comparison.part)
    cells = {(one.point.get(pair[0]), one.point.get(pair[1])): one for one in found}
    worst, best = (f([goodness(one.estimate.value, comparison.better) for one in found]) for f in (max, min))
    figure, plot = plot_axes(max(4.2, 1.6 + 1.15 * len(across)), max(2.2, 1.1 + 0.55 * len(down)))
    plot.grid(visible=False)
    for row, one in enumerate(down):
        for column, other in enumerate(across):
            cell = cells.get((one, other))
            if cell is None:
                plot.text(column, row, "not run", color=COLOURS.muted, fontsize=8, ha="center", va="center")
                continue
            share = (worst - goodness(cell.estimate.value, comparison.better)) / (worst - best) if worst > best else 1.0
            ink = "#ffffff" if share > 0.45 else "#1a1a1a"
            plot.add_patch(_cell(column, row, _shade(share), cell is found[0]))
            mean, half = format_value(cell.estimate.value, comparison.unit), _half_width(cell, comparison.unit)
            plot.text(column, row - 0.1, mean, color=ink, fontsize=9.5, ha="center", va="center")
            plot.text(column, row + 0.22, half, color=ink, fontsize=7, ha="center", va="center")
    plot.set(xlim=(-0.52, len(across) - 0.48), ylim=(len(down) - 0.48, -0.52))
    plot.set_xticks(range(len(across)), [plain_text(text, 20) for text in across])
    plot.set_yticks(range(len(down)), [plain_text(text, 20) for text in down])
    plot.spines[:].set_visible(False)
    plot.tick_params(length=0)
    name_axes(plot, pair[1], pair[0])
    caption = f"Mean over seeds and half of its 95 % interval; darker is better, the best is framed. {_sentence(notes)}"
    title = f"{pair[0]} x {pair[1]}"
    return ReportPlot(title, svg_element(figure, name, f"{comparison.metric} by {title}"), caption)


def _sentence(notes: Sequence[str]) -> str:
    text = "; ".join(notes)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _half_width(one: Configuration, unit: str) -> str:
    if one.estimate.low is None or one.estimate.high is None:
        return ""
    return f"± {format_value((one.estimate.high - one.estimate.low) / 2, unit).removesuffix(' %')}"


def _shade(share: float) -> tuple[float, float, float]:
    """A blue from light (0) to dark (1)."""
    ends = (0.87, 0.92, 0.97), (0.03, 0.27, 0.53)
    return tuple(a + (b - a) * share for a, b in zip(*ends, strict=True))  # type: ignore[return-value]


def _cell(column: int, row: int, colour: tuple[float, float, float], framed: bool) -> "Rectangle":
    # here: Matplotlib takes long to import
    from matplotlib.patches import Rectangle

    edge, width = (COLOURS.ink, 2.0) if framed else (COLOURS.paper, 1.0)
    return Rectangle(
        (column - 0.48, row - 0.47), 0.96, 0.94, facecolor=colour, edgecolor=edge, linewidth=width, zorder=1.5 + framed
    )
