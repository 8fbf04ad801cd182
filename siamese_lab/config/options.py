"""What an option is: its summary, parameters, documented ranges and source."""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from siamese_lab.config.instantiate import TARGET
from siamese_lab.config.targets import resolve_target
from siamese_lab.core.dotted import flatten
from siamese_lab.core.errors import LabError
from siamese_lab.core.files import check_yaml
from siamese_lab.core.mappings import JsonObject
from siamese_lab.core.typecheck import describe_type, is_checkable, parameters

STATED = ("consumes", "produces", "requires")


@dataclass(frozen=True)
class Parameter:
    """One line of an option."""

    name: str
    kind: str
    default: str
    note: str


def summary(path: Path) -> str:
    """An option in one line: the first sentence of its yaml's comment, else of its target's docstring."""
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
    return (inspect.getdoc(resolve_target(target)) or "").partition("\n")[0] if target else ""


def option_parameters(path: Path) -> list[Parameter]:
    """The parameters of an option, each with the note of its target's docstring, else the comment in the yaml.

    For targets of other packages (torch's optimizers) the comment goes first, since their docstrings are long.
    """
    content, notes = _content(path), comments(path.read_text(encoding="utf-8"))
    if _wrapped(path):
        notes = {key.partition(".")[2]: note for key, note in notes.items()}
    target = resolve_target(content[TARGET]) if TARGET in content else None
    signature = parameters(target) if target else {}
    documented = documented_arguments(inspect.getdoc(target) or "") if target else {}
    rows = []
    for name, value in flatten(content, without=TARGET).items():
        annotation = signature[name].annotation if name in signature else object
        kind = describe_type(annotation) if is_checkable(annotation) else ""
        said = (documented.get(name, ""), notes.get(name, ""))
        ours = str(content.get(TARGET, "")).startswith("siamese_lab.")
        rows.append(
            Parameter(
                name, kind, _spell_value(value), next(filter(None, said if ours else reversed(said)), "").rstrip(".")
            )
        )
    return rows


def stated(target: Callable[..., object]) -> dict[str, str]:
    """What the class of an option states of itself, as text; empty for a function."""
    attributes = vars(target) if inspect.isclass(target) else {}
    shown = {}
    for name in STATED:
        value = attributes.get(name)
        if isinstance(value, tuple):
            value = "; ".join(one.value for one in value)  # of structures.contracts.Property
        if value:
            shown[name] = str(value)
    return shown


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


def _content(path: Path) -> JsonObject:
    content = _load(path)
    section = content[path.stem] if _wrapped(path) else content
    return {str(key): value for key, value in section.items() if key != "defaults"}


def _wrapped(path: Path) -> bool:
    """Whether an option sits under its own name, as those of a group that is a list do."""
    content = _load(path)
    return list(content) == [path.stem] and isinstance(content[path.stem], dict)


def _load(path: Path) -> JsonObject:
    try:
        content = OmegaConf.to_container(OmegaConf.create(check_yaml(path)), resolve=False)
    except (ValueError, YAMLError, OmegaConfBaseException) as error:  # e.g. a key that stands there twice
        raise LabError(f"{path} is no option: {' '.join(str(error).split())[:300]}") from error
    if not isinstance(content, dict):
        raise LabError(f"{path} is no option: it must hold a mapping, got a {type(content).__name__}")
    return {str(key): value for key, value in content.items()}


def _spell_value(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return "required" if value == "???" else str(value)
