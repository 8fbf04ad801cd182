"""Where conf/ lies, and which groups and options it holds."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from siamese_lab.core.errors import LabError
from siamese_lab.core.paths import config_dir
from siamese_lab.core.text import nearest

STUDIES = "studies"  # a folder of sweeps, which are no options
_EMPTY = "''"  # an empty word, as a shell spells it


def folders(root: Path, own: Sequence[Path]) -> list[Path]:
    """The folders that are searched for options: the root, then the user's own.

    Raises:
        LabError: if one of the user's is no folder.
    """
    for folder in own:
        if not folder.is_dir():
            raise LabError(f"--config-dir needs a folder laid out as conf/ is, and {folder} is none")
    return [Path(folder).resolve() for folder in (root, *own)]


def group_names(dirs: Iterable[Path] | None = None) -> list[str]:
    """The names of all groups, sorted. `dirs`: the folders searched, in this order; default: the lab's alone."""
    found = [path for folder in _searched_folders(dirs) for path in folder.iterdir() if path.is_dir()]
    return sorted({path.name for path in found if path.name != STUDIES and any(path.rglob("*.yaml"))})


def option_names(group: str, dirs: Iterable[Path] | None = None) -> list[str]:
    """The names of a group's options, sorted; a nested one with slashes."""
    found = set()
    for folder in _searched_folders(dirs):
        found |= {
            path.relative_to(folder / group).with_suffix("").as_posix() for path in (folder / group).rglob("*.yaml")
        }
    return sorted(found)


def option_file(group: str, name: str, dirs: Iterable[Path] | None = None) -> Path:
    """The yaml of an option.

    Raises:
        LabError: if there is none.
    """
    dirs = _searched_folders(dirs)
    if group not in group_names(dirs):
        raise LabError(no_group(group, group_names(dirs)))
    if name not in option_names(group, dirs):
        raise LabError(no_option(group, name, option_names(group, dirs)))
    return next(path for folder in dirs if (path := folder / group / f"{name}.yaml").is_file())


def list_groups(root: Path) -> list[str]:
    """The groups of which a run takes several options: those that train.yaml names with a list."""
    defaults = yaml.safe_load((root / "train.yaml").read_text(encoding="utf-8")).get("defaults", [])
    entries = [item for entry in defaults if isinstance(entry, dict) for item in entry.items()]
    return [name for name, taken in entries if isinstance(taken, list)]


def no_group(name: str, names: Iterable[str]) -> str:
    """The message for a group that does not exist."""
    return f"no group {name or _EMPTY}{nearest(name, names)} (groups: {', '.join(sorted(names))})"


def no_option(group: str, name: str, names: Iterable[str]) -> str:
    """The message for an option that does not exist."""
    return f"no {group}={name or _EMPTY}{nearest(name, names)} (options: {', '.join(names)})"


def _searched_folders(dirs: Iterable[Path] | None) -> list[Path]:
    return [config_dir()] if dirs is None else list(dirs)
