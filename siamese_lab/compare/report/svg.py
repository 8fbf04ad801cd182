"""Plots for the page as SVG that uses its colour variables, so that they are readable in the light and dark theme."""

import io
import re
from dataclasses import asdict, dataclass
from html import escape
from typing import TYPE_CHECKING

from siamese_lab.plots._style import LABEL, SMALL, Theme, new_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

_SERIES = tuple(f"#0505{number:02x}" for number in range(1, 7))
COLOURS = Theme("#040404", "#060606", "#010101", "#020202", "#030303", "#070707", "#080808", _SERIES)
"""Colours that stand for the page's own: no colour of a theme is as dark, and each is replaced by a variable."""


def css_variables(theme: Theme) -> dict[str, str]:
    """{variable of the stylesheet: colour}."""
    named = {f"--{name}": colour for name, colour in asdict(theme).items() if name != "series"}
    return named | {f"--series-{number}": colour for number, colour in enumerate(theme.series)}


@dataclass(frozen=True)
class ReportPlot:
    """One plot of the page.

    Args:
        title: above it.
        svg: an <svg> element that needs the page's colour variables.
        caption: below it: what is drawn and how to read it.
    """

    title: str
    svg: str
    caption: str


def plot_axes(width: float = 6.2, height: float = 3.9) -> tuple["Figure", "Axes"]:
    """An empty plot of this size in inches."""
    figure = new_figure(width, height)
    figure.patch.set_visible(False)
    axes = figure.add_subplot()
    axes.patch.set_visible(False)
    style_axes(axes, COLOURS)
    return figure, axes


def name_axes(axes: "Axes", x: str, y: str) -> None:
    """Labels the axes."""
    axes.set_xlabel(plain_text(x), fontsize=LABEL)
    axes.set_ylabel(plain_text(y), fontsize=LABEL)


def legend_above(axes: "Axes", columns: int = 2) -> None:
    """The legend, above the axes where it hides nothing."""
    handles, names = axes.get_legend_handles_labels()
    if handles:
        look = {"frameon": False, "fontsize": SMALL + 0.5, "labelcolor": COLOURS.ink, "handlelength": 2.6}
        place = {"ncols": columns, "bbox_to_anchor": (0, 1.0), "borderaxespad": 0.2, "columnspacing": 1.4}
        texts = [plain_text(name) for name in names]
        axes.legend(handles, texts, loc="lower left", **look, **place).set_in_layout(True)


def few_ticks(axis: "Axis") -> None:
    """No ticks between those that are named."""
    # here: Matplotlib takes long to import
    from matplotlib.ticker import NullLocator

    axis.set_minor_locator(NullLocator())


def in_unit(axis: "Axis", unit: str) -> None:
    """Writes the values of a figure; shares are drawn in percent."""
    if unit == "share":
        axis.set_major_formatter(lambda value, _: f"{value:.3g} %")


def plain_text(text: str, most: int = 60) -> str:
    """A text that matplotlib draws as it stands: `$` begins no formula; cut where it is very long."""
    return (text if len(text) <= most else text[: most - 1] + "…").replace("$", r"\$")


def svg_element(figure: "Figure", name: str, described: str, titles: dict[str, str] | None = None) -> str:
    """The plot as an <svg> element for a page.

    Args:
        figure: from `plot_axes`.
        name: unique on the page, of letters: it goes before every id.
        described: for those who do not see it.
        titles: {gid of an artist: what a pointer over it is told}.
    """
    # here: Matplotlib takes long to import
    from matplotlib import rc_context

    file = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "svg.id": None}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = file.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->\s*", "", text[text.index("<svg") :], flags=re.DOTALL)
    for gid, words in (titles or {}).items():
        text = text.replace(f'<g id="{gid}">', f'<g id="{gid}"><title>{escape(words)}</title>')
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'((?:xlink:)?href="#|url\(#)', rf"\1{name}-", text)
    for variable, colour in css_variables(COLOURS).items():
        text = text.replace(colour, f"var({variable})")
    text = re.sub(r"font-family: [^;\"]+", "font-family: var(--font)", text)
    head = f'<svg role="img" aria-label="{escape(described)}"'
    return re.sub(r'<svg[^>]*?viewBox="([^"]*)"[^>]*>', rf'{head} viewBox="\1">', text, count=1, flags=re.DOTALL)
