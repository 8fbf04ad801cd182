"""`siamese-lab show`: the groups, their options, and an option's parameters with defaults, ranges and source."""

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from siamese_lab.binding import TARGET, is_given, resolve
from siamese_lab.catalogue import config_dir, folders, groups, option_file, options
from siamese_lab.errors import LabError
from siamese_lab.files import check_yaml
from siamese_lab.signature import describe, known, parameters

ABILITIES = ("eats", "gives", "needs")


@dataclass(frozen=True)
class Parameter:
    """One line of an option."""

    name: str
    kind: str
    default: str
    note: str


def command(group: str | None = None, name: str | None = None, config_dirs: Sequence[Path] = ()) -> None:
    """Prints what there is: all groups, a group's options, or an option's parameters.

    Raises:
        LabError: if there is no such group or option.
    """
    dirs = folders(config_dir(), config_dirs)
    if group is None:
        rows = [(g, ", ".join(options(g, dirs))) for g in groups(dirs)]
        _print_table("siamese-lab train GROUP=OPTION", ("group", "options"), rows)
    elif name is None:
        if group not in groups(dirs):
            option_file(group, "", dirs)  # raises, naming the groups
        rows = [(option, summary(option_file(group, option, dirs))) for option in options(group, dirs)]
        _print_table(f"siamese-lab train {group}=OPTION", ("option", "what it is"), rows)
    else:
        _print_option(group, name, option_file(group, name, dirs))


def summary(path: Path) -> str:
    """What an option is, in a line: the first comment of its yaml up to the end of a sentence, else of its target's docstring."""
    said = ""
    check_yaml(path)
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.removeprefix("#").strip()
        if not line.startswith("#") or said.endswith(".") or (said and not text):
            break
        if not text.startswith("@package"):
            said = f"{said} {text}".strip()
    if said:
        return said
    target = _content(path).get(TARGET)
    return (inspect.getdoc(resolve(target)) or "").partition("\n")[0] if target else ""


def option_parameters(path: Path) -> list[Parameter]:
    """The parameters of an option: name, type, default, and what its target's docstring says of it, else the comment beside it.

    Of other people's targets (torch's optimizers) the comment goes first: their docstrings say much that does not matter here.
    """
    content, notes = _content(path), comments(path.read_text(encoding="utf-8"))
    if _wrapped(path):
        notes = {key.partition(".")[2]: note for key, note in notes.items()}
    target = resolve(content[TARGET]) if TARGET in content else None
    signature = parameters(target) if target else {}
    documented = documented_arguments(inspect.getdoc(target) or "") if target else {}
    rows = []
    for name, value in _flat(content):
        annotation = signature[name].annotation if name in signature else Any
        kind = describe(annotation) if known(annotation) else ""
        said = (documented.get(name, ""), notes.get(name, ""))
        ours = str(content.get(TARGET, "")).startswith("siamese_lab.")
        rows.append(Parameter(name, kind, _spelled(value), next(filter(None, said if ours else reversed(said)), "").rstrip(".")))
    return rows


def comments(text: str) -> dict[str, str]:
    """The comment beside each key of a yaml, e.g. {"margin": "a distance", "schedule.warmup": "share of all steps"}."""
    found, above = {}, list[tuple[int, str]]()
    for match in re.finditer(r"^( *)(\w+):((?:[^#'\"\n]|'[^'\n]*'|\"[^\"\n]*\")*?)(?: #\s*(.+))?$", text, re.MULTILINE):
        above = [(indent, name) for indent, name in above if indent < len(match[1])] + [(len(match[1]), match[2])]
        if match[4]:
            found[".".join(name for _, name in above)] = match[4].strip()
    return found


def documented_arguments(doc: str) -> dict[str, str]:
    """The entries of a docstring's `Args:` section; `low, high: ...` documents both."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in _section(doc, "Args"):
        entry = re.match(r"    (\*{0,2}\w+(?:, \w+)*)(?: \(.*?\))?: *(.*)", line)
        if entry:
            names = entry[1].split(", ")
            found |= dict.fromkeys(names, entry[2])
        else:
            found |= {name: f"{found[name]} {line.strip()}".strip() for name in names}
    return found


def source(doc: str) -> str:
    """The docstring's `Source:` paragraph, in one line."""
    found = re.search(r"^Source: *(.+?)(?:\n\s*\n|\Z)", doc, re.MULTILINE | re.DOTALL)
    return " ".join(found[1].split()) if found else ""


def _section(doc: str, title: str) -> list[str]:
    lines = doc.splitlines()
    if f"{title}:" not in lines:
        return []
    rest = lines[lines.index(f"{title}:") + 1 :]
    end = next((i for i, line in enumerate(rest) if line and not line.startswith(" ")), len(rest))
    return [line for line in rest[:end] if line.strip()]


def _content(path: Path) -> dict[str, Any]:
    content = _loaded(path)
    return {str(key): value for key, value in (content[path.stem] if _wrapped(path) else content).items() if key != "defaults"}


def _wrapped(path: Path) -> bool:
    """Whether an option sits under its own name, as those of a group that is a list do."""
    content = _loaded(path)
    return list(content) == [path.stem] and isinstance(content[path.stem], dict)


def _loaded(path: Path) -> dict[Any, Any]:
    try:
        content = OmegaConf.to_container(OmegaConf.create(check_yaml(path)), resolve=False)
    except (ValueError, YAMLError, OmegaConfBaseException) as error:  # e.g. a key that stands there twice
        raise LabError(f"{path} is no option: {' '.join(str(error).split())[:300]}") from error
    if not isinstance(content, dict):
        raise LabError(f"{path} is no option: it must hold a mapping, got a {type(content).__name__}")
    return content


def _flat(content: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows = []
    for name, value in content.items():
        if isinstance(value, dict) and value and TARGET not in value:
            rows += _flat(value, f"{prefix}{name}.")
        elif name != TARGET:
            rows.append((f"{prefix}{name}", value))
    return rows


def _spelled(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return "required" if value == "???" else str(value)


def _print_option(group: str, name: str, path: Path) -> None:
    content = _content(path)
    facts = [("option", f"{group}={name}"), ("file", str(path)), ("what it is", summary(path))]
    if TARGET in content:
        target = resolve(content[TARGET])
        facts += [("target", content[TARGET])]
        facts += [(ability, _ability(getattr(target, ability))) for ability in ABILITIES if hasattr(target, ability)]
        facts += [("source", source(inspect.getdoc(target) or ""))]
        facts += [("given by the run", ", ".join(_given(target, content)))]
    _print_table("", ("", ""), [fact for fact in facts if fact[1]])
    rows = [(p.name, p.kind, p.default, p.note) for p in option_parameters(path)]
    prefix = f"{group}.{name}" if _wrapped(path) else group
    if rows:
        title = f"siamese-lab train {group}={name} {prefix}.{rows[0][0]}=..." if group != "experiment" else ""
        _print_table(title, ("parameter", "type", "default", "meaning"), rows)


def _given(target: Callable[..., Any], content: dict[str, Any]) -> list[str]:
    return [p.name for p in parameters(target).values() if p.name not in content and is_given(p)]


def _ability(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple | set | frozenset) else str(value)


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
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", title_style="dim", box=box.SIMPLE_HEAD, show_header=any(heads))
    for i, head in enumerate(heads):
        table.add_column(head, style="bold" if i == 0 else None, overflow="fold", no_wrap=i == 0)
    for row in rows:
        table.add_row(*[Text(cell) for cell in row])  # Text: brackets in a default are no markup
    Console().print(table)
