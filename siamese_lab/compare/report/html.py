"""A comparison as one HTML file that holds everything; its content security policy forbids it to fetch anything."""

from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from siamese_lab.compare.analysis.comparison import Comparison
from siamese_lab.compare.report import html_tables, numbers, sentences
from siamese_lab.compare.report.plots import comparison_plots
from siamese_lab.compare.report.svg import css_variables
from siamese_lab.plots._style import DARK, LIGHT

FIRST = 12  # sentences that stand open


def html_page(comparison: Comparison) -> str:
    """The text of the page. Whatever comes from runs and studies is escaped by the template."""
    folder = Path(__file__).parent
    css, script = (folder.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    plots, lacking = comparison_plots(comparison)
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("page.html").render(
        comparison=comparison,
        counted=_count_runs(comparison),
        part=sentences.part_phrase(comparison),
        summary=sentences.summary_sentence(comparison),
        claims=[(one.shown, sentences.contrast_sentence(one, comparison)) for one in comparison.contrasts],
        first=FIRST,
        scope=sentences.scope_sentence(comparison),
        family=sentences.family_sentence(comparison),
        configurations=html_tables.configuration_table(comparison),
        differences=html_tables.difference_table(comparison) if comparison.contrasts else None,
        runs=html_tables.run_table(comparison),
        width=html_tables.WIDTH,
        plots=plots,
        lacking=lacking,
        cost_fronts=sentences.cost_front_sentences(comparison),
        notes=sentences.notes(comparison),
        now=datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        css=css,
        light=css_variables(LIGHT),
        dark=css_variables(DARK),
        script=script,
    )


def _count_runs(comparison: Comparison) -> str:
    compared = numbers.counted(len(comparison.configurations), "level" if comparison.by else "configuration")
    of = f" of {', '.join(comparison.by)}" if comparison.by else ""
    return f"{compared}{of}, {numbers.counted(len(comparison.runs), 'run')}"
