"""Study files: sweeps written down as `studies/NAME.yaml` in conf/ or a folder of your own."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import yaml

from siamese_lab.config.groups import STUDIES
from siamese_lab.core.errors import LabError
from siamese_lab.core.files import check_yaml
from siamese_lab.core.paths import config_dir
from siamese_lab.core.text import nearest
from siamese_lab.runs.study import Budget

T = TypeVar("T", dict[str, object], list[object])
KEYS = ("name", "axes", "zip", "cases", "seeds", "overrides", "exclude", "budget")

HYDRA_KEYWORDS = ("null", "true", "false")
"""Texts that Hydra's grammar takes for another type unless they are quoted."""


@dataclass(frozen=True)
class SweepRequest:
    """What a study file and the command line ask for together.

    Args:
        name: of the study; "" = after its axes.
        words: overrides, those with several values among them.
        zips: "key,key": axes that go together.
        cases: "key=value key=value": points of a list.
        exclude: combinations that are left out, {key: value}.
        budget: the most that there may be.
        file: the study file, if there is one.
        config_dirs: folders with more options.
        skip_unfit: whether combinations that cannot work are left out instead of refused.
        key: the hash of all this and of the code.
    """

    name: str = ""
    words: list[str] = field(default_factory=list)
    zips: list[str] = field(default_factory=list)
    cases: list[str] = field(default_factory=list)
    exclude: list[dict[str, str]] = field(default_factory=list)
    budget: Budget = field(default_factory=Budget)
    file: Path | None = None
    config_dirs: list[Path] = field(default_factory=list)
    skip_unfit: bool = False
    key: str = ""


def find_study_file(words: Sequence[str], config_dirs: Sequence[Path]) -> Path | None:
    """The file that a word `study=NAME` names; None where there is none."""
    name = next((word.partition("=")[2] for word in reversed(words) if word.startswith("study=")), None)
    if name is None or not re.fullmatch(r"[\w.-]{1,100}", name, re.ASCII):
        return None
    return next(
        (path for folder in (config_dir(), *config_dirs) if (path := folder / STUDIES / f"{name}.yaml").is_file()), None
    )


def study_file_names(config_dirs: Sequence[Path] = ()) -> list[str]:
    """The names of all study files."""
    return sorted(path.stem for folder in (config_dir(), *config_dirs) for path in (folder / STUDIES).glob("*.yaml"))


def read_study_file(path: Path) -> SweepRequest:
    """Reads a study file.

    Raises:
        LabError: naming what it may not hold, with the nearest key.
    """
    found = yaml.safe_load(check_yaml(path))
    if not isinstance(found, dict):
        raise LabError(f"{path} must be a mapping with {', '.join(KEYS)}, got {type(found).__name__}")
    misfits = [f"no key {key}{nearest(str(key), KEYS)} (keys: {', '.join(KEYS)})" for key in found if key not in KEYS]
    axes = [
        f"{key}={_axis_text(key, values, misfits)}" for key, values in _section(found, "axes", dict, misfits).items()
    ]
    if "seeds" in found:
        axes.append(f"seed={_axis_text('seeds', found['seeds'], misfits)}")
    overrides = found.get("overrides") or {}
    if isinstance(overrides, dict):
        fixed = [f"{key}={as_word(value)}" for key, value in overrides.items()]
    else:
        fixed = _word_list(overrides, "overrides", misfits)
    cases = [_case_text(case, "cases", misfits) for case in _section(found, "cases", list, misfits)]
    zips = [",".join(_word_list(keys, "zip", misfits)) for keys in _section(found, "zip", list, misfits)]
    exclude = [
        {str(key): as_word(value) for key, value in one.items()}
        for one in _section(found, "exclude", list, misfits)
        if _case_text(one, "exclude", misfits) and isinstance(one, dict)
    ]
    budget = _read_budget(found, misfits)
    name = found.get("name")
    if name is not None and not isinstance(name, str):
        misfits.append(f"name must be text, got {name!r}")
    if misfits:
        raise LabError(f"{path} is no study file:\n  " + "\n  ".join(misfits[:10]))
    return SweepRequest(name or path.stem, [*fixed, *axes], zips, cases, exclude, budget, path)


def as_word(value: object) -> str:
    """A yaml value as Hydra's grammar has it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(map(as_word, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{as_word(one)}" for key, one in value.items()) + "}"
    if isinstance(value, float):
        return repr(value)
    text = str(value)
    if text.lower() in HYDRA_KEYWORDS or (
        not text.startswith(("[", "{")) and re.search(r"""[,()\[\]{}"'=\\]|^\s|\s$|^$""", text)
    ):
        text = re.sub(r"(\\+)(?='|$)", r"\1\1", text)  # Hydra takes a backslash for itself but before a quote
        return "'" + text.replace("'", "\\'") + "'"
    return text


def _read_budget(found: dict[str, object], misfits: list[str]) -> Budget:
    asked = _section(found, "budget", dict, misfits)
    known = ("runs", "time")
    misfits += [f"no key budget.{key}{nearest(str(key), known)}" for key in asked if key not in known]
    budget: Budget = {}
    runs, time = asked.get("runs"), asked.get("time")
    if type(runs) is int and runs >= 1:
        budget["runs"] = runs
    elif runs is not None:
        misfits.append(f"budget.runs must be a whole number >= 1, got {runs!r}")
    if type(time) is int:  # yaml reads 10:00:00 as a number of base 60
        time = f"{time // 3600:02d}:{time // 60 % 60:02d}:{time % 60:02d}"
    if isinstance(time, str) and re.fullmatch(r"\d+:[0-5]\d:[0-5]\d", time):
        budget["time"] = time
    elif time is not None:
        misfits.append(f"budget.time must be HH:MM:SS, got {time!r}")
    return budget


def _axis_text(key: str, values: object, misfits: list[str]) -> str:
    if isinstance(values, str | int | float) and not isinstance(values, bool):
        return str(values)  # Hydra's own: range(...), interval(...), glob(*), a,b
    if not isinstance(values, list):
        misfits.append(f"{key} must be a list of values, got {values!r}")
        return ""
    if not values:
        misfits.append(f"{key} is an empty list: nothing would run")
    return ",".join(map(as_word, values))


def _section(found: dict[str, object], key: str, kind: type[T], misfits: list[str]) -> T:
    value = found.get(key) or kind()
    if not isinstance(value, kind):
        misfits.append(f"{key} must be a {'mapping' if kind is dict else 'list'}, got {value!r}")
        return kind()
    return value


def _word_list(value: object, key: str, misfits: list[str]) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        misfits.append(f"{key} must be a list of words, got {value!r}")
        return []
    return value


def _case_text(value: object, key: str, misfits: list[str]) -> str:
    if not isinstance(value, dict) or not value:
        misfits.append(f"{key} must be a list of mappings, key: value, got {value!r}")
        return ""
    return " ".join(shlex.quote(f"{one}={as_word(what)}") for one, what in value.items())
