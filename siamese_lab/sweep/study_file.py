"""Study files: sweeps written down, `studies/NAME.yaml` in conf/ or a folder of your own. They are read before anything is composed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from siamese_lab.catalogue import STUDIES, config_dir, nearest
from siamese_lab.errors import LabError
from siamese_lab.files import check_yaml

KEYS = ("name", "axes", "zip", "cases", "seeds", "overrides", "exclude", "budget")


@dataclass(frozen=True)
class StudyFile:
    """What a study file says, as words of the command line.

    Args:
        path: of the file; None where the command line says it all.
        name: of the study.
        axes: sweeps, "key=a,b".
        zips: axes that go together, "key,key".
        cases: points of a list, "key=value key=value".
        overrides: what all runs have, "key=value".
        exclude: combinations that are left out, {key: value}.
        budget: `runs`, the most that there may be, and `time`, "HH:MM:SS".
    """

    path: Path | None = None
    name: str | None = None
    axes: list[str] = field(default_factory=list)
    zips: list[str] = field(default_factory=list)
    cases: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)
    exclude: list[dict[str, str]] = field(default_factory=list)
    budget: dict[str, Any] = field(default_factory=dict)


def named(words: Sequence[str], config_dirs: Sequence[Path]) -> Path | None:
    """The file that a word `study=NAME` names; None where there is none."""
    name = next((word.partition("=")[2] for word in reversed(words) if word.startswith("study=")), None)
    if name is None or not re.fullmatch(r"[\w.-]{1,100}", name, re.ASCII):
        return None
    return next((path for folder in (config_dir(), *config_dirs) if (path := folder / STUDIES / f"{name}.yaml").is_file()), None)


def names(config_dirs: Sequence[Path] = ()) -> list[str]:
    """All study files."""
    return sorted(path.stem for folder in (config_dir(), *config_dirs) for path in (folder / STUDIES).glob("*.yaml"))


def read(path: Path) -> StudyFile:
    """Reads a study file.

    Raises:
        LabError: naming what it may not hold, with the nearest key.
    """
    found = yaml.safe_load(check_yaml(path))
    if not isinstance(found, dict):
        raise LabError(f"{path} must be a mapping with {', '.join(KEYS)}, got {type(found).__name__}")
    misfits = [f"no key {key}{nearest(str(key), KEYS)} (keys: {', '.join(KEYS)})" for key in found if key not in KEYS]
    axes = [f"{key}={_sweep(key, values, misfits)}" for key, values in _mapping(found, "axes", misfits).items()]
    if "seeds" in found:
        axes.append(f"seed={_sweep('seeds', found['seeds'], misfits)}")
    overrides = found.get("overrides") or {}
    if isinstance(overrides, dict):
        fixed = [f"{key}={word(value)}" for key, value in overrides.items()]
    else:
        fixed = _words(overrides, "overrides", misfits)
    cases = [_case(case, "cases", misfits) for case in _list(found, "cases", misfits)]
    zips = [",".join(_words(keys, "zip", misfits)) for keys in _list(found, "zip", misfits)]
    exclude = [dict(pair.split("=", 1) for pair in _case(one, "exclude", misfits).split()) for one in _list(found, "exclude", misfits)]
    budget = _mapping(found, "budget", misfits)
    misfits += [f"no key budget.{key}{nearest(str(key), ('runs', 'time'))}" for key in budget if key not in ("runs", "time")]
    name = found.get("name")
    if name is not None and not isinstance(name, str):
        misfits.append(f"name must be text, got {name!r}")
    if misfits:
        raise LabError(f"{path} is no study file:\n  " + "\n  ".join(misfits[:10]))
    return StudyFile(path, name or path.stem, axes, zips, cases, fixed, exclude, budget)


def word(value: object) -> str:
    """A yaml value as Hydra's grammar has it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(map(word, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{word(one)}" for key, one in value.items()) + "}"
    return repr(value) if isinstance(value, float) else str(value)


def _sweep(key: str, values: object, misfits: list[str]) -> str:
    if isinstance(values, str | int | float) and not isinstance(values, bool):
        return str(values)  # Hydra's own: range(...), interval(...), glob(*), a,b
    if not isinstance(values, list):
        misfits.append(f"{key} must be a list of values, got {values!r}")
        return ""
    if not values:
        misfits.append(f"{key} is an empty list: nothing would run")
    return ",".join(map(word, values))


def _mapping(found: dict[str, Any], key: str, misfits: list[str]) -> dict[str, Any]:
    value = found.get(key) or {}
    if not isinstance(value, dict):
        misfits.append(f"{key} must be a mapping, got {value!r}")
        return {}
    return value


def _list(found: dict[str, Any], key: str, misfits: list[str]) -> list[Any]:
    value = found.get(key) or []
    if not isinstance(value, list):
        misfits.append(f"{key} must be a list, got {value!r}")
        return []
    return value


def _words(value: object, key: str, misfits: list[str]) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        misfits.append(f"{key} must be a list of words, got {value!r}")
        return []
    return value


def _case(value: object, key: str, misfits: list[str]) -> str:
    if not isinstance(value, dict) or not value:
        misfits.append(f"{key} must be a list of mappings, key: value, got {value!r}")
        return ""
    return " ".join(f"{one}={word(what)}" for one, what in value.items())
