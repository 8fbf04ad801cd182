"""Plots of a search: how it went, which axes mattered, which values did well."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from siamese_lab.plots._style import BLUE, LIGHT, LINE, ORANGE, SHADES, SMALL, TICK, legend_below, panels
from siamese_lab.sweep.search.axes import Axis, Numbers, ParameterValue

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_AXES = 12  # that are drawn, the most important first


@dataclass(frozen=True)
class TriedPoint:
    """A point that was tried.

    Args:
        value: its objective; of a pruned one, the last figure before it was stopped; None where there is none.
        state: of its run.
        values: {parameter's name: value}, numbers as such.
    """

    value: float | None
    state: str
    values: Mapping[str, ParameterValue]

    @property
    def finished(self) -> float | None:
        """The objective of a run that went to its end; else None."""
        return self.value if self.state in ("ok", "timeout") else None


def history_plot(
    points: Sequence[TriedPoint], metric: str, better: Literal["low", "high"], title: str = ""
) -> "Figure":
    """The objective of each point in the order they were begun, and the best so far."""
    # here: Matplotlib takes long to import
    from matplotlib.ticker import MaxNLocator

    figure, (axes,) = panels(1, title)
    numbered = list(enumerate(points, start=1))
    finished = [(i, p.finished) for i, p in numbered if p.finished is not None]
    pruned = [(i, p.value) for i, p in numbered if p.value is not None and p.state == "pruned"]
    without = [(i, 0.0) for i, p in numbered if p.value is None and p.state != "running"]
    if finished:
        best = best_so_far([value for _, value in finished], better)
        ends = [*(i for i, _ in finished), len(points)]
        axes.step(ends, [*best, best[-1]], where="post", color=BLUE, linewidth=LINE, label="best so far")
        axes.plot(*zip(*finished, strict=True), "o", markersize=5, color=BLUE, alpha=0.55, label="a point")
    if pruned:
        axes.plot(*zip(*pruned, strict=True), "v", markersize=5, color=LIGHT.muted, label="stopped early")
    if without:
        bottom = axes.get_xaxis_transform()
        axes.plot(
            *zip(*without, strict=True), "x", transform=bottom, markersize=6, color=ORANGE, clip_on=False, zorder=5,
            label="no figure: diverged or failed",
        )  # fmt: skip
    axes.set_xlabel("points, in the order they were begun")
    axes.set_ylabel(f"{metric} ({'lower' if better == 'low' else 'higher'} is better)")
    axes.set_xlim(0.5, max(len(points), 1) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_below(axes, columns=4)
    return figure


def best_so_far(values: Sequence[float], better: Literal["low", "high"]) -> list[float]:
    """The best of the values up to each one."""
    return list(itertools.accumulate(values, min if better == "low" else max))


def importance_plot(shares: Mapping[str, float], points: int, title: str = "") -> "Figure":
    """How much each axis matters, see `importance.importance`.

    Args:
        shares: {parameter's name: its share, all together 1}.
        points: that they are estimated from.
    """
    ranked = sorted(shares.items(), key=lambda one: one[1])[-MAX_AXES:]
    figure, (axes,) = panels(1, title, height=1.6 + 0.36 * len(ranked))
    bars = axes.barh([name for name, _ in ranked], [100 * share for _, share in ranked], color=BLUE, height=0.6)
    axes.bar_label(bars, fmt="%.0f %%", padding=3, fontsize=TICK, color=LIGHT.ink)
    axes.set_xlim(0, 100 * max(shares.values()) * 1.15)
    axes.set_xlabel(f"share of the variance that the axes explain one by one, % ({points} points)")
    axes.grid(axis="y", visible=False)
    return figure


def value_plots(points: Sequence[TriedPoint], by_name: Mapping[str, Axis], metric: str, title: str = "") -> "Figure":
    """The objective over each axis, a panel each; later points are darker.

    Args:
        points: in the order they were begun; those without an objective are left out.
        by_name: the axis of each parameter, the most important first.
    """
    shown = dict(list(by_name.items())[:MAX_AXES])
    figure, shown_axes = panels(len(shown), title)
    finished = [(p.finished, p.values) for p in points if p.finished is not None]
    for panel, (name, axis) in zip(shown_axes, shown.items(), strict=True):
        drawn = [(i, value, values[name]) for i, (value, values) in enumerate(finished) if name in values]
        shades = [0.25 + 0.75 * (i + 1) / len(finished) for i, _, _ in drawn]
        heights = [height for _, height, _ in drawn]
        if isinstance(axis, Numbers):
            places = [float(value) for _, _, value in drawn]
            if axis.log:
                panel.set_xscale("log")
        else:
            places = [axis.names.index(str(value)) + 0.3 * (math.modf(i * 0.618)[0] - 0.5) for i, _, value in drawn]
            panel.set_xticks(range(len(axis.names)), axis.names, rotation=0 if len(" ".join(axis.names)) < 30 else 30)
            panel.set_xlim(-0.5, len(axis.names) - 0.5)
        panel.scatter(places, heights, c=shades, cmap=SHADES, vmin=0, vmax=1, s=26, edgecolors=BLUE, linewidths=0.5)
        panel.set_xlabel(name)
        panel.sharey(shown_axes[0])
        panel.set_ylabel(metric, fontsize=SMALL)
    return figure
