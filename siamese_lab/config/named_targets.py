"""Tells whether a `_target_` is one of the lab's, by its name and without importing it.

A verb that only uses a trained network builds its backbone and distance, and must not pay for the import of Lightning,
which the callbacks of the run would need. What is not built is still refused where no run could have written it.
"""

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
CHANGES_RESULT = "changes_result"
"""What a callback states of itself: False for one that only watches. One that does not state it changes the result."""


def is_ours(target: object, home: str) -> bool:
    """Whether a target is the dotted path of a class or function that a module of this package defines itself.

    Args:
        target: as a config has it, e.g. "siamese_lab.callbacks.doctor.Doctor".
        home: what the path has to begin with, e.g. "siamese_lab.callbacks.".
    """
    if not isinstance(target, str) or not target.startswith(home):
        return False
    package, *parts = target.split(".")
    module, name = parts[:-1], parts[-1]
    if package != PACKAGE.name or not all(part.isidentifier() for part in parts):
        return False
    return name in _defined(PACKAGE.joinpath(*module).with_suffix(".py")) if module else False


@cache
def _defined(file: Path) -> frozenset[str]:
    """The names of the classes and functions at the top of a source file; none where there is no such file."""
    if not file.is_file():
        return frozenset()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef))


def class_attribute(target: str, name: str) -> object:
    """The value of a plain attribute in the body of a class of ours, read from its source; None where it has none.

    Args:
        target: the dotted path of the class.
        name: of the attribute, which is set to a literal.
    """
    if not is_ours(target, f"{PACKAGE.name}."):
        return None
    _, *module, name_of_class = target.split(".")
    tree = ast.parse(PACKAGE.joinpath(*module).with_suffix(".py").read_text(encoding="utf-8"))
    body = next((node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name_of_class), [])
    for node in body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        assigned = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(one, ast.Name) and one.id == name for one in assigned):
            found: object = ast.literal_eval(node.value)
            return found
    return None


def watchers(flat: Mapping[str, str]) -> set[str]:
    """The callbacks of ours in a config that only watch, e.g. {"callback.doctor"}.

    Args:
        flat: the config by keys with dots, e.g. {"callback.doctor._target_": "siamese_lab.callbacks.doctor.Doctor"}.
    """
    named = {key.removesuffix("._target_"): value for key, value in flat.items() if key.endswith("._target_")}
    return {
        key
        for key, target in named.items()
        if key.startswith("callback.") and class_attribute(target, CHANGES_RESULT) is False
    }
