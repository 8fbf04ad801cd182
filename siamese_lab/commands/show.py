"""`siamese-lab show`: the groups, their options, and an option's parameters with defaults, ranges and source."""

import inspect
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from siamese_lab.config.groups import folders, group_names, option_file, option_names
from siamese_lab.config.instantiate import TARGET, is_given
from siamese_lab.config.options import _content, _wrapped, option_parameters, source, stated, summary
from siamese_lab.config.targets import resolve_target
from siamese_lab.core.paths import config_dir
from siamese_lab.core.typecheck import parameters


def command(group: str | None = None, name: str | None = None, config_dirs: Sequence[Path] = ()) -> None:
    """Prints what there is: all groups, a group's options, or an option's parameters.

    Raises:
        LabError: if there is no such group or option.
    """
    dirs = folders(config_dir(), config_dirs)
    if group is None:
        rows = [(g, ", ".join(option_names(g, dirs))) for g in group_names(dirs)]
        _print_table("siamese-lab train GROUP=OPTION", ("group", "options"), rows)
    elif name is None:
        if group not in group_names(dirs):
            option_file(group, "", dirs)  # raises, naming the groups
        rows = [(option, summary(option_file(group, option, dirs))) for option in option_names(group, dirs)]
        _print_table(f"siamese-lab train {group}=OPTION", ("option", "what it is"), rows)
    else:
        _print_option(group, name, option_file(group, name, dirs))


def _print_option(group: str, name: str, path: Path) -> None:
    content = _content(path)
    facts = [("option", f"{group}={name}"), ("file", str(path)), ("what it is", summary(path))]
    if TARGET in content:
        target = resolve_target(content[TARGET])
        given = [p.name for p in parameters(target).values() if p.name not in content and is_given(p)]
        facts += [("target", str(content[TARGET])), *stated(target).items()]
        facts += [("source", source(inspect.getdoc(target) or "")), ("given by the run", ", ".join(given))]
    _print_table("", ("", ""), [fact for fact in facts if fact[1]])
    rows = [(p.name, p.kind, p.default, p.note) for p in option_parameters(path)]
    prefix = f"{group}.{name}" if _wrapped(path) else group
    if rows:
        title = f"siamese-lab train {group}={name} {prefix}.{rows[0][0]}=..." if group != "experiment" else ""
        _print_table(title, ("parameter", "type", "default", "meaning"), rows)


def _print_table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A rich table on a terminal; plain columns, a row a line, in a pipe."""
    rows = [[str(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        if title:
            print(title)
        widths = [max((len(row[i]) for row in [heads, *rows]), default=0) for i in range(len(heads))]
        for row in [heads, *rows] if any(heads) else rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        return
    # here: rich takes long to import
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", title_style="dim", box=box.SIMPLE_HEAD)
    table.show_header = any(heads)
    for i, head in enumerate(heads):
        table.add_column(head, style="bold" if i == 0 else None, overflow="fold", no_wrap=i == 0)
    for row in rows:
        table.add_row(*[Text(cell) for cell in row])  # Text: brackets in a default are no markup
    Console().print(table)
