"""Plots of a search: how it went, which axes mattered, which values did well."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from siamese_lab.plots._style import BLUE, LIGHT, LINE, ORANGE, SHADES, SMALL, TICK, legend_below, panels
from siamese_lab.sweep.search.axes import Axis, Numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 12  # axes that are drawn, the most important first


@dataclass(frozen=True)
class Tried:
    """A point that was tried.

    Args:
        value: its objective; of a pruned one, the last figure before it was stopped; None where there is none.
        state: of its run.
        values: {parameter's name: value}, numbers as such.
    """

    value: float | None
    state: str
    values: Mapping[str, str | int | float]


def history_plot(tried: Sequence[Tried], metric: str, better: Literal["low", "high"], title: str = "") -> "Figure":
    """The objective of each point in the order they were begun, and the best so far.

    Args:
        tried: in that order.
        metric: name of the objective.
        better: which way it is.
        title: of the plot.
    """
    from matplotlib.ticker import MaxNLocator

    figure, (axes,) = panels(1, title)
    order = range(1, len(tried) + 1)
    finished = [
        (i, t.value) for i, t in zip(order, tried, strict=True) if t.value is not None and t.state in ("ok", "timeout")
    ]
    pruned = [(i, t.value) for i, t in zip(order, tried, strict=True) if t.value is not None and t.state == "pruned"]
    without = [i for i, t in zip(order, tried, strict=True) if t.value is None and t.state != "running"]
    best = best_so_far([value for _, value in finished], better)
    if finished:
        axes.step(
            [*(i for i, _ in finished), len(tried)],
            [*best, best[-1]],
            where="post",
            color=BLUE,
            linewidth=LINE,
            label="best so far",
        )
        axes.plot(
            *zip(*finished, strict=True),
            linestyle="none",
            marker="o",
            markersize=5,
            color=BLUE,
            alpha=0.55,
            label="a point",
        )
    if pruned:
        axes.plot(
            *zip(*pruned, strict=True),
            linestyle="none",
            marker="v",
            markersize=5,
            color=LIGHT.muted,
            label="stopped early",
        )
    if without:
        axes.plot(
            without,
            [0.0] * len(without),
            transform=axes.get_xaxis_transform(),
            label="no figure: diverged or failed",
            linestyle="none",
            marker="x",
            markersize=6,
            color=ORANGE,
            clip_on=False,
            zorder=5,
        )
    axes.set_xlabel("points, in the order they were begun")
    axes.set_ylabel(f"{metric} ({'lower' if better == 'low' else 'higher'} is better)")
    axes.set_xlim(0.5, max(len(tried), 1) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_below(axes, columns=4)
    return figure


def best_so_far(values: Sequence[float], better: Literal["low", "high"]) -> list[float]:
    """The best of the values up to each one."""
    found: list[float] = []
    for value in values:
        found.append(value if not found else (min if better == "low" else max)(found[-1], value))
    return found


def importance_plot(shares: Mapping[str, float], points: int, title: str = "") -> "Figure":
    """How much each axis matters, see `search_importance`.

    Args:
        shares: {parameter's name: its share, all together 1}.
        points: that they are estimated from.
        title: of the plot.
    """
    ranked = sorted(shares.items(), key=lambda one: one[1])[-MOST:]
    figure, (axes,) = panels(1, title, height=1.6 + 0.36 * len(ranked))
    bars = axes.barh([name for name, _ in ranked], [100 * share for _, share in ranked], color=BLUE, height=0.6)
    axes.bar_label(bars, fmt="%.0f %%", padding=3, fontsize=TICK, color=LIGHT.ink)
    axes.set_xlim(0, 100 * max(shares.values()) * 1.15)
    axes.set_xlabel(f"share of the variance that the axes explain one by one, % ({points} points)")
    axes.grid(axis="y", visible=False)
    return figure


def value_plots(tried: Sequence[Tried], by_name: Mapping[str, Axis], metric: str, title: str = "") -> "Figure":
    """The objective over each axis, a panel each; later points are darker.

    Args:
        tried: in the order they were begun; those without an objective are left out.
        by_name: the axis of each parameter, the most important first.
        metric: name of the objective.
        title: of the plot.
    """
    shown = dict(list(by_name.items())[:MOST])
    figure, shown_axes = panels(len(shown), title)
    finished = [(t.value, t.values) for t in tried if t.value is not None and t.state in ("ok", "timeout")]
    for panel, (name, axis) in zip(shown_axes, shown.items(), strict=True):
        here = [(i, value, drawn[name]) for i, (value, drawn) in enumerate(finished) if name in drawn]
        shades = [0.25 + 0.75 * (i + 1) / len(finished) for i, _, _ in here]
        heights = [value for _, value, _ in here]
        if isinstance(axis, Numbers):
            places = [float(drawn) for _, _, drawn in here]
            if axis.log:
                panel.set_xscale("log")
        else:
            places = [axis.names.index(str(drawn)) + 0.3 * (math.modf(i * 0.618)[0] - 0.5) for i, _, drawn in here]
            panel.set_xticks(range(len(axis.names)), axis.names, rotation=0 if len(" ".join(axis.names)) < 30 else 30)
            panel.set_xlim(-0.5, len(axis.names) - 0.5)
        panel.scatter(places, heights, c=shades, cmap=SHADES, vmin=0, vmax=1, s=26, edgecolors=BLUE, linewidths=0.5)
        panel.set_xlabel(name)
        panel.sharey(shown_axes[0])
        panel.set_ylabel(metric, fontsize=SMALL)
    return figure
