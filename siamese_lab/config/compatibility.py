"""Which losses, miners, samplings and distances go together."""

from collections.abc import Callable
from functools import cache
from typing import Any

from omegaconf import OmegaConf

from siamese_lab.config.groups import option_file, option_names
from siamese_lab.config.instantiate import resolve_target
from siamese_lab.core.errors import LabError
from siamese_lab.distances.cosine import Cosine

NEEDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "never negative": (lambda distance: distance.low >= 0, "may turn negative"),
    "the cosine distance": (lambda distance: Cosine in (distance, type(distance)), "is another"),
}
"""What a loss may say in `needs`: whether a distance (or its class) fits, and what a message says of one that does not."""


def refuse_misfits(loss: Any, miner: Any, sampling: Any, distance: Any, memory: Any = None) -> None:
    """Refuses a combination that cannot work, and names the options that fit.

    Args:
        loss: with `eats` = "pairs", "triplets", "labels" or "episodes", perhaps `needs`, and `remembers` = False where rows of a memory
            mean nothing to it.
        miner: with `gives` = "all" or what it forms.
        sampling: with `gives` = "labels" or the tuples that it forms.
        distance: with `low`, the smallest value it can take.
        memory: or None.

    Raises:
        LabError: naming the two that do not fit and what to choose instead.
    """
    formed = sampling.gives if sampling.gives != "labels" else miner.gives
    if sampling.gives != "labels" and miner.gives != "all":
        raise LabError(
            f"this sampling gives {sampling.gives}, so there is nothing left to mine for {name(miner)}: choose miner=all, "
            f"or a sampling that gives labels ({fitting('sampling', lambda s: s.gives == 'labels')})"
        )
    if loss.eats == "labels" and miner.gives != "all":
        raise LabError(
            f"{name(loss)} works on all labels of a batch and takes no mined tuples, {name(miner)} would be ignored: choose miner=all, "
            f"or a loss that eats {miner.gives} ({fitting('loss', lambda one: one.eats in takes(miner.gives))})"
        )
    if loss.eats == "triplets" and formed == "pairs":
        source = "sampling" if sampling.gives != "labels" else "miner"
        raise LabError(
            f"{name(loss)} eats triplets, and no triplet can be made of the pairs that this {source} gives: choose "
            f"{fitting(source, lambda one: one.gives not in ('pairs', 'episodes'))}, or another loss "
            f"({fitting('loss', lambda one: one.eats != 'triplets')})"
        )
    if loss.eats == "episodes" and formed in ("pairs", "triplets"):
        way = "miner=all"
        if sampling.gives != "labels":
            way = f"a sampling that gives episodes or labels ({fitting('sampling', lambda s: s.gives in ('labels', 'episodes'))})"
        raise LabError(f"{name(loss)} eats episodes, and no episode can be made of {formed}: choose {way}")
    if formed == "episodes" and loss.eats in ("pairs", "triplets"):
        raise LabError(
            f"this sampling gives episodes, and {name(loss)} eats {loss.eats}: choose "
            f"{fitting('sampling', lambda s: s.gives in ('labels', loss.eats))}, or another loss "
            f"({fitting('loss', lambda one: one.eats in ('episodes', 'labels'))})"
        )
    if memory is not None and not getattr(loss, "remembers", True):
        raise LabError(f"{name(loss)} takes no rows of a memory, it would add nothing: choose memory=null")
    if memory is not None and sampling.gives != "labels" and loss.eats != "labels":
        raise LabError(
            f"this sampling gives {sampling.gives}, and no row of a memory is in them: choose memory=null, or a sampling that gives labels "
            f"({fitting('sampling', lambda s: s.gives == 'labels')})"
        )
    for need, (fits, misfit) in NEEDS.items():
        if need in getattr(loss, "needs", "") and not fits(distance):
            raise LabError(f"{name(loss)} needs {loss.needs}, and {name(distance)} {misfit}: choose {fitting('distance', fits)}")


def takes(formed: str) -> tuple[str, ...]:
    """What losses can eat that are given `formed`: a triplet is also two pairs."""
    return ("triplets", "pairs") if formed == "triplets" else (formed,)


def name(thing: Any) -> str:
    """How a message calls it."""
    return thing.__name__ if isinstance(thing, type) else type(thing).__name__


def fitting(group: str, fits: Callable[[Any], bool]) -> str:
    """The options of a group whose target passes `fits`, as the user would write them."""
    return ", ".join(f"{group}={option}" for option, target in _targets(group).items() if fits(target))


@cache
def _targets(group: str) -> dict[str, Any]:
    return {option: resolve_target(OmegaConf.load(option_file(group, option))._target_) for option in option_names(group)}
