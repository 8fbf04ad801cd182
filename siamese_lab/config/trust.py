"""Whose code a config may build from: any if the user wrote it, else the lab's and that of allowed packages."""

import inspect
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from siamese_lab.core.errors import LabError
from siamese_lab.core.text import printable

VARIABLE = "SIAMESE_LAB_TRUST"
"""The environment variable with the packages that are always allowed, comma separated."""

TARGETS_VARIABLE = "SIAMESE_LAB_TARGETS"
"""The environment variable by which a sweep tells its jobs which targets the user's own words and options name."""

LAB = ("siamese_lab.", "torch.optim.")
"""Where every config may take its targets from, as far as `is_defined_by_lab` goes."""

NAMED_TARGET = re.compile(r"_target_[\"']?\s*[:=]\s*[\"']?([\w.]+)")

LIBRARIES = frozenset(
    "torch torchvision torchaudio pytorch_lightning lightning lightning_fabric torchmetrics timm numpy "  # noqa: SIM905
    "scipy pandas sklearn joblib dill cloudpickle PIL matplotlib yaml hydra omegaconf ray optuna submitit tensorboard "
    "pytorch_metric_learning huggingface_hub pytest".split()
)
"""Packages that --trust refuses: each has functions that read, write or run whatever a config gives them."""


@dataclass(frozen=True)
class Trust:
    """Whose code a config may build from, beside the lab's own.

    Args:
        packages: top-level names of packages whose classes and functions may be built; None = of all packages.
        targets: dotted paths that may be built, whatever package they are of.
    """

    packages: tuple[str, ...] | None = ()
    targets: frozenset[str] = frozenset()

    @property
    def is_total(self) -> bool:
        """Whether the config may name anything: the user wrote it."""
        return self.packages is None

    def may_import(self, target: object) -> bool:
        """Whether the module of a `_target_` may be imported, judged by its name alone: an import runs code."""
        return self.is_total or (isinstance(target, str) and (target.startswith(LAB) or self.names(target)))

    def names(self, target: object) -> bool:
        """Whether a `_target_` is allowed itself, or begins with the name of an allowed package."""
        return isinstance(target, str) and (target in self.targets or package_of(target) in (self.packages or ()))

    def may_build(self, target: str, found: object) -> bool:
        """Whether what a `_target_` led to may be called: it is the lab's, or an allowed package defines it itself.

        Judged by the object, not by its path: `mylab.os.system` is not defined in mylab, and neither is an instance.
        """
        if self.is_total or target in self.targets or is_defined_by_lab(target, found):
            return True
        return (inspect.isclass(found) or inspect.isfunction(found)) and self.names(f"{found.__module__}.")

    def hint(self, target: object) -> str:
        """What a refusal of a `_target_` adds: how its package is allowed; "" where no flag allows it."""
        if not can_be_allowed(target) or self.names(target):
            return ""
        name = package_of(str(target))
        return f"; if you trust the code of {name}, allow it with --trust {name}, or for good with {VARIABLE}={name}"


EVERYTHING = Trust(None)
"""For a config that the user wrote."""

LAB_ONLY = Trust()
"""For a config that may come from elsewhere, where nothing is allowed."""


def allowed_packages(names: Sequence[str] = ()) -> Trust:
    """The packages that the user allows: those of --trust, and of the environment variable SIAMESE_LAB_TRUST.

    Args:
        names: of --trust.

    Raises:
        LabError: if one of them is not the top-level name of a package, or is a part of Python.
    """
    lasting = [name.strip() for name in os.environ.get(VARIABLE, "").split(",")]
    found = [("--trust", name) for name in names] + [(VARIABLE, name) for name in lasting if name]
    for source, name in found:
        if name.partition(".")[0] in sys.stdlib_module_names:
            raise LabError(f"{source} takes packages of yours, and {printable(name)} is a part of Python")
        if name.partition(".")[0] in LIBRARIES:
            raise LabError(
                f"{source} takes packages of yours, and {printable(name)} is a library, whose functions could do "
                "anything: wrap what you need of it in a class of your own package"
            )
        if not _is_package(name):
            shown = printable(name[:100]) or "an empty word"
            raise LabError(f"{source} takes the top-level name of a package, such as mylab, got {shown}")
    return Trust(tuple(dict.fromkeys(name for _, name in found)))


def can_be_allowed(target: object) -> bool:
    """Whether a `_target_` is of a package that --trust takes: no part of Python, no library, not the lab itself."""
    name = package_of(target) if isinstance(target, str) else ""
    return _is_package(name) and name not in LIBRARIES and name.lower() != "siamese_lab"


def named_targets(words: Sequence[str], config_dirs: Sequence[Path]) -> list[str]:
    """The targets that the user's own words and folders of options name, sorted; the lab's are not among them."""
    texts = [*words, *(file.read_text("utf-8", "replace") for folder in config_dirs for file in folder.rglob("*.yaml"))]
    named = {target for text in texts for target in NAMED_TARGET.findall(text)}
    return sorted(target for target in named if not target.startswith(LAB))


def trust_of_a_job() -> Trust:
    """Whose code the config of a sweep's job may name: it is read from a file, which may have been exchanged."""
    targets = os.environ.get(TARGETS_VARIABLE, "").split(",")
    return Trust(allowed_packages().packages, frozenset(filter(None, targets)))


def needed_packages(plain: object) -> list[str]:
    """The packages other than siamese_lab and torch whose code a resolved config names, sorted; run.json records them.

    Args:
        plain: the config as plain Python.
    """
    named = {package_of(target) for target in _targets(plain) if not target.startswith(LAB)}
    return sorted(named - {"siamese_lab", "torch"})


def package_of(target: str) -> str:
    """The top-level name of a dotted path: "mylab" of "mylab.losses.Plain"."""
    return target.partition(".")[0]


def is_defined_by_lab(target: str, found: object) -> bool:
    """Whether every config may build it: a class of the lab, a function of the lab that builds a network, an optimizer.

    Judged by the object itself, not by its path: siamese_lab.runs.folder.os.system is not defined by the lab.
    """
    if not (inspect.isclass(found) or inspect.isfunction(found)):
        return False
    module = found.__module__
    if inspect.isclass(found) and module.startswith("torch.optim."):
        # here: torch takes long to import
        import torch

        return issubclass(found, torch.optim.Optimizer)
    if not module.startswith("siamese_lab.") or target != f"{module}.{found.__qualname__}":
        return False
    if inspect.isclass(found):
        return True
    from torch import nn

    # a function that builds a network may be named, one that writes files not
    result = inspect.signature(found).return_annotation
    return inspect.isclass(result) and issubclass(result, nn.Module)


def _is_package(name: str) -> bool:
    return name.isidentifier() and name.isascii() and name not in sys.stdlib_module_names


def _targets(plain: object) -> Iterator[str]:
    """Every `_target_` in a config, however deep."""
    inner: Iterable[object] = plain.values() if isinstance(plain, dict) else plain if isinstance(plain, list) else ()
    if isinstance(plain, dict) and isinstance(plain.get("_target_"), str):
        yield plain["_target_"]
    for one in inner:
        yield from _targets(one)
