"""Checks the config's `_target_` sections against their targets' signatures, and builds them."""

import inspect
import math
import re
from collections.abc import Callable, Collection
from typing import Any, get_type_hints

from omegaconf import Container, DictConfig, OmegaConf

from siamese_lab.config.named_targets import is_ours
from siamese_lab.config.ranges import check_ranges
from siamese_lab.config.schema import ASIDE, GIVEN, Root
from siamese_lab.config.targets import resolve_target
from siamese_lab.config.trust import EVERYTHING, Trust, can_be_allowed
from siamese_lab.core.errors import LabError
from siamese_lab.core.text import nearest
from siamese_lab.core.typecheck import fit_type, parameters

TARGET = "_target_"
HOMES = {
    "data": "siamese_lab.datasets.",
    "augment": "siamese_lab.augment.",
    "sampling": "siamese_lab.sampling.",
    "miner": "siamese_lab.miners.",
    "memory": "siamese_lab.memory.",
    "backbone": "siamese_lab.backbones.",
    "distance": "siamese_lab.distances.",
    "loss": "siamese_lab.losses.",
    "optimizer": "torch.optim.",
    "protocol": "siamese_lab.protocols.",
    "launcher": "siamese_lab.sweep.launchers.",
    "search": "siamese_lab.sweep.search.",
    "callback": "siamese_lab.callbacks.",
}
"""Where the targets of each group are defined; a config that the user did not write takes them from nowhere else."""

VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def build(node: DictConfig, *, trust: Trust = EVERYTHING, **given: Any) -> Any:
    """Builds the object that a section of the config describes, with those nested in it.

    Args:
        node: a mapping with `_target_`.
        trust: whose code may be built; `LAB_ONLY` or `allowed_packages()` for a config that the user did not write.
        given: values that the run knows and the config does not, such as dim=64. Each reaches the targets whose
            signature names it, unless their section says it itself.

    Raises:
        LabError: if the section does not fit its target, or the target refuses the values.
    """
    plain = OmegaConf.to_container(node, resolve=True)
    key = str(node._get_full_key("") or "").strip(".") if isinstance(node, Container) else ""
    if not isinstance(plain, dict) or TARGET not in plain:
        raise LabError(f"{key or 'the section'} must be a mapping with `{TARGET}`, got {plain!r}")
    misfits: list[str] = []
    plain = check_section(plain, key, misfits, trust)
    if misfits:
        raise LabError("\n".join(misfits))
    return _make(plain, key, _origin(node, key), trust, given)


def check_config(
    plain: dict[str, object],
    groups: set[str],
    misfits: list[str],
    trust: Trust = EVERYTHING,
    built: Collection[str] | None = None,
) -> dict[str, object]:
    """Checks a whole resolved config: plain sections against the schema, the others against their targets' signatures.

    Returns:
        The config with fitted values, see `typecheck.fit_type`.
    """
    hints = get_type_hints(Root)
    result = {}
    for key, value in plain.items():
        if key in hints:
            result[key] = fit_type(value, hints[key], key, misfits)
        elif key in groups and (built is None or key in built):
            result[key] = check_section(value, key, misfits, trust)
        elif key in groups:
            result[key] = value
            _check_names(value, key, misfits)
        else:
            misfits.append(f"no key {key}{nearest(key, [*hints, *groups])}")
    check_ranges(plain, misfits)
    return result


def check_section(value: object, key: str, misfits: list[str], trust: Trust = EVERYTHING) -> object:
    """Checks a group's section (a mapping with `_target_`, a mapping of such, or null); returns its fitted values."""
    if value is None:
        return None
    if not isinstance(value, dict):
        misfits.append(f"{key} must be a mapping with `{TARGET}`, got {value!r}")
        return value
    if TARGET not in value:
        return {name: check_section(one, f"{key}.{name}", misfits, trust) for name, one in value.items()}
    try:
        target = resolve_target(value[TARGET], trust)
    except LabError as error:
        misfits.append(f"{key}: {error}")
        return value
    group = re.split(r"[.\[]", key)[0]
    if not (
        trust.is_total
        or f"{target.__module__}.".startswith(HOMES.get(group, "siamese_lab."))
        or trust.names(value[TARGET])
    ):
        misfits.append(f"{key}: `{value[TARGET]}` is refused: it is no {group}")
        return value
    return _check_target(value, target, key, misfits, trust)


def _check_names(value: object, key: str, misfits: list[str]) -> None:
    """Checks the targets of a section that is not built by their names alone: the lab's, or of a user's package."""
    if isinstance(value, list):
        for i, one in enumerate(value):
            _check_names(one, f"{key}[{i}]", misfits)
    elif isinstance(value, dict):
        group = re.split(r"[.\[]", key)[0]
        target, home = value.get(TARGET), HOMES.get(group, "siamese_lab.")
        known = str(target).startswith(home) if group == "optimizer" else is_ours(target, home)
        if TARGET in value and not (known or can_be_allowed(target)):
            misfits.append(f"{key}: `{target}` is refused: it is no {group} of siamese_lab's")
        for name, one in value.items():
            if name != TARGET and re.fullmatch(r"_\w+_", str(name)):
                misfits.append(f"no key {key}.{name}")
            _check_names(one, f"{key}.{name}", misfits)


def is_given(p: inspect.Parameter) -> bool:
    """Whether a parameter that a yaml does not list is one that `build` gives."""
    return p.name in GIVEN or (p.kind is inspect.Parameter.KEYWORD_ONLY and p.default is p.empty)


def _check_target(
    value: dict[str, object], target: Callable[..., object], key: str, misfits: list[str], trust: Trust
) -> dict[str, object]:
    known = parameters(target)
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values())
    known = {name: p for name, p in known.items() if p.kind not in VARIABLE}
    aside = get_type_hints(ASIDE[key]) if key in ASIDE else {}
    result: dict[str, object] = {TARGET: value[TARGET]}
    for name, one in value.items():
        path = f"{key}.{name}"
        if name == TARGET:
            continue
        if name in aside:
            result[name] = fit_type(one, aside[name], path, misfits)
        elif name not in known and not open_ended:
            misfits.append(f"no key {path}{nearest(name, [*known, *aside])} ({target.__name__} has no such parameter)")
        elif _has_target(one):
            result[name] = _check_nested(one, path, misfits, trust)
        elif name in known:
            result[name] = _fit_parameter(one, known[name], path, misfits)
        else:
            result[name] = one
    complete = not str(value[TARGET]).startswith("torch.")  # its many switches for the implementation decide no result
    for name, p in known.items():
        if name not in value and not is_given(p) and (complete or p.default is p.empty):
            misfits.append(f"{key}.{name} is missing: an option lists every parameter of its target {target.__name__}")
    misfits.extend(f"{key}.{name} is missing" for name in aside if name not in value)
    return result


def _check_nested(value: object, key: str, misfits: list[str], trust: Trust) -> object:
    """A parameter that holds sections with `_target_`, perhaps among plain values."""
    if isinstance(value, list):
        return [_check_nested(one, f"{key}[{i}]", misfits, trust) for i, one in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if TARGET in value:
        return check_section(value, key, misfits, trust)
    return {name: _check_nested(one, f"{key}.{name}", misfits, trust) for name, one in value.items()}


def _fit_parameter(value: object, p: inspect.Parameter, key: str, misfits: list[str]) -> object:
    default = None if p.default is p.empty else p.default
    annotation = p.annotation
    if annotation is p.empty:
        annotation = type(default) if isinstance(default, bool | int | float | str) else object
    return fit_type(value, annotation, key, misfits, infinite=isinstance(default, float) and math.isinf(default))


def _has_target(value: object) -> bool:
    if isinstance(value, list):
        return any(_has_target(one) for one in value)
    return isinstance(value, dict) and (TARGET in value or any(_has_target(one) for one in value.values()))


def _make(plain: object, key: str, origin: str, trust: Trust, given: dict[str, object]) -> object:
    if isinstance(plain, list):
        return [_make(one, f"{key}[{i}]", origin, trust, given) for i, one in enumerate(plain)]
    if not isinstance(plain, dict):
        return plain
    if TARGET not in plain:
        return {name: _make(one, f"{key}.{name}", origin, trust, given) for name, one in plain.items()}
    target = resolve_target(plain[TARGET], trust)
    known = parameters(target)
    aside = get_type_hints(ASIDE[key]) if key in ASIDE else {}
    said = {k: _make(v, f"{key}.{k}", origin, trust, given) for k, v in plain.items() if k != TARGET and k not in aside}
    wanted = {name: value for name, value in given.items() if name in known and name not in said}
    lacking = [
        n
        for n, p in known.items()
        if p.default is p.empty and p.kind not in VARIABLE and n not in said and n not in wanted
    ]
    if lacking:
        raise LabError(
            f"{key}.{lacking[0]} is missing: {target.__name__} needs it, and this command does not give it{origin}"
        )
    try:
        return target(**said, **wanted)
    except (ValueError, TypeError, OSError) as error:
        name = _first_word(str(error))
        where = f"{key}.{name}" if name in said else key
        raise LabError(f"{where}: {error}{origin}") from error


def _first_word(message: str) -> str:
    """The parameter's name, with which a constructor's message begins: weights of "weights.near must be ..."."""
    match = re.match(r"\w+", message)
    return match.group() if match else ""


def _origin(node: DictConfig, key: str) -> str:
    root: Any = node._get_root()
    choices = root.get("choices") or {}
    group = key.split(".")[0]
    name = choices.get(group, key.split(".")[1] if "." in key else None)
    return f" (of conf/{group}/{name}.yaml)" if name else ""
