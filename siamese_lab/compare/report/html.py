"""A comparison as one HTML file: everything is in it, nothing is fetched, and its own policy forbids that anything
were.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from siamese_lab.compare.analysis.comparison import Comparison
from siamese_lab.compare.report import html_tables, sentences
from siamese_lab.compare.report.plots import comparison_pictures
from siamese_lab.compare.report.svg import Picture

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
FIRST = 12  # sentences that stand open


def html_page(comparison: Comparison) -> str:
    """The text of the page."""
    folder = Path(__file__).parent
    css, script = (folder.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    pictures, lacking = comparison_pictures(comparison)
    title = escape(f"{comparison.title}: {comparison.metric}")
    body = [
        _head(comparison),
        "<h2>What can be said</h2>",
        _said(comparison),
        "<h2>Configurations</h2>",
        f'<p class="small">{escape(_read(comparison))}</p>',
        html_tables.configurations(comparison),
    ]
    if comparison.contrasts:
        below = escape(
            f"{sentences.family(comparison)} Hollow: not shown. Seeds needed: for 80 % power, were the difference as "
            "seen."
        )
        body += ["<h2>Differences</h2>", f'<p class="small">{below}</p>', html_tables.differences(comparison)]
    if pictures or lacking:
        body += ["<h2>Plots</h2>", _plots(pictures), _list(lacking, "note")]
    front = sentences.front(comparison)
    if front:
        body += ["<h2>Figure against cost</h2>", _list(front)]
    body += ["<h2>Runs</h2>", html_tables.runs(comparison), "<h2>To bear in mind</h2>", _list(_notes(comparison))]
    made = datetime.now(UTC).isoformat(sep=" ", timespec="minutes").removesuffix("+00:00")
    body.append(f"<footer>siamese-lab compare, {made} UTC. This file is whole: it fetches nothing.</footer>")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" '
        f'content="{POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" '
        f'href="data:,"><title>{title}</title>'
        f"<style>\n{css}</style></head><body><main>\n"
        + "\n".join(body)
        + f"\n</main><script>\n{script}</script></body></html>\n"
    )


def _head(comparison: Comparison) -> str:
    way = "lower is better" if comparison.better == "low" else "higher is better"
    count = sentences.counted(len(comparison.configurations), "configuration")
    if comparison.by:
        count = f"{sentences.counted(len(comparison.configurations), 'level')} of {', '.join(comparison.by)}"
    facts = f"{count}, {sentences.counted(len(comparison.runs), 'run')}; {sentences.part(comparison)}"
    return (
        f'<h1>{escape(comparison.title)}</h1><p class="lead"><b>{escape(comparison.metric)}</b>, {way}. '
        f"{escape(facts)}.</p>"
    )


def _said(comparison: Comparison) -> str:
    lines = [
        f'<li class="{"shown" if one.shown else "open"}">{escape(sentences.contrast_sentence(one, comparison))}</li>'
        for one in comparison.contrasts
    ]
    summary = sentences.summary(comparison)
    made = f'<p class="verdict">{escape(summary)}</p>' if summary else ""
    if not lines:
        made += "<p>One configuration only: there is nothing to compare it with.</p>"
    else:
        made += f"<ul>{''.join(lines[:FIRST])}</ul>"
    if lines[FIRST:]:
        made += f"<details><summary>{len(lines) - FIRST} more</summary><ul>{''.join(lines[FIRST:])}</ul></details>"
    return made + f'<p class="small">{escape(sentences.generalises(comparison))}</p>'


def _read(comparison: Comparison) -> str:
    return (
        "Means over seeds. Two intervals that overlap may still belong to a real difference: the differences below "
        "are paired, "
        "and are what decides."
        + (" A cost in bold: no other configuration is better for less." if comparison.fronts else "")
    )


def _plots(pictures: Sequence[Picture]) -> str:
    return '<div class="plots">' + "".join(map(_figure, pictures)) + "</div>"


def _figure(picture: Picture) -> str:
    caption = f"<figcaption>{escape(picture.caption)}</figcaption>"
    return f"<figure><h3>{escape(picture.title)}</h3>{picture.svg}{caption}</figure>"


def _notes(comparison: Comparison) -> list[str]:
    return [
        *sentences.openings(comparison),
        *sentences.caveats(comparison),
        *(f"left out: {x}" for x in sentences.left_out(comparison)),
    ]


def _list(lines: Sequence[str], css: str = "") -> str:
    return f'<ul class="{css}">' + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>" if lines else ""
