"""Checks config values against type annotations, with messages for people who write yaml."""

import inspect
import math
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from siamese_lab.core.text import nearest

WORDS: dict[object, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    type(None): "null",
}
PLURAL = {int: "whole numbers", float: "numbers", str: "texts", Path: "paths"}
LISTS = (list, tuple, set, frozenset, Sequence, Iterable)
DICTS = (dict, Mapping)


def parameters(target: Callable[..., object]) -> dict[str, inspect.Parameter]:
    """The parameters of a class's constructor or of a function, with annotations resolved where that can be done."""
    try:
        found = inspect.signature(target, eval_str=True)
    except (NameError, TypeError, AttributeError, SyntaxError):  # an annotation under `if TYPE_CHECKING`
        found = inspect.signature(target)
    return dict(found.parameters)


@cache
def hints(record: type) -> dict[str, object]:
    """The annotations of a TypedDict, found once: `compare` checks the files of 1,000 runs."""
    return get_type_hints(record)


def fit_type(value: object, annotation: object, key: str, misfits: list[str], infinite: bool = False) -> object:
    """Checks a value of the config against an annotation.

    Args:
        value: plain Python, as yaml gives it.
        annotation: bool, int, float, str, Path, Literal, unions, lists, tuples, dicts, TypedDicts; anything else fits
            all.
        key: the dotted path, for the message.
        misfits: gets one message for each thing that does not fit.
        infinite: whether a float may be infinite; NaN is always refused.

    Returns:
        The value in its one spelling: a whole number where a float is asked for becomes a float.
    """
    if type(value) is annotation and annotation is not float:  # of most values of a run's files; a float may be NaN
        return value
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return _fit_union(value, annotation, key, misfits, infinite)
    if origin is Literal:
        if not any(type(value) is type(option) and value == option for option in get_args(annotation)):
            hint = nearest(str(value), [str(option) for option in get_args(annotation)])
            misfits.append(f"{key} must be {describe_type(annotation)}, got {shown_value(value)}{hint}")
        return value
    if isinstance(annotation, type) and is_typeddict(annotation):
        return _fit_record(value, annotation, key, misfits)
    if (origin or annotation) in LISTS or (origin or annotation) in DICTS:
        return _fit_container(value, annotation, key, misfits)
    if annotation in WORDS:
        return _fit_scalar(value, annotation, key, misfits, infinite)
    return value


def describe_type(annotation: object) -> str:
    """An annotation in words: `float | None` is "a number or null"."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(describe_type(one) for one in arguments if is_checkable(one)))
    if origin is Literal:
        return ("one of " if len(arguments) > 1 else "") + ", ".join(str(option) for option in arguments)
    if (origin or annotation) in LISTS:
        return f"a list of {PLURAL[arguments[0]]}" if arguments and arguments[0] in PLURAL else "a list"
    if (origin or annotation) in DICTS or is_typeddict(annotation):
        return "a mapping"
    return WORDS.get(annotation, annotation.__name__ if isinstance(annotation, type) else str(annotation))


def is_checkable(annotation: object) -> bool:
    """Whether a value of a yaml can be checked against this annotation, unlike Tensor or Callable."""
    origin = get_origin(annotation)
    nested = origin in (Union, types.UnionType, Literal, *LISTS, *DICTS) or is_typeddict(annotation)
    return nested or annotation in (*WORDS, *LISTS, *DICTS)


def shown_value(value: object) -> str:
    """A value as the message shows it, with its kind where that is not plain."""
    spelled = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return spelled[value]
    return f"the text {value!r}" if isinstance(value, str) else repr(value)


@cache
def _arms(annotation: object) -> tuple[object, ...]:
    return tuple(arm for arm in get_args(annotation) if is_checkable(arm))


def _fit_union(value: object, annotation: object, key: str, misfits: list[str], infinite: bool) -> object:
    arms = _arms(annotation)
    if not arms or (type(value) in arms and not isinstance(value, float)):
        return value
    tried = []
    for arm in arms:
        wrong: list[str] = []
        fitted = fit_type(value, arm, key, wrong, infinite)
        if not wrong:
            return fitted
        tried.append((arm, wrong))
    inside = [
        wrong for arm, wrong in tried if isinstance(value, list | dict) and not wrong[0].startswith(f"{key} must be")
    ]
    number = [wrong for arm, wrong in tried if arm is float and isinstance(value, float)]
    misfits.extend((inside or number or [[f"{key} must be {describe_type(annotation)}, got {shown_value(value)}"]])[0])
    return value


def _fit_record(value: object, record: type, key: str, misfits: list[str]) -> object:
    if not isinstance(value, dict):
        misfits.append(f"{key} must be a mapping, got {shown_value(value)}")
        return value
    found = hints(record)
    dot = f"{key}." if key else ""
    for name in value.keys() - found.keys():
        misfits.append(f"no key {dot}{name}{nearest(str(name), found)}")
    for name in sorted(vars(record)["__required_keys__"] - value.keys()):
        misfits.append(f"{dot}{name} is missing: {describe_type(found[name])}")
    return {
        name: fit_type(one, found[name], f"{dot}{name}", misfits) if name in found else one
        for name, one in value.items()
    }


def _fit_container(value: object, annotation: object, key: str, misfits: list[str]) -> object:
    kind, arguments = get_origin(annotation) or annotation, get_args(annotation)
    wanted = dict if kind in DICTS else list
    if not isinstance(value, wanted):
        misfits.append(f"{key} must be {describe_type(annotation)}, got {shown_value(value)}")
        return value
    if isinstance(value, dict):
        inner = arguments[1] if arguments else object
        return {name: fit_type(one, inner, f"{key}.{name}", misfits) for name, one in value.items()}
    if kind is tuple and arguments and arguments[-1] is not Ellipsis:
        if len(value) != len(arguments):
            misfits.append(f"{key} must be a list of {len(arguments)} entries, got {len(value)}")
            return value
        return [
            fit_type(one, inner, f"{key}[{i}]", misfits)
            for i, (one, inner) in enumerate(zip(value, arguments, strict=True))
        ]
    inner = arguments[0] if arguments else object
    return [fit_type(one, inner, f"{key}[{i}]", misfits) for i, one in enumerate(value)]


def _fit_scalar(value: object, annotation: object, key: str, misfits: list[str], infinite: bool) -> object:
    hint = ""
    if annotation is float and isinstance(value, int | float) and not isinstance(value, bool):
        if math.isnan(value) or (math.isinf(value) and not infinite):
            misfits.append(f"{key} must be a finite number, got {value}")
        return float(value)
    if type(value) is annotation or (annotation is Path and isinstance(value, str)):
        return value
    if annotation is str and isinstance(value, int | float):
        hint = f""": quote it for the shell and for Hydra: {key}='"{value}"'"""
    misfits.append(f"{key} must be {describe_type(annotation)}, got {shown_value(value)}{hint}")
    return value
