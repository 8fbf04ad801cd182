"""The figure against a cost, with the Pareto front of the configurations."""

from math import log10
from typing import TYPE_CHECKING

from siamese_lab.compare.analysis.comparison import COSTS, Comparison
from siamese_lab.compare.report import numbers
from siamese_lab.compare.report.svg import COLOURS, ReportPlot, few_ticks, in_unit, name_axes, plot_axes, svg_element
from siamese_lab.core.text import format_value
from siamese_lab.plots._style import TICK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_BARS = 30  # error bars; more would hide the points


def cost_plot(comparison: Comparison, cost: str) -> ReportPlot | None:
    """The figure against a cost, with the front; None where all cost the same."""
    found = comparison.configurations
    x = [one.cost[cost] for one in found]
    if len(set(x)) == 1 or len(found) == 1:
        return None
    scale = 100 if comparison.unit == "share" else 1
    figure, plot = plot_axes(5.4, 3.9)
    front = comparison.fronts[cost]
    titles = {}
    for number, one in enumerate(found):
        at, mine = one.cost[cost], one in front
        colour = COLOURS.series[0] if mine else COLOURS.muted
        low, high = one.estimate.low, one.estimate.high
        if low is not None and high is not None and (mine or len(found) <= MOST_BARS):
            plot.plot([at, at], [scale * low, scale * high], color=colour, linewidth=1.1, alpha=0.6 if mine else 0.35)
        (point,) = plot.plot([at], [scale * one.estimate.value], color=colour, marker="o", zorder=3 + mine)
        point.set(gid=f"point{number}", markersize=6 if mine else 4, markeredgecolor=COLOURS.paper, linestyle="none")
        shown = format_value(one.estimate.value, comparison.unit), numbers.cost_text(at, cost)
        titles[f"point{number}"] = f"{number + 1}: {one.name}, {', '.join(shown)}"
    if len(front) > 1:
        steps = [one.cost[cost] for one in front], [scale * one.estimate.value for one in front]
        plot.step(*steps, where="post", color=COLOURS.series[0], linewidth=1.4, alpha=0.8, zorder=1)
    if min(x) > 0 and max(x) / min(x) > 5:
        plot.set_xscale("log")
        few_ticks(plot.xaxis)
        _log_ticks(plot, min(x), max(x))
    plot.margins(0.08)
    plot.xaxis.set_major_formatter(lambda x, _: f"{x:g} s" if cost == "seconds" else numbers.cost_text(x, cost))
    in_unit(plot.yaxis, comparison.unit)
    name_axes(plot, COSTS[cost], comparison.metric)
    figure.draw_without_rendering()  # which lays it out
    _number_points(plot, {found.index(one) + 1: (one.cost[cost], scale * one.estimate.value) for one in front})
    names = "; ".join(f"{found.index(one) + 1} {one.short}" for one in front[:8])
    caption = (
        f"On the front, by their number in the table: {names}. No other configuration is better for less. Bars: 95 % "
        "intervals."
    )
    svg = svg_element(figure, f"cost{cost.replace('_', '')}", COSTS[cost], titles)
    return ReportPlot(f"{comparison.metric} against {COSTS[cost]}", svg, caption)


def _log_ticks(plot: "Axes", low: float, high: float) -> None:
    steps = [digit * 10.0**power for power in range(int(log10(low)) - 1, int(log10(high)) + 2) for digit in (1, 2, 5)]
    ticks = [step for step in steps if low / 1.3 <= step <= high * 1.3]
    plot.set_xticks(ticks if len(ticks) <= 7 else [tick for tick in ticks if f"{tick:e}".startswith("1.0")] or ticks)


def _number_points(plot: "Axes", points: dict[int, tuple[float, float]]) -> None:
    """Writes their numbers beside points; those of points that lie on one another together."""
    places = {number: plot.transData.transform(point) for number, point in points.items()}
    groups: list[list[int]] = []
    for number, place in places.items():
        near = next((group for group in groups if (abs(places[group[0]] - place) < (26, 14)).all()), None)
        groups.append([number]) if near is None else near.append(number)
    for group in groups:
        text = plot.annotate(", ".join(map(str, group)), points[group[0]], xytext=(6, 5), textcoords="offset points")
        text.set(color=COLOURS.ink, fontsize=TICK, fontweight="bold")
