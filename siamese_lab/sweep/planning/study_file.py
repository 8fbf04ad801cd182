"""Study files: sweeps written down, `studies/NAME.yaml` in conf/ or a folder of your own. They are read before anything
is composed.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from siamese_lab.config.groups import STUDIES
from siamese_lab.core.errors import LabError
from siamese_lab.core.files import check_yaml
from siamese_lab.core.paths import config_dir
from siamese_lab.core.text import nearest

KEYS = ("name", "axes", "zip", "cases", "seeds", "overrides", "exclude", "budget")

READ_OTHERWISE = ("null", "true", "false")
"""Texts that Hydra's grammar takes for something else unless they are quoted."""


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


def study_given(words: Sequence[str], config_dirs: Sequence[Path]) -> Path | None:
    """The file that a word `study=NAME` names; None where there is none."""
    name = next((word.partition("=")[2] for word in reversed(words) if word.startswith("study=")), None)
    if name is None or not re.fullmatch(r"[\w.-]{1,100}", name, re.ASCII):
        return None
    return next(
        (path for folder in (config_dir(), *config_dirs) if (path := folder / STUDIES / f"{name}.yaml").is_file()), None
    )


def study_files(config_dirs: Sequence[Path] = ()) -> list[str]:
    """All study files."""
    return sorted(path.stem for folder in (config_dir(), *config_dirs) for path in (folder / STUDIES).glob("*.yaml"))


def read_study_file(path: Path) -> StudyFile:
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
    exclude = [
        {str(key): word(value) for key, value in one.items()}
        for one in _list(found, "exclude", misfits)
        if _case(one, "exclude", misfits)
    ]
    budget = _mapping(found, "budget", misfits)
    misfits += [
        f"no key budget.{key}{nearest(str(key), ('runs', 'time'))}" for key in budget if key not in ("runs", "time")
    ]
    _check_budget(budget, misfits)
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
    if isinstance(value, float):
        return repr(value)
    text = str(value)
    if text.lower() in READ_OTHERWISE or (
        not text.startswith(("[", "{")) and re.search(r"""[,()\[\]{}"'=\\]|^\s|\s$|^$""", text)
    ):
        text = re.sub(r"(\\+)(?='|$)", r"\1\1", text)  # Hydra takes a backslash for itself but before a quote
        return "'" + text.replace("'", "\\'") + "'"
    return text


def _check_budget(budget: dict[str, Any], misfits: list[str]) -> None:
    runs, time = budget.get("runs"), budget.get("time")
    if runs is not None and (type(runs) is not int or runs < 1):
        misfits.append(f"budget.runs must be a whole number >= 1, got {runs!r}")
    if type(time) is int:  # yaml reads 10:00:00 as a number of base 60
        budget["time"] = time = f"{time // 3600:02d}:{time // 60 % 60:02d}:{time % 60:02d}"
    if time is not None and not (isinstance(time, str) and re.fullmatch(r"\d+:[0-5]\d:[0-5]\d", time)):
        misfits.append(f"budget.time must be HH:MM:SS, got {time!r}")


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
    return " ".join(shlex.quote(f"{one}={word(what)}") for one, what in value.items())
