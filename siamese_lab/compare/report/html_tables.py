"""The page's tables: rows that sort and filter, with intervals drawn on one scale down the column."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from siamese_lab.compare.analysis.comparison import COSTS, Comparison, Configuration
from siamese_lab.compare.analysis.contrasts import value
from siamese_lab.compare.report import sentences
from siamese_lab.compare.selection.axes import numeric
from siamese_lab.core.text import format_value

WIDTH, MARGIN = 150, 6  # of a drawn interval, pixels; as in page.css
MANY = 18  # rows from which a table scrolls by itself


@dataclass(frozen=True)
class Cell:
    """One cell.

    Args:
        html: its content, escaped.
        key: what it sorts by; None = its text; "" = unknown, last.
        css: its class, "n" for numbers.
    """

    html: str
    key: str | None = None
    css: str = ""


def text(content: str, css: str = "") -> Cell:
    """A cell of words."""
    return Cell(escape(content), css=css)


def number(content: str, key: float | None) -> Cell:
    """A cell of a number that is written with a unit."""
    return Cell(escape(content), "" if key is None else repr(float(key)), "n")


def table(name: str, headings: Sequence[tuple[str, str, str]], rows: Sequence[Sequence[Cell]]) -> str:
    """A table with a field that filters its rows.

    Args:
        name: of what the rows are, in the plural; also its id.
        headings: text, class and further html below the text, each.
        rows: their cells.
    """
    head = "".join(
        f'<th scope="col" class="{css}"><button type="button">{escape(words)}</button>{below}</th>'
        for words, css, below in headings
    )
    body = []
    for row in rows:
        cells = "".join(_cell(cell) for cell in row)
        body.append(f"<tr>{cells}</tr>")
    long = " long" if len(rows) > MANY else ""
    return (
        f'<section class="table" id="{escape(name)}"><div class="bar"><input type="search" placeholder="filter '
        f'{escape(name)}: words" '
        f'aria-label="filter {escape(name)}"><output class="small" aria-live="polite"></output></div>'
        f'<div class="wrap{long}" tabindex="0" role="region" '
        f'aria-label="{escape(name)}"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div></section>"
    )


def configurations(comparison: Comparison) -> str:
    """The means with their intervals, the best first."""
    unit, found = comparison.unit, comparison.configurations
    ends = _ends(
        [one.estimate.low for one in found]
        + [one.estimate.high for one in found]
        + [one.estimate.value for one in found]
    )
    costs = [cost for cost in COSTS if any(cost in one.cost for one in found)]
    both = "".join(f"<span>{escape(format_value(end, unit))}</span>" for end in ends)
    below = f'<span class="ends">{both}</span>'
    axes = [
        (axis, "n" if numeric([one.point[axis] for one in found if axis in one.point]) else "", "")
        for axis in comparison.axes
    ]
    axes = [
        (axis, "n" if numeric([one.point[axis] for one in found if axis in one.point]) else "", "")
        for axis in comparison.axes
    ]
    headings = [
        ("#", "n", ""),
        *(axes or [("configuration", "", "")]),
        ("seeds", "n", ""),
        ("mean", "n", ""),
        ("95 % interval", "n", ""),
    ]
    headings += [("drawn", "", below), *((_heading(cost), "n", "") for cost in costs)]
    rows = []
    for place, one in enumerate(found, 1):
        low, middle, high = one.estimate.low, one.estimate.value, one.estimate.high
        row = [number(str(place), place)]
        row += [_axis(one.point.get(axis), css) for axis, css, _ in axes] or [text(comparison.title)]
        row += [number(str(len(one.seeds)), len(one.seeds)), number(sentences.mean(one, unit), middle)]
        row += [number(sentences.mean_interval(one, unit), low), Cell(_span(low, middle, high, ends), repr(middle))]
        rows.append([*row, *(_cost(one, cost, comparison) for cost in costs)])
    return table("configurations", headings, rows)


def differences(comparison: Comparison) -> str:
    """The contrasts, with what they show."""
    unit = comparison.unit
    gains = [one.gain for one in comparison.contrasts if one.gain]
    ends = _ends([0.0, *(end for gain in gains for end in (gain.low, gain.high, gain.value))])
    scale = 100 if unit == "share" else 1
    below = f'<span class="ends"><span>{scale * ends[0]:.3g}</span><span>{scale * ends[1]:.3g}</span></span>'
    headings = [("better", "", ""), ("worse", "", ""), (sentences.points(unit), "n", ""), ("95 % interval", "n", "")]
    headings += [
        ("drawn", "", below),
        ("p (Holm)", "n", ""),
        ("seeds", "n", ""),
        ("seeds needed", "n", ""),
        ("shown", "", ""),
    ]
    rows = []
    for one in comparison.contrasts:
        gain = one.gain
        row = [text(one.left.short), text(one.right.short)]
        if gain is None:
            rows.append(
                [*row, *([number("", None)] * 2), Cell("", ""), *([number("", None)] * 3), text(one.note, "dim")]
            )
            continue
        interval = sentences.interval(gain, unit).removeprefix("95 % interval ")
        row += [number(sentences.amount(gain.value, gain, unit), gain.value), number(interval, gain.low)]
        row.append(Cell(_span(gain.low, gain.value, gain.high, ends, zero=True, firm=one.shown), repr(gain.value)))
        row += [number(sentences.p_value(one.adjusted), one.adjusted), number(str(gain.seeds), gain.seeds)]
        row.append(
            number("" if gain.seeds == 1 else f"{gain.needed:,}" if gain.needed else "none would do", gain.needed)
        )
        rows.append([*row, Cell('<span class="yes">yes</span>' if one.shown else "no", css="")])
    return table("differences", headings, rows)


def runs(comparison: Comparison) -> str:
    """Every run, also those that do not count."""
    unit, rows = comparison.unit, []
    for one in comparison.choices:
        for run in one.runs:
            figure = value(run, comparison.metric, comparison.part)
            row = [Cell(f"<code>{escape(run.name)}</code>"), text(one.name), number(run.seed, _number(run.seed))]
            row += [
                number(format_value(figure, unit), figure),
                number(sentences.spent(run.cost["seconds"], "seconds"), run.cost["seconds"]),
            ]
            rows.append([*row, text(run.state), text("", "why")])
    for run in comparison.left_out:
        point = " ".join(f"{key}={text}" for key, text in run.point.items())
        row = [
            Cell(f"<code>{escape(run.name)}</code>"),
            text(point),
            number(run.seed, _number(run.seed)),
            *([number("", None)] * 2),
        ]
        rows.append([*row, text(run.state), text(f"left out: {run.why}", "why")])
    headings = [
        ("run", "", ""),
        ("configuration", "", ""),
        ("seed", "n", ""),
        (comparison.metric, "n", ""),
        ("time", "n", ""),
    ]
    return table("runs", [*headings, ("state", "", ""), ("note", "", "")], rows)


def _cell(cell: Cell) -> str:
    key = "" if cell.key is None else f' data-v="{escape(cell.key)}"'
    css = f' class="{cell.css}"' if cell.css else ""
    return f"<td{css}{key}>{cell.html}</td>"


def _axis(content: str | None, css: str) -> Cell:
    return Cell("–", "", f"dim {css}".strip()) if content is None else text(content, css)


def _cost(one: Configuration, cost: str, comparison: Comparison) -> Cell:
    """A cost, marked where the configuration is on its front."""
    if cost not in one.cost:
        return number("", None)
    words = escape(sentences.spent(one.cost[cost], cost))
    best = any(one is other for other in comparison.fronts.get(cost, []))
    return Cell(f'<span class="front">{words}</span>' if best else words, repr(one.cost[cost]), "n")


def _number(content: str) -> float | None:
    try:
        return float(content)
    except ValueError:
        return None


def _heading(cost: str) -> str:
    return {"seconds": "time", "multiply_adds": "multiply-adds"}.get(cost, cost)


def _ends(values: Sequence[float | None]) -> tuple[float, float]:
    known = [one for one in values if one is not None]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _span(
    low: float | None,
    middle: float,
    high: float | None,
    ends: tuple[float, float],
    *,
    zero: bool = False,
    firm: bool = True,
) -> str:
    """An interval and its middle on a line from `ends[0]` to `ends[1]`."""

    def at(one: float) -> str:
        return f"{MARGIN + (WIDTH - 2 * MARGIN) * (one - ends[0]) / (ends[1] - ends[0]):.1f}"

    parts = [f'<line class="axis" x1="0" x2="{WIDTH}" y1="9" y2="9"/>']
    if zero:
        parts.append(f'<line class="zero" x1="{at(0)}" x2="{at(0)}" y1="0" y2="18"/>')
    if low is not None and high is not None:
        parts.append(f'<line class="line" x1="{at(low)}" x2="{at(high)}" y1="9" y2="9"/>')
    parts.append(f'<circle class="dot" cx="{at(middle)}" cy="9" r="4"/>')
    return (
        f'<svg class="span{"" if firm else " open"}" viewBox="0 0 {WIDTH} 18" aria-hidden="true">{"".join(parts)}</svg>'
    )
