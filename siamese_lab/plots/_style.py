"""One style for every plot: colours, sizes of letters, and the figures and axes that start with them.

The PNGs of runs and searches have the light theme. The page of a comparison has both, as variables of its stylesheet.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from siamese_lab.core.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Theme:
    """Colours as "#rrggbb".

    Args:
        paper: the background.
        raised: the background of what stands out a little.
        ink: text.
        muted: text and lines of less weight.
        grid: lines behind the data.
        accent: what can be clicked.
        good: what is shown, or right.
        series: six colours that are told apart by all readers, on `paper` and in print; the first two are those of
            positive and negative pairs.
    """

    paper: str
    raised: str
    ink: str
    muted: str
    grid: str
    accent: str
    good: str
    series: tuple[str, ...]


LIGHT = Theme(
    paper="#ffffff",
    raised="#f5f6f8",
    ink="#1c2026",
    muted="#5d6672",
    grid="#e3e6ea",
    accent="#0b62a4",
    good="#00664c",
    series=("#0b62a4", "#c04a00", "#00795a", "#9a3f7d", "#8a6200", "#52606d"),
)
DARK = Theme(
    paper="#14171c",
    raised="#1d2128",
    ink="#e8eaed",
    muted="#9aa4b0",
    grid="#323944",
    accent="#6fb7f2",
    good="#5fd0a8",
    series=("#6fb7f2", "#ff9a5c", "#5fd0a8", "#e79ccb", "#e0b64a", "#a9b6c2"),
)
BLUE, ORANGE = LIGHT.series[:2]
SHADES = "Blues"  # matplotlib's name of the colours of a share, from little to much
MARKERS = ("o", "s", "^", "D", "v", "P")  # one a series
DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1.5, 1.2)),
    (0, (6, 1.5, 1.5, 1.5)),
    (0, (3, 1)),
    (0, (8, 2)),
)  # one a series

TITLE, LABEL, TICK, SMALL, TINY = 11.0, 9.5, 9.0, 8.0, 7.0  # heights of letters in points
LINE, THIN = 1.8, 0.9  # widths of lines in points
DPI = 120  # pixels an inch of the PNGs


def new_figure(
    width: float, height: float, title: str = "", *, title_size: float = TITLE, constrained: bool = True
) -> "Figure":
    """An empty figure on white.

    Args:
        width, height: in inches.
        title: above all axes.
        title_size: of its letters, in points.
        constrained: whether matplotlib lays the axes out; that takes longer than drawing a simple plot.
    """
    from matplotlib.figure import Figure  # without pyplot, which keeps every figure and picks a window system

    figure = Figure(figsize=(width, height), layout="constrained" if constrained else None, facecolor=LIGHT.paper)
    if title:
        figure.suptitle(title, fontsize=title_size, color=LIGHT.ink, parse_math=False)
    return figure


def titled_axes(title: str) -> tuple["Figure", "Axes"]:
    """A figure of 6.4 x 4.8 inches with one pair of axes that leave room for `legend_below`."""
    figure = new_figure(6.4, 4.8, constrained=False)
    axes = figure.add_axes((0.115, 0.26, 0.845, 0.67))
    axes.set_title(title, fontsize=TITLE, color=LIGHT.ink)
    style_axes(axes)
    return figure, axes


def style_axes(axes: "Axes", theme: Theme = LIGHT) -> None:
    """Grid behind the data, no line above and on the right, ticks and names in the theme's colours."""
    axes.grid(color=theme.grid, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    for spine in axes.spines.values():
        spine.set_color(theme.muted)
        spine.set_linewidth(0.8)
    axes.tick_params(colors=theme.muted, labelcolor=theme.ink, labelsize=TICK, width=0.8, length=3)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(theme.ink)
        label.set_fontsize(LABEL)


def legend_below(axes: "Axes", columns: int = 2) -> None:
    """The legend below the axes, where it hides no curve; nothing where there is nothing to name."""
    handles, names = axes.get_legend_handles_labels()
    if handles:
        axes.legend(
            handles,
            names,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.15),
            ncols=columns,
            frameon=False,
            fontsize=SMALL,
            labelcolor=LIGHT.ink,
        )


def mark_point(axes: "Axes", x: float, y: float, label: str) -> None:
    """Marks the point of a threshold on a curve."""
    axes.plot(
        [x],
        [y],
        label=label,
        color=ORANGE,
        marker="D",
        markersize=6,
        markeredgecolor=LIGHT.paper,
        linestyle="none",
        zorder=5,
        clip_on=False,
    )


def pixels(figure: "Figure", dpi: int = DPI) -> NDArray[np.uint8]:
    """The plot as uint8 (H, W, 3)."""
    # here: Matplotlib takes long to import
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[:, :, :3]


def save_png(figure: "Figure", path: Path) -> None:
    """Writes the plot, without the version of matplotlib: equal plots are equal files."""
    held = io.BytesIO()
    figure.savefig(held, format="png", dpi=DPI, metadata={"Software": None})
    write_bytes(path, held.getvalue())


def panels(count: int, title: str, height: float = 4.8) -> tuple["Figure", Sequence["Axes"]]:
    """A figure of up to three panels a row; `height` is that of a single one, in inches."""
    columns = min(3, count)
    rows = -(-count // max(columns, 1))
    size = (6.4, height) if count == 1 else (3.6 * columns, 3.0 * rows + 0.3)
    figure = new_figure(*size, title)
    found = [figure.add_subplot(rows, columns, place + 1) for place in range(count)]
    for axes in found:
        style_axes(axes)
    return figure, found


def load_fonts() -> None:
    """Draws an empty plot, so that fonts and the parser of formulas are loaded for this process and its forks."""
    figure, axes = titled_axes("no curve")
    axes.set_xscale("log")
    axes.plot([1e-3, 1], [0, 1], label="none")
    legend_below(axes)
    pixels(figure)
