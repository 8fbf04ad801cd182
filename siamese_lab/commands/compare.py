"""`siamese-lab compare`: which runs differ, and whether the difference is real."""

import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from siamese_lab.compare.analysis import marginal
from siamese_lab.compare.analysis.build import build_comparison, chosen_metric, without_metric
from siamese_lab.compare.analysis.comparison import Comparison, Part, Run
from siamese_lab.compare.report import data_formats, formats
from siamese_lab.compare.selection.axes import find_axes
from siamese_lab.compare.selection.mixing import refuse_mixed, remarks
from siamese_lab.compare.selection.select import SEED, Selection, reread, select_runs, with_influences
from siamese_lab.config.trust import LAB_ONLY, Trust, allowed_packages
from siamese_lab.core.errors import LabError
from siamese_lab.core.files import write_text
from siamese_lab.evaluation.unseal import open_test_part
from siamese_lab.runs.folder import RunFolder
from siamese_lab.runs.seal import PLAIN, Opening, read_openings

log = logging.getLogger(__name__)

PRINTED: Mapping[str, Callable[[Comparison], str]] = {
    "md": formats.markdown,
    "latex": formats.latex,
    "csv": data_formats.comma_separated,
    "json": data_formats.as_json,
}


def command(
    names: list[str],
    by: str | None = None,
    metric: str | None = None,
    format: str = "table",
    report: Path | None = None,
    open_test: bool = False,
    force: bool = False,
    trust: Sequence[str] = (),
) -> int:
    """Compares runs by one figure and prints the result.

    Args:
        names: of studies or runs.
        by: axes to compare, averaged over the others; None = every configuration.
        metric: "<protocol>/<figure>"; None = the one that checkpoints were chosen by.
        format: what is printed: "table" in words, or "md", "latex", "csv", "json", "html" and nothing else.
        report: where the page goes; None = with the table of one study, into its folder; else nowhere.
        open_test: compare the test part, computing its figures first; the opening is logged.
        force: compare what is not comparable, and runs that their limit of time ended.
        trust: packages whose code the runs' configs may build from, beside those of SIAMESE_LAB_TRUST; needed to open
            the test part.

    Raises:
        LabError: if there is nothing to compare, or what there is must not be.
    """
    if report is not None and not report.parent.is_dir():
        raise LabError(f"--report needs a file in a folder that is there, got {report}")
    selection, allowed = select_runs(names, force), allowed_packages(trust)
    comparison = compare_runs(selection, by=by, metric=metric, open_test=open_test, force=force, trust=allowed)
    place = report
    if place is None and format == "table" and selection.study is not None:
        place = selection.study / report_name(by, metric, open_test)
    # before printing, which a closed pipe ends
    if place is not None and not _write_page(comparison, place, asked=report is not None):
        place = None
    if format == "table":
        formats.print_table(comparison, Console(highlight=False, soft_wrap=True))
        next_steps(comparison, place)
    elif format == "html":
        print(_page(comparison), end="")
    else:
        print(PRINTED[format](comparison), end="")
    return 0


def _write_page(comparison: Comparison, place: Path, asked: bool) -> bool:
    """Writes the page, and returns whether it could; a write that the user asked for must not fail."""
    try:
        write_text(place, _page(comparison))
    except OSError as error:
        words = f"the page {place} cannot be written: {error.strerror}"
        if asked:
            raise LabError(words) from error
        log.warning(words)
        return False
    return True


def _page(comparison: Comparison) -> str:
    from siamese_lab.compare.report.html import html_page  # here: matplotlib takes a second to import

    return html_page(comparison)


def compare_runs(
    selection: Selection,
    *,
    by: str | None = None,
    metric: str | None = None,
    open_test: bool = False,
    force: bool = False,
    trust: Trust = LAB_ONLY,
) -> Comparison:
    """The comparison of a selection. With `open_test` the sealed test part is opened after all other checks.

    Raises:
        LabError: as `command`.
    """
    part: Part = "test" if open_test else "val"
    runs, rest = [run for run in selection.runs if not run.why], [run for run in selection.runs if run.why]
    if not runs:
        raise LabError(_nothing_finished(selection, rest))
    notes = [*selection.notes, *refuse_mixed(runs, force), *remarks(runs)]
    name = chosen_metric(runs, metric, part)
    if by is not None:
        axes = [axis for axis in selection.axes if axis != SEED] or find_axes(runs)[1]
        marginal.axis_keys(by, axes)  # before anything is opened
    if open_test:
        runs = _open_test(runs, selection.title, trust)
    runs, lacking = without_metric(runs, name, part)
    whole, broken = [], []
    for run in runs:
        try:
            whole.append(with_influences(run, name, part))
        except LabError as error:
            broken.append(Run(run.path, "broken", f"not whole: {error}"))
    if not whole:
        raise LabError(f"no run is whole: {broken[0].why}")
    return build_comparison(
        whole,
        name,
        part,
        title=selection.title,
        axes=selection.axes or None,
        by=by,
        notes=notes,
        left_out=[*rest, *lacking, *broken],
        openings=[one for study in dict.fromkeys(run.path.parent for run in whole) for one in _openings(study)],
    )


def report_name(by: str | None, metric: str | None, open_test: bool) -> str:
    """The page's file name: `report.html`, or another for other arguments, so that no page replaces another."""
    asked = ["report", *([f"by-{by}"] if by else []), *([metric] if metric else []), *(["test"] if open_test else [])]
    return re.sub(r"[^\w.@=-]+", "-", "-".join(asked))[:200] + ".html"


def next_steps(comparison: Comparison, place: Path | None) -> None:
    """Prints where to look next."""
    page = "--report page.html writes a page with tables that sort, and plots"
    lines = ["\nnext", f"  {page if place is None else f'{place}: tables that sort, plots'}"]
    if not comparison.by and len(comparison.axes) > 1:
        lines.append(f"  --by {comparison.axes[0]} averages over the other axes")
    if any(run.state in ("running", "queued", "killed", "failed", "preempted") for run in comparison.left_out):
        lines.append(f"  siamese-lab status {comparison.title}")
    Console(highlight=False, soft_wrap=True).print("\n".join(lines), markup=False)


def _open_test(runs: Sequence[Run], title: str, trust: Trust) -> list[Run]:
    """The runs with their test figures, computed where they are sealed."""
    sealed = [RunFolder(run.path) for run in runs if run.sealed]
    if sealed:
        log.warning("this opens the sealed test part of %d runs; the opening is logged", len(sealed))
        open_test_part(sealed, f"siamese-lab compare {title} --open-test", trust)
    return [reread(run) if run.sealed else run for run in runs]


def _openings(study: Path) -> list[Opening]:
    """The openings of a study; none of plain runs, which always evaluate the test part at their end."""
    return read_openings(study) if study.name != PLAIN else []


def _nothing_finished(selection: Selection, rest: Sequence[Run]) -> str:
    states = ", ".join(f"{count} {state}" for state, count in Counter(run.state for run in rest).most_common())
    first = f" ({rest[0].name}: {rest[0].why})" if rest else ""
    verb = f"rerun {selection.title}" if selection.study else "resume RUN"
    none = f"{selection.title}: no run is finished, so there is nothing to compare"
    return f"{none}: {states or 'no run at all'}{first}; `siamese-lab {verb}` goes on"
