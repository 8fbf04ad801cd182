"""Reads the resolved configs of many runs: as text, and every section of yaml once."""

import re
from functools import lru_cache
from pathlib import Path

import yaml

from siamese_lab.core.dotted import flatten
from siamese_lab.core.errors import LabError
from siamese_lab.core.text import printable

LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader  # the first is 10 times as fast


def read_flat_config(path: Path) -> dict[str, str]:
    """All of a resolved config as {key with dots: value as text}.

    Raises:
        LabError: if it is missing or no yaml that siamese-lab writes.
    """
    try:
        # cut before each key of the top level: lines of a value are indented, or begin with "- " or a comment
        sections = re.split(r"\n(?=[^ \-#\n])", path.read_text(encoding="utf-8"))
        return {key: text for section in sections for key, text in _flat(section).items()}
    except FileNotFoundError as error:
        raise LabError(f"{path} is missing") from error
    except OSError as error:
        raise LabError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise LabError(f"{path} is no config of a run: {' '.join(str(error).split())[:200]}") from error


def value_text(value: object) -> str:
    """A value of a config as the user would write it."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"[{','.join(map(value_text, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}: {value_text(one)}" for key, one in value.items()) + "}"
    return printable(value)


@lru_cache(maxsize=4096)
def _flat(section: str) -> dict[str, str]:
    """A section of a config as {dotted key: text}; callers must not change it.

    Runs of a study share most sections, so each one is parsed once.
    """
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(section, Loader=LOADER)):
        raise ValueError("it has aliases, which siamese-lab does not write")
    value = yaml.load(section, Loader=yaml.CSafeLoader) if yaml.__with_libyaml__ else yaml.safe_load(section)
    if not isinstance(value, dict):
        raise ValueError("it must be a mapping")
    return {printable(key): value_text(one) for key, one in flatten(value).items()}
