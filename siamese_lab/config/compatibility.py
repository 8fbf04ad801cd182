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
"""What a loss may say in `requires`: whether a distance (or its class) fits, and what a message says of one that does
not.
"""


def refuse_misfits(loss: Any, miner: Any, sampling: Any, distance: Any, memory: Any = None) -> None:
    """Refuses a combination that cannot work, and names the options that fit.

    Args:
        loss: with `consumes` = "pairs", "triplets", "labels" or "episodes", perhaps `requires`, and `uses_memory` =
            False where rows of a memory mean nothing to it.
        miner: with `produces` = "all" or what it forms.
        sampling: with `produces` = "labels" or the tuples that it forms.
        distance: with `low`, the smallest value it can take.
        memory: or None.

    Raises:
        LabError: naming the two that do not fit and what to choose instead.
    """
    formed = sampling.produces if sampling.produces != "labels" else miner.produces
    if sampling.produces != "labels" and miner.produces != "all":
        raise LabError(
            f"this sampling produces {sampling.produces}, so there is nothing left to mine for {name(miner)}: choose "
            "miner=all, "
            f"or a sampling that produces labels ({fitting('sampling', lambda s: s.produces == 'labels')})"
        )
    if loss.consumes == "labels" and miner.produces != "all":
        raise LabError(
            f"{name(loss)} works on all labels of a batch and takes no mined tuples, {name(miner)} would be ignored: "
            "choose miner=all, "
            f"or a loss that consumes {miner.produces} "
            f"({fitting('loss', lambda one: one.consumes in takes(miner.produces))})"
        )
    if loss.consumes == "triplets" and formed == "pairs":
        source = "sampling" if sampling.produces != "labels" else "miner"
        raise LabError(
            f"{name(loss)} consumes triplets, and no triplet can be made of the pairs that this {source} gives: choose "
            f"{fitting(source, lambda one: one.produces not in ('pairs', 'episodes'))}, or another loss "
            f"({fitting('loss', lambda one: one.consumes != 'triplets')})"
        )
    if loss.consumes == "episodes" and formed in ("pairs", "triplets"):
        way = "miner=all"
        if sampling.produces != "labels":
            way = (
                f"a sampling that produces episodes or labels "
                f"({fitting('sampling', lambda s: s.produces in ('labels', 'episodes'))})"
            )
        raise LabError(f"{name(loss)} consumes episodes, and no episode can be made of {formed}: choose {way}")
    if formed == "episodes" and loss.consumes in ("pairs", "triplets"):
        raise LabError(
            f"this sampling produces episodes, and {name(loss)} consumes {loss.consumes}: choose "
            f"{fitting('sampling', lambda s: s.produces in ('labels', loss.consumes))}, or another loss "
            f"({fitting('loss', lambda one: one.consumes in ('episodes', 'labels'))})"
        )
    if memory is not None and not getattr(loss, "uses_memory", True):
        raise LabError(f"{name(loss)} takes no rows of a memory, it would add nothing: choose memory=null")
    if memory is not None and sampling.produces != "labels" and loss.consumes != "labels":
        raise LabError(
            f"this sampling produces {sampling.produces}, and no row of a memory is in them: choose memory=null, or a "
            "sampling that produces labels "
            f"({fitting('sampling', lambda s: s.produces == 'labels')})"
        )
    for need, (fits, misfit) in NEEDS.items():
        if need in getattr(loss, "requires", "") and not fits(distance):
            raise LabError(
                f"{name(loss)} needs {loss.requires}, and {name(distance)} {misfit}: choose {fitting('distance', fits)}"
            )


def takes(formed: str) -> tuple[str, ...]:
    """What losses can consume that are given `formed`: a triplet is also two pairs."""
    return ("triplets", "pairs") if formed == "triplets" else (formed,)


def name(thing: Any) -> str:
    """How a message calls it."""
    return thing.__name__ if isinstance(thing, type) else type(thing).__name__


def fitting(group: str, fits: Callable[[Any], bool]) -> str:
    """The options of a group whose target passes `fits`, as the user would write them."""
    return ", ".join(f"{group}={option}" for option, target in _targets(group).items() if fits(target))


@cache
def _targets(group: str) -> dict[str, Any]:
    return {
        option: resolve_target(OmegaConf.load(option_file(group, option))._target_) for option in option_names(group)
    }
