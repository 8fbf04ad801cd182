"""From the dotted path of a `_target_` to the class or function that it names."""

import importlib
import inspect
from collections.abc import Callable
from importlib.util import find_spec
from pkgutil import resolve_name

from siamese_lab.config.trust import EVERYTHING, Trust, package_of
from siamese_lab.core.errors import LabError
from siamese_lab.core.text import nearest


def resolve_target(target: str, trust: Trust = EVERYTHING) -> Callable[..., object]:
    """The class or function that a `_target_` names.

    Args:
        target: its dotted path.
        trust: whose code the config may build from; nothing else is imported.

    Raises:
        LabError: if there is none, or if it is not one that the config may name.
    """
    refused = (
        f"`{target}` is refused: a config that you did not write builds only what siamese_lab defines, and "
        f"torch's optimizers{trust.hint(target)}"
    )
    if not trust.may_import(target):
        raise LabError(refused)  # before the import, which already runs code
    parts = target.split(".") if isinstance(target, str) else []
    found: object = None
    for cut in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:cut])
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError as error:
            # the module exists, but not a package that it imports
            if error.name and not f"{module}.".startswith(f"{error.name}."):
                raise LabError(f"`{target}` needs the package {error.name}, which is not installed") from error
            continue
        try:
            found = resolve_name(f"{module}:{'.'.join(parts[cut:])}")
        except AttributeError as error:
            home = vars(error.obj) if inspect.ismodule(error.obj) or inspect.isclass(error.obj) else {}
            own = [name for name, thing in home.items() if not inspect.ismodule(thing)]
            name = error.name or ".".join(parts[cut:])
            raise LabError(f"{module} has no {name}{nearest(name, own)}") from error
        break
    if not callable(found):
        raise LabError(
            f"`{target}` names nothing that can be built: write the dotted path of a class, package.module.Class"
            f"{_missing(target)}"
        )
    if not trust.may_build(target, found):
        raise LabError(refused)
    return found


def _missing(target: object) -> str:
    """The end of a message, for a target whose package cannot be found."""
    name = package_of(target) if isinstance(target, str) and "." in target else ""
    if not name.isidentifier() or find_spec(name) is not None:
        return ""
    return (
        f"; there is no module {name} on Python's path (the current folder is searched with PYTHONPATH=. or "
        "python -m siamese_lab)"
    )
