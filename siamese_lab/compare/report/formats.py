"""A comparison as text to read: terminal table, Markdown and LaTeX."""

import re
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from siamese_lab.compare.analysis.comparison import COSTS, Comparison
from siamese_lab.compare.report import numbers, sentences
from siamese_lab.core.text import format_value

MOST = 20  # sentences that a terminal is given; the page has all

ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}


def print_table(comparison: Comparison, console: Console) -> None:
    """Prints the table, the sentences, and what has to be borne in mind."""
    console.print(Text(sentences.heading(comparison), style="bold"))
    costs = list(_cost_headings(comparison).values())
    table = _table(comparison, costs)
    while console.is_terminal and costs and _width(table) > console.width:  # the page has the costs that give way
        table = _table(comparison, costs := costs[:-1])
    wide = Console(width=max(_width(table), console.width), file=console.file, force_terminal=console.is_terminal)
    wide.print(table)
    said = [sentences.contrast_sentence(one, comparison) for one in comparison.contrasts]
    if said:
        console.print()
        if summary := sentences.summary_sentence(comparison):
            console.print(Text(summary, style="bold"))
        for words in said[:MOST]:
            console.print(Text(f"- {words}"))
        if len(said) > MOST:
            console.print(Text(f"- and {len(said) - MOST} more: on the page, or with --format md"))
        console.print(Text(sentences.family_sentence(comparison)))
    console.print(Text(sentences.scope_sentence(comparison)))
    for title, lines in (
        ("figure against cost", sentences.cost_front_sentences(comparison)),
        ("notes", sentences.notes(comparison)),
    ):
        if lines:
            console.print(Text(f"\n{title}", style="bold"))
        for line in lines:
            console.print(Text(f"- {line}"))


def markdown(comparison: Comparison) -> str:
    """Tables and sentences in GitHub's Markdown."""
    headings = _headings(comparison)
    lines = [f"**{_md(sentences.heading(comparison))}**", "", _md_row([heading for heading, _ in headings])]
    lines.append("|" + "|".join(" ---: " if right else " --- " for _, right in headings) + "|")
    lines += [_md_row(row) for row in _rows(comparison)]
    if comparison.contrasts:
        lines += ["", *(f"- {_md(sentences.contrast_sentence(one, comparison))}" for one in comparison.contrasts)]
        lines += ["", _md(sentences.family_sentence(comparison))]
    lines += ["", _md(sentences.scope_sentence(comparison))]
    for said in (sentences.cost_front_sentences(comparison), sentences.notes(comparison)):
        lines += [""] * bool(said) + [f"- {_md(line)}" for line in said]
    return "\n".join(lines) + "\n"


def latex(comparison: Comparison) -> str:
    """Two tables for booktabs: the configurations and the differences. Sentences and notes stand as comments."""
    headings = _headings(comparison)
    columns = "".join("r" if right else "l" for _, right in headings)
    caption = f"Mean over seeds of {comparison.metric} with 95 % intervals; {sentences.part_phrase(comparison)}."
    lines = ["% needs \\usepackage{booktabs}", *_comments([sentences.heading(comparison)])]
    lines += _tabular(columns, [heading for heading, _ in headings], _rows(comparison), caption)
    if comparison.contrasts:
        unit = numbers.difference_unit(comparison.unit)
        rows = [
            [
                one.left.name,
                one.right.name,
                numbers.difference_text(one.gain.value, one.gain, comparison.unit) if one.gain else "",
                numbers.interval_ends(one.gain, comparison.unit) if one.gain else sentences.contrast_note(one),
                numbers.p_text(one.adjusted),
            ]
            for one in comparison.contrasts
        ]
        lines += ["", *_comments([sentences.contrast_sentence(one, comparison) for one in comparison.contrasts])]
        head = ["better", "worse", f"difference, {unit}", "95 % interval", "p (adjusted)"]
        caption = f"{sentences.family_sentence(comparison)} {sentences.scope_sentence(comparison)}"
        lines += _tabular("llrrr", head, rows, caption)
    lines += _comments(sentences.notes(comparison))
    return "\n".join(lines) + "\n"


def _table(comparison: Comparison, costs: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, right in _headings(comparison, costs):
        table.add_column(Text(heading), justify="right" if right else "left", no_wrap=True)
    for row in _rows(comparison, costs):
        table.add_row(*(Text(text) for text in row))
    return table


def _width(table: Table) -> int:
    return Console(width=10_000).measure(table).maximum


def _headings(comparison: Comparison, known: Sequence[str] = tuple(COSTS)) -> list[tuple[str, bool]]:
    """Headings, and whether the column is one of numbers."""
    axes = [(axis, False) for axis in comparison.axes] or [("configuration", False)]
    costs = [(heading, True) for heading, cost in _cost_headings(comparison).items() if cost in known]
    return [*axes, ("seeds", True), ("mean", True), ("95 % interval", True), *costs]


def _cost_headings(comparison: Comparison) -> dict[str, str]:
    """Costs by the heading of their column; only those in which the configurations differ, and always the seconds."""
    known = {cost: {one.cost.get(cost) for one in comparison.configurations} for cost in COSTS}
    shown = [cost for cost, found in known.items() if (len(found) > 1 or cost == "seconds") and any(found)]
    return {numbers.COST_NAMES.get(cost, cost): cost for cost in shown}


def _rows(comparison: Comparison, known: Sequence[str] = tuple(COSTS)) -> list[list[str]]:
    rows, unit = [], comparison.unit
    shown = [cost for cost in _cost_headings(comparison).values() if cost in known]
    for one in comparison.configurations:
        axes = [one.point.get(axis, "-") for axis in comparison.axes] or [comparison.title]
        costs = [numbers.cost_text(one.cost[cost], cost) if cost in one.cost else "" for cost in shown]
        mean = [str(len(one.seeds)), format_value(one.estimate.value, unit), numbers.mean_interval(one, unit)]
        rows.append([*axes, *mean, *costs])
    return rows


def _md(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>|#~])", r"\\\1", text)


def _md_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_md, cells)) + " |"


def _tex(text: str) -> str:
    return "".join(ESCAPES.get(letter, letter) for letter in text)


def _comments(lines: Sequence[str]) -> list[str]:
    return [f"% {' '.join(line.split())}" for line in lines]


def _tabular(columns: str, headings: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> list[str]:
    body = [" & ".join(map(_tex, row)) + r" \\" for row in rows]
    return [
        r"\begin{table}",
        rf"  \caption{{{_tex(caption)}}}",
        r"  \centering",
        rf"  \begin{{tabular}}{{{columns}}}",
        r"    \toprule",
        "    " + " & ".join(map(_tex, headings)) + r" \\",
        r"    \midrule",
        *(f"    {line}" for line in body),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
