"""Dotted keys of nested mappings: `loss.margin` of {"loss": {"margin": 0.2}}."""

from collections.abc import Mapping
from typing import TypeVar

Default = TypeVar("Default")


def flatten(nested: Mapping[str, object], without: str | None = None) -> dict[str, object]:
    """The mapping as {dotted key: value}; an empty mapping is a value.

    Args:
        nested: mappings in mappings.
        without: a key that is left out, at any depth; a mapping that has it is a value.

    Examples:
        >>> from siamese_lab.core.dotted import flatten
        >>> flatten({"seed": 0, "loss": {"margin": 0.2, "extra": {}}})
        {'seed': 0, 'loss.margin': 0.2, 'loss.extra': {}}
    """
    flat: dict[str, object] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping) and value and without not in value:
            flat |= {f"{key}.{inner}": one for inner, one in flatten(value, without).items()}
        elif key != without:
            flat[str(key)] = value
    return flat


def all_keys(nested: object, without: str | None = None) -> list[str]:
    """The dotted keys of every value and of every mapping, but for `without` and those that end with it."""
    if not isinstance(nested, Mapping):
        return []
    own = [str(key) for key in nested if key != without]
    return own + [f"{key}.{inner}" for key, value in nested.items() for inner in all_keys(value, without)]


def has_key(nested: object, key: str) -> bool:
    """Whether a dotted key is there, be its value null or not. A number is a place in a list."""
    return _find(nested, key)[0]


def value_at(nested: object, key: str, default: Default | None = None) -> object | Default:
    """The value at a dotted key; the default where there is none. A number is a place in a list."""
    found, value = _find(nested, key)
    return value if found else default


def remove_key(nested: object, key: str) -> None:
    """Removes the value at a dotted key, where there is one."""
    path, _, last = key.rpartition(".")
    section = value_at(nested, path) if path else nested
    if isinstance(section, dict):
        section.pop(last, None)


def _find(nested: object, key: str) -> tuple[bool, object]:
    for part in key.split("."):
        if isinstance(nested, list) and part.isdigit() and int(part) < len(nested):
            nested = nested[int(part)]
        elif isinstance(nested, Mapping) and part in nested:
            nested = nested[part]
        else:
            return False, None
    return True, nested
