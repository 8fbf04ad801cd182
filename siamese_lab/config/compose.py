"""From overrides to a checked config: composes with Hydra, checks, and reads the configs of runs."""

import functools
import json
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from siamese_lab.config import overrides
from siamese_lab.config.groups import folders, group_names, list_groups, option_file, option_names
from siamese_lab.config.instantiate import TARGET, check_config
from siamese_lab.config.trust import LAB_ONLY, Trust
from siamese_lab.core.errors import LabError
from siamese_lab.core.files import check_yaml
from siamese_lab.core.paths import config_dir, refuse_study

NEEDED = ("data", "augment", "backbone", "distance", "sampling", "miner", "loss", "optimizer")
"""Sections that every run builds."""

EVALUATED = frozenset({"data", "backbone", "distance", "protocol"})
"""Groups that are checked in full where a run is only evaluated; of the others nothing is imported."""

OF_A_RUN = (*NEEDED, "protocol", "seed", "trainer", "evaluation", "choices")
"""Keys that the config of every run has."""


def compose(words: Sequence[str] = (), config_dirs: Sequence[Path] = (), root: Path | None = None) -> DictConfig:
    """Composes `train.yaml` with the user's overrides, and checks all of it before anything is built.

    Args:
        words: Hydra overrides, e.g. ["loss=triplet", "loss.margin=0.5"].
        config_dirs: folders with more options, laid out as conf/.
        root: the folder that holds train.yaml; default: the lab's.

    Returns:
        The config without interpolations, in struct mode, with the options taken under `choices`.

    Raises:
        LabError: with every misfit found, each with the nearest valid name.
    """
    dirs = folders(root or config_dir(), config_dirs)
    catalogue = {group: option_names(group, dirs) for group in group_names(dirs)}
    parsed, misfits = overrides.parse(words)
    choices = [o for o in parsed if overrides.is_choice(o, catalogue)]
    sound = [o for o in choices if not overrides.choice_misfits(o, catalogue, list_groups(dirs[0]), misfits)]
    for o in sound:
        for name in overrides.names(o):
            check_yaml(option_file(o.key_or_group, name, dirs))  # before Hydra parses it
    unsure = {o.key_or_group for o in choices if o not in sound}
    try:
        base = _compose(sound, dirs)
    except LabError as error:
        raise LabError("\n".join([*misfits, str(error)])) from error
    values = [o for o in parsed if o not in choices and o.key_or_group.split(".")[0] not in unsure]
    plain = _plain(base)
    fine = [o for o in values if not overrides.key_misfits(o, plain, catalogue, dirs, misfits)]
    try:
        cfg = _compose([*sound, *fine], dirs) if fine else base
    except LabError as error:
        misfits.append(str(error))
        cfg = base
    return _check_values(cfg, set(catalogue), misfits)


def skeleton(words: Sequence[str], config_dirs: Sequence[Path] = ()) -> dict[str, Any]:
    """The keys that a choice of options has, before any value is set or checked.

    Args:
        words: choices of options only.
        config_dirs: folders with more options.

    Raises:
        LabError: if an option does not exist.
    """
    dirs = folders(config_dir(), config_dirs)
    catalogue = {group: option_names(group, dirs) for group in group_names(dirs)}
    parsed, misfits = overrides.parse(words)
    for override in parsed:
        overrides.choice_misfits(override, catalogue, list_groups(dirs[0]), misfits)
    if misfits:
        raise LabError("this cannot run:\n  " + "\n  ".join(misfits), misfits=misfits)
    return _plain(_compose(parsed, dirs))


def check_composed(cfg: DictConfig) -> DictConfig:
    """The check of `compose` for a config that Hydra's own `@hydra.main` composed.

    Raises:
        LabError: with every misfit found.
    """
    if HydraConfig.initialized():
        with open_dict(cfg):
            cfg["choices"] = _options(HydraConfig.get().runtime.choices)
    return _check_values(cfg, set(group_names()), [])


def read_config(
    path: Path, built: Collection[str] | None = None, trust: Trust = LAB_ONLY, name: str | None = None
) -> DictConfig:
    """Reads the resolved config of a run; build from it with the same `trust`.

    Args:
        path: of its config.yaml.
        built: the groups that will be built; nothing is imported for the others, whose targets may be of any package
            that `trust` could name. None = all.
        trust: whose code the config, which may come from elsewhere, may build from.
        name: what messages call it; None = its path.

    Raises:
        LabError: if it is missing, no yaml, or not resolved.
    """
    if not os.path.lexists(path):
        raise LabError(
            f"cannot read {path}: it is missing, the run was stopped before it began or its folder is not whole; "
            "train it anew with --force"
        )
    name = name or str(path)
    try:
        cfg = OmegaConf.create(check_yaml(path))
        if not isinstance(cfg, DictConfig) or "${" in json.dumps(
            OmegaConf.to_container(cfg, resolve=False), default=str
        ):
            raise LabError(f"{name} must be a resolved config: a mapping without ${{...}}")
    except (ValueError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise LabError(f"{name} is no config: {overrides.first_line(error)}") from error
    lacking = [key for key in OF_A_RUN if key not in cfg]
    if lacking:
        raise LabError(f"{name} is no config of a run: it lacks {', '.join(lacking)}")
    misfits: list[str] = []
    plain = _plain(cfg)
    check_config(
        plain,
        {*group_names(), *(plain["choices"] if isinstance(plain["choices"], dict) else ())},
        misfits,
        trust=trust,
        built=built,
    )
    misfits += [f"{key} must be a mapping with `{TARGET}`, got null" for key in NEEDED if plain[key] is None]
    if misfits:
        raise LabError(f"{name} is no config of a run of this version:\n  " + "\n  ".join(misfits[:10]))
    OmegaConf.set_struct(cfg, True)
    return cfg


def config_text(cfg: DictConfig) -> str:
    """The config as yaml text."""
    return OmegaConf.to_yaml(cfg, resolve=True)


def _compose(chosen: Sequence[Override], dirs: Sequence[Path]) -> DictConfig:
    """The composed config, which nobody may change: the same words and files are composed once."""
    words = tuple(o.input_line for o in chosen if o.input_line is not None)
    files = [entry for folder in dirs for path in folder.rglob("*.yaml") if (entry := _file_stamp(path))]
    return _compose_by_hydra(words, tuple(dirs), tuple(sorted(files)))


def _file_stamp(path: Path) -> tuple[str, int, int, int] | None:
    """What changes when a file does; None for a link to nothing."""
    try:
        found = path.stat()
    except OSError:
        return None
    return str(path), found.st_ino, found.st_mtime_ns, found.st_size


@functools.lru_cache(maxsize=64)  # the jobs of a sweep choose the same options, and differ in values
def _compose_by_hydra(
    words: tuple[str, ...], dirs: tuple[Path, ...], files: tuple[tuple[str, int, int, int], ...]
) -> DictConfig:
    search = (
        [f"hydra.searchpath=[{','.join(json.dumps(f'file://{folder}') for folder in dirs[1:])}]"] if dirs[1:] else []
    )
    try:
        with initialize_config_dir(config_dir=str(dirs[0]), version_base="1.3", job_name="train"):
            cfg = hydra_compose("train", overrides=[*words, *search], return_hydra_config=True)
    except RecursionError as error:
        raise LabError("the config is nested too deeply, or its options name each other in a circle") from error
    except (HydraException, OmegaConfBaseException, ValueError, OSError, yaml.YAMLError) as error:
        raise LabError(overrides.first_line(error)) from error
    taken = cfg.hydra.runtime.choices
    with open_dict(cfg):
        del cfg["hydra"]
        cfg["choices"] = _options(taken)
    return cfg


def _options(taken: Mapping[Any, Any]) -> dict[str, str | None]:
    """Which option of each group was taken, as Hydra knows it, without Hydra's own groups."""
    plain = {str(group): name for group, name in taken.items() if not str(group).startswith("hydra/")}
    return {
        group: name if name is None or isinstance(name, str) else ",".join(name)
        for group, name in sorted(plain.items())
    }


def _check_values(cfg: DictConfig, names: set[str], misfits: list[str]) -> DictConfig:
    plain = _plain(cfg)
    missing = sorted(OmegaConf.missing_keys(cfg))
    misfits += [f"{key} needs a value: {key}=..." for key in missing]
    if not missing:
        plain = check_config(plain, names, misfits)
        _refuse_names(plain, misfits)
    if misfits:
        head = "this cannot run:\n  " if len(misfits) == 1 else f"this cannot run, for {len(misfits)} reasons:\n  "
        raise LabError(head + "\n  ".join(misfits), misfits=misfits)
    result = OmegaConf.create(plain)
    OmegaConf.set_struct(result, True)
    return result


def _refuse_names(plain: dict[str, object], misfits: list[str]) -> None:
    """Checks the texts that become folders or are shown, and makes data.root absolute."""
    study, name, data = plain.get("study"), plain.get("name"), plain.get("data")
    if isinstance(study, str):
        try:
            refuse_study(study)
        except LabError as error:
            misfits.append(str(error))
    if isinstance(name, str) and not (name.isprintable() and 0 < len(name) <= 200):
        misfits.append(f"name must be a line of 1 to 200 printable characters, or null, got {name[:50]!r}")
    if isinstance(data, dict) and isinstance(data.get("root"), str) and data["root"]:
        try:
            root = Path(data["root"]).expanduser().absolute()
            root.exists()
            str(root).encode()  # as run folders are written
            data["root"] = str(root)
        except (OSError, RuntimeError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            misfits.append(f"data.root must be the path of a folder, got {data['root'][:50]!r}: {why}")


def _plain(cfg: DictConfig) -> dict[str, object]:
    try:
        return dict(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
    except OmegaConfBaseException as error:
        raise LabError(overrides.first_line(error)) from error
