"""Losses and miners of pytorch-metric-learning by name, with checked arguments."""

import importlib
import inspect
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from siamese_lab.core.errors import LabError
from siamese_lab.core.random import generator
from siamese_lab.core.text import nearest
from siamese_lab.core.typecheck import fit_type, parameters

BASES = {"losses": "BaseMetricLossFunction", "miners": "BaseMiner"}
UNFIT = {
    "CrossBatchMemory": "it is memory=xbm here",
    "MultipleLosses": "it is loss=weighted_sum here",
    "SelfSupervisedLoss": "it takes two views of each image",
    "VICRegLoss": "it takes two views of each image, and no labels",
    "ManifoldLoss": "it takes no labels",
    "HistogramLoss": "it indexes tensors in a way that PyTorch gives up, and will then silently compute something else",
    "EmbeddingsAlreadyPackagedAsTriplets": "it is sampling=random_triplets here",
    "GenericPairLoss": "it is a base class",
    "SmoothAPLoss": "unless every class has as many images in a batch as there are classes, it computes something else",
}
OBJECTS = frozenset(
    {"distance", "reducer", "embedding_regularizer", "weight_regularizer", "weight_init_func", "collect_stats"}
)
"""Parameters that take objects of the library; their defaults are kept."""
GENERAL = ("mixins", "base_metric_loss_function", "generic_pair_loss", "base_miner")
"""Modules of base classes, whose parameters are not offered."""


def build_component(part: str, name: str, arguments: Mapping[str, object], given: Mapping[str, object]) -> nn.Module:
    """An object of a class of pytorch_metric_learning.

    Args:
        part: "losses" or "miners".
        name: of the class, e.g. "CircleLoss".
        arguments: of its constructor, plain values; all others keep their defaults.
        given: values of the run by the library's names, for parameters without a default.

    Raises:
        LabError: if the library is not installed.
        ValueError: if there is no such class, or the arguments do not fit it.
    """
    target = find_class(part, name)
    known = accepted_parameters(target)
    misfits: list[str] = []
    values = {}
    for key, value in arguments.items():
        if key in OBJECTS:
            misfits.append(f"arguments.{key} cannot be given: {name} keeps its own default")
        elif key not in known:
            takes = ", ".join(sorted(known)) or "none"
            misfits.append(
                f"arguments has no key {key}{nearest(key, known)} ({name} of pytorch-metric-learning takes: {takes})"
            )
        else:
            values[key] = fit_type(value, expected_type(known[key], value), f"arguments.{key}", misfits)
    lacking = {key for key, p in known.items() if p.default is p.empty and key not in values}
    misfits += [f"arguments.{key} is missing: {name} needs it" for key in sorted(lacking - given.keys())]
    if misfits:
        raise ValueError("; ".join(misfits))
    try:
        with warnings.catch_warnings():
            # of NumPy 2, in LargeMarginSoftmaxLoss and SphereFaceLoss
            warnings.simplefilter("ignore", DeprecationWarning)
            return target(**values, **{key: given[key] for key in lacking})
    except (ValueError, TypeError, AssertionError) as error:
        raise ValueError(f"arguments do not suit {name}: {str(error).strip() or 'its own check fails'}") from error


def find_class(part: str, name: str) -> type[nn.Module]:
    """The loss or miner of that name.

    Raises:
        LabError: if the library is not installed.
        ValueError: if there is no such class, or it has no place here.
    """
    try:
        module = importlib.import_module(f"pytorch_metric_learning.{part}")
    except ModuleNotFoundError as error:
        raise LabError(
            f"this needs the package {error.name}, which is not installed: pip install siamese-lab[pml]"
        ) from error
    base = vars(module)[BASES[part]]
    fitting = {
        key for key, one in vars(module).items() if inspect.isclass(one) and issubclass(one, base) and one is not base
    } - set(UNFIT)
    if name in UNFIT and name in vars(module):
        raise ValueError(f"name must be another one than {name}: {UNFIT[name]}")
    if name not in fitting:
        raise ValueError(
            f"name must be one of the {part} of pytorch-metric-learning, got {name!r}{nearest(str(name), fitting)}"
        )
    found: type[nn.Module] = vars(module)[name]
    return found


def accepted_parameters(target: type) -> dict[str, inspect.Parameter]:
    """The parameters that a class and those it is derived from name, without those that take objects."""
    known: dict[str, inspect.Parameter] = {}
    for one in inspect.getmro(target):
        package, _, module = one.__module__.rpartition(".")
        if module in GENERAL or package not in ("pytorch_metric_learning.losses", "pytorch_metric_learning.miners"):
            continue
        own = list(parameters(vars(one)["__init__"]).items()) if "__init__" in vars(one) else []
        for name, p in own[1:]:  # the first is self
            if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and name not in OBJECTS:
                known.setdefault(name, p)
    return known


def expected_type(p: inspect.Parameter, value: object) -> object:
    """What a value has to fit: the parameter's annotation, else the type of its default."""
    if p.annotation is not p.empty and p.default is not None:
        return p.annotation
    if isinstance(p.default, bool):
        return bool
    if isinstance(p.default, int | float):  # scale=64 does not mean whole numbers alone
        return int if type(value) is int else float
    return str | int if isinstance(p.default, str) else object  # triplets_per_anchor is "all" or a number


@contextmanager
def seeded(device: torch.device, *where: int) -> Iterator[None]:
    """Context without autocast in which torch's global generator, which the library uses, is seeded by `where`."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.autocast(device.type, enabled=False):
        torch.manual_seed(generator(*where).initial_seed())
        yield
