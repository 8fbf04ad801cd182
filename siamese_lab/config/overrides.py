"""Parses overrides in Hydra's grammar and finds the misfits among them: unknown keys and options, sweeps, syntax."""

import difflib
import inspect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from siamese_lab.config.groups import no_group, no_option, option_file
from siamese_lab.config.instantiate import TARGET
from siamese_lab.config.schema import GIVEN
from siamese_lab.config.targets import resolve_target
from siamese_lab.core.dotted import all_keys, has_key, value_at
from siamese_lab.core.errors import LabError
from siamese_lab.core.files import check_yaml
from siamese_lab.core.text import nearest
from siamese_lab.core.typecheck import parameters

Catalogue = Mapping[str, Sequence[str]]  # group -> its options


def parse(words: Iterable[str]) -> tuple[list[Override], list[str]]:
    """Parses overrides; what is no override, or a sweep, becomes a misfit."""
    parser, parsed, misfits = OverridesParser.create(), [], []
    for word in words:
        try:
            override = parser.parse_override(word)
        except RecursionError:
            misfits.append(f"{word} is no override: it is nested too deeply")
            continue
        except (HydraException, ValueError) as error:
            quoted = "" if word.isascii() else "; text that is not plain ASCII needs quotes: key='\"...\"'"
            misfits.append(
                f"{word or repr(word)} is no override: write key=value or group=option ({first_line(error)}){quoted}"
            )
            continue
        key = override.key_or_group
        if override.is_delete():
            misfits.append(
                f"~{key} would leave out what every run needs: choose another option or value instead, {key}=..."
            )
        elif override.is_sweep_override():
            misfits.append(
                f"{word} gives several values, one run takes one: use -m for a sweep, or {key}=[...] for a list"
            )
        else:
            parsed.append(override)
    return parsed, misfits


def is_choice(override: Override, catalogue: Catalogue) -> bool:
    """Whether an override takes an option of a group, rather than set a value."""
    return override.package is not None or (
        override.key_or_group in catalogue and not isinstance(override.value(), dict)
    )


def names(override: Override) -> list[str]:
    """The options that an override takes."""
    value = override.value()
    return ["null" if name is None else str(name) for name in (value if isinstance(value, list) else [value])]


def choice_misfits(override: Override, catalogue: Catalogue, several: Sequence[str], misfits: list[str]) -> bool:
    """Whether an override names options that do not exist, or too many; adds the messages to `misfits`.

    Args:
        override: of a group.
        catalogue: all groups.
        several: those that take a list of options.
        misfits: gets the messages.
    """
    group, taken = override.key_or_group, names(override)
    if group not in catalogue:
        misfits.append(no_group(group, catalogue))
        return True
    before = len(misfits)
    for name in taken:
        if name not in catalogue[group]:
            misfits.append(no_option(group, name, catalogue[group]))
    if isinstance(override.value(), list) and group not in several:
        misfits.append(f"{group} takes one option, got {', '.join(taken) or 'none'}: {group}=...")
    if len(set(taken)) < len(taken):
        misfits.append(f"{group}=[{','.join(taken)}] names an option twice")
    return len(misfits) > before


def key_misfits(
    override: Override, plain: Mapping[str, object], catalogue: Catalogue, dirs: Sequence[Path], misfits: list[str]
) -> bool:
    """Whether a value override names a key that the config lacks; adds a message with the nearest key to `misfits`."""
    key = override.key_or_group
    parent, _, last = key.rpartition(".")
    if key.split(".")[0] == "choices":
        misfits.append(f"{key} only records which options were taken: write {last}=...")
        return True
    if has_key(plain, key):
        if override.is_add():
            misfits.append(f"+{key} is there already: write {key}=... without the +")
            return True
        before, section, value = len(misfits), value_at(plain, key), override.value()
        if isinstance(section, Mapping) and isinstance(value, dict):
            misfits += [
                f"no key {key}.{name}{nearest(str(name), map(str, section))}" for name in value if name not in section
            ]
            if not value:
                misfits.append(f"{key}={{}} would change nothing: write {key}.KEY=...")
        return len(misfits) > before
    if (override.is_add() or override.is_force_add()) and _is_addable(plain, parent, last):
        return False
    misfits.append(f"no key {key}{_hint(key, plain, catalogue, dirs)}")
    return True


def first_line(error: Exception) -> str:
    """The part of a Hydra or OmegaConf message that says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    chatter = ("See https", "full_key", "object_type", "Config search path", "provider=")
    kept = [line for line in lines if not line.startswith(chatter)]
    key = error.full_key if isinstance(error, OmegaConfBaseException) else None
    said = " ".join(kept[:3]) or type(error).__name__
    return f"{key}: {said}" if key and str(key) not in said else said


def _hint(key: str, plain: Mapping[str, object], catalogue: Catalogue, dirs: Sequence[Path]) -> str:
    """The hint after a key that does not exist: the option whose parameter it is, or the nearest of all keys."""
    group, _, rest = key.partition(".")
    keys = [k for k in all_keys(plain, TARGET) if k.split(".")[0] != "choices"]
    if group in catalogue and rest:
        owners = [name for name in catalogue[group] if has_key(_yaml(group, name, dirs), rest)]
        if owners:
            return f": it is a parameter of {' or '.join(f'{group}={name}' for name in owners[:4])}"
    if "." not in key:
        hint = nearest(key, [*plain.keys() - {"choices"}, *catalogue])
        if hint:
            return hint
    last = key.rpartition(".")[2]
    same = [k for k in keys if k.rpartition(".")[2] == last]
    close = difflib.get_close_matches(key, keys, n=1, cutoff=0.7)
    if not same and not close and group in catalogue and rest:
        theirs = {name: all_keys(_yaml(group, name, dirs), TARGET) for name in catalogue[group]}
        if like := difflib.get_close_matches(
            rest, sorted({k for found in theirs.values() for k in found}), n=1, cutoff=0.7
        ):
            owners = [f"{group}={name}" for name, found in theirs.items() if like[0] in found]
            return f": did you mean {group}.{like[0]}, a parameter of {' or '.join(owners[:4])}?"
    if not same and not close:
        nearby = difflib.get_close_matches(last, {k.rpartition(".")[2] for k in keys}, n=1, cutoff=0.6)
        close = [k for k in keys if nearby and k.rpartition(".")[2] == nearby[0]][:3]
    found = same[:3] or close
    return f": did you mean {' or '.join(found)}?" if found else ": `siamese-lab train --cfg job` prints all keys"


def _yaml(group: str, name: str, dirs: Sequence[Path]) -> object:
    return OmegaConf.to_container(OmegaConf.create(check_yaml(option_file(group, name, dirs))), resolve=False)


def _is_addable(plain: object, parent: str, name: str) -> bool:
    """Whether +parent.name=... sets a parameter of the parent's target, or an entry of a mapping parameter."""
    if not parent or not has_key(plain, parent):
        return False
    section = value_at(plain, parent)
    if not isinstance(section, Mapping) or name in GIVEN:
        return False
    if TARGET in section:
        try:
            known = parameters(resolve_target(section[TARGET]))
        except LabError:
            return False
        return name in known or any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values())
    grand = parent.rpartition(".")[0]
    return bool(grand) and has_key(plain, f"{grand}.{TARGET}")
