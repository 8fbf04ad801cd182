"""Tells by its name alone whether a `_target_` is one of ours, without importing it.

A verb that only uses a trained network builds its backbone and distance, and must not pay for the import of Lightning,
which the callbacks of the run would need. What is not built is still refused where no run could have written it.
"""

import ast
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


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
