"""The page's tables: rows that sort and filter, with intervals drawn on one scale down the column."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from siamese_lab.compare.analysis.comparison import COSTS, Comparison, Configuration, Run
from siamese_lab.compare.analysis.contrasts import figure_value
from siamese_lab.compare.report import numbers, sentences
from siamese_lab.compare.selection.axes import all_numbers
from siamese_lab.core.text import format_value
from siamese_lab.statistics.estimates import Estimate

WIDTH, MARGIN = 150, 6  # of a drawn interval, pixels; as in page.css
MANY = 18  # rows from which a table scrolls by itself


@dataclass(frozen=True)
class Span:
    """A drawn interval and its middle, in pixels from the left end of its column.

    Args:
        low, high: the ends; None where there is no interval.
        middle: the value.
        zero: where 0 lies; None where it is not marked.
        firm: whether it is drawn full, not hollow.
    """

    low: float | None
    middle: float | None
    high: float | None
    zero: float | None
    firm: bool


@dataclass(frozen=True)
class Cell:
    """One cell.

    Args:
        text: its content.
        key: what it sorts by; None = its text; "" = unknown, last.
        css: its class, "n" for numbers.
        mark: how the text is set off: "code", "front" (of figure and cost) or "yes"; "" = not at all.
        span: what is drawn in place of the text.
    """

    text: str
    key: str | None = None
    css: str = ""
    mark: Literal["", "code", "front", "yes"] = ""
    span: Span | None = None


@dataclass(frozen=True)
class Heading:
    """Text and class of a column's heading; `ends` are written at the two ends below it, where intervals are drawn."""

    text: str
    css: str = ""
    ends: tuple[str, str] | None = None


@dataclass(frozen=True)
class PageTable:
    """A table that sorts and filters; `name` says in the plural what its rows are, and is its id."""

    name: str
    headings: Sequence[Heading]
    rows: Sequence[Sequence[Cell]]

    @property
    def long(self) -> bool:
        """Whether it scrolls by itself."""
        return len(self.rows) > MANY


def number_cell(content: str, key: float | None) -> Cell:
    """A cell of a number that is written with a unit."""
    return Cell(content, "" if key is None else repr(float(key)), "n")


def configuration_table(comparison: Comparison) -> PageTable:
    """The means with their intervals, the best first."""
    unit, found = comparison.unit, comparison.configurations
    estimates = [one.estimate for one in found]
    ends = _ends([end for one in estimates for end in (one.low, one.high, one.value)])
    costs = [cost for cost in COSTS if any(cost in one.cost for one in found)]
    axes = [
        Heading(axis, "n" if all_numbers([one.point[axis] for one in found if axis in one.point]) else "")
        for axis in comparison.axes
    ]
    headings = [
        Heading("#", "n"),
        *(axes or [Heading("configuration")]),
        *(Heading(name, "n") for name in ("seeds", "mean", "95 % interval")),
        Heading("drawn", ends=(format_value(ends[0], unit), format_value(ends[1], unit))),
        *(Heading(numbers.COST_NAMES.get(cost, cost), "n") for cost in costs),
    ]
    rows = []
    for place, one in enumerate(found, 1):
        middle = one.estimate.value
        rows.append(
            [
                number_cell(str(place), place),
                *([_axis_cell(one.point.get(axis.text), axis.css) for axis in axes] or [Cell(comparison.title)]),
                number_cell(str(len(one.seeds)), len(one.seeds)),
                number_cell(format_value(middle, unit), middle),
                number_cell(numbers.mean_interval(one, unit), one.estimate.low),
                Cell("", repr(middle), span=_span(one.estimate, ends)),
                *(_cost_cell(one, cost, comparison) for cost in costs),
            ]
        )
    return PageTable("configurations", headings, rows)


def difference_table(comparison: Comparison) -> PageTable:
    """The contrasts, with what they show."""
    unit = comparison.unit
    gains = [one.gain for one in comparison.contrasts if one.gain]
    ends = _ends([0.0, *(end for gain in gains for end in (gain.low, gain.high, gain.value))])
    scale = 100 if unit == "share" else 1
    headings = [
        Heading("better"),
        Heading("worse"),
        Heading(numbers.difference_unit(unit), "n"),
        Heading("95 % interval", "n"),
        Heading("drawn", ends=(f"{scale * ends[0]:.3g}", f"{scale * ends[1]:.3g}")),
        *(Heading(name, "n") for name in ("p (adjusted)", "seeds", "seeds needed")),
        Heading("shown"),
    ]
    unknown = number_cell("", None)
    rows = []
    for one in comparison.contrasts:
        gain, names = one.gain, [Cell(one.left.short), Cell(one.right.short)]
        if gain is None:
            note = Cell(sentences.contrast_note(one), css="dim")
            rows.append([*names, unknown, unknown, Cell("", ""), unknown, unknown, unknown, note])
            continue
        span = _span(gain, ends, zero=True, firm=one.shown)
        rows.append(
            [
                *names,
                number_cell(numbers.difference_text(gain.value, gain, unit), gain.value),
                number_cell(numbers.interval_ends(gain, unit), gain.low),
                Cell("", repr(gain.value), span=span),
                number_cell(numbers.p_text(one.adjusted), one.adjusted),
                number_cell(str(gain.seeds), gain.seeds),
                number_cell(numbers.needed_text(gain), gain.needed),
                Cell("yes", mark="yes") if one.shown else Cell("no"),
            ]
        )
    return PageTable("differences", headings, rows)


def run_table(comparison: Comparison) -> PageTable:
    """Every run, also those that do not count."""
    unit, rows = comparison.unit, []
    for one in comparison.choices:
        for run in one.runs:
            figure, seconds = figure_value(run, comparison.metric, comparison.part), run.cost["seconds"]
            time = number_cell(numbers.cost_text(seconds, "seconds"), seconds)
            value = number_cell(format_value(figure, unit), figure)
            rows.append([*_run_cells(run, one.name), value, time, Cell(run.state), Cell("", css="why")])
    for run in comparison.left_out:
        point = " ".join(f"{key}={text}" for key, text in run.point.items())
        unknown = [number_cell("", None)] * 2
        rows.append([*_run_cells(run, point), *unknown, Cell(run.state), Cell(f"left out: {run.why}", css="why")])
    numeric = ("seed", comparison.metric, "time")
    headings = [Heading(name) for name in ("run", "configuration", *numeric, "state", "note")]
    headings[2:5] = [Heading(name, "n") for name in numeric]
    return PageTable("runs", headings, rows)


def _run_cells(run: Run, configuration: str) -> list[Cell]:
    try:
        seed = float(run.seed)
    except ValueError:
        seed = None
    return [Cell(run.name, mark="code"), Cell(configuration), number_cell(run.seed, seed)]


def _axis_cell(content: str | None, css: str) -> Cell:
    return Cell("–", "", f"dim {css}".strip()) if content is None else Cell(content, css=css)


def _cost_cell(one: Configuration, cost: str, comparison: Comparison) -> Cell:
    """A cost, marked where the configuration is on its front."""
    if cost not in one.cost:
        return number_cell("", None)
    best = one in comparison.fronts.get(cost, [])
    return Cell(numbers.cost_text(one.cost[cost], cost), repr(one.cost[cost]), "n", mark="front" if best else "")


def _ends(values: Sequence[float | None]) -> tuple[float, float]:
    known = [one for one in values if one is not None]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _span(estimate: Estimate, ends: tuple[float, float], *, zero: bool = False, firm: bool = True) -> Span:
    """An interval and its middle on a line from `ends[0]` to `ends[1]`."""

    def pixels(one: float | None) -> float | None:
        return None if one is None else MARGIN + (WIDTH - 2 * MARGIN) * (one - ends[0]) / (ends[1] - ends[0])

    low, middle, high = map(pixels, (estimate.low, estimate.value, estimate.high))
    return Span(low, middle, high, pixels(0) if zero else None, firm)
