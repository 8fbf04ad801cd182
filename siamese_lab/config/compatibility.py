"""Which losses, miners, samplings, memories and distances go together."""

from collections.abc import Callable
from functools import cache
from typing import Any

from omegaconf import OmegaConf

from siamese_lab.config.groups import option_file, option_names
from siamese_lab.config.targets import resolve_target
from siamese_lab.core.errors import LabError
from siamese_lab.structures.contracts import Consumes, Distance, Loss, Memory, Miner, Produces, Property, Sampling

STATED: dict[str, tuple[str, ...]] = {
    "Backbone": ("dim", "normalise"),
    "Loss": ("consumes", "requires", "uses_memory"),
    "Miner": ("produces",),
    "Sampling": ("produces",),
    "Distance": ("low", "high", "properties"),
}
"""What an option of each kind states of itself, see `structures.contracts`."""

MISSED = {Property.NON_NEGATIVE: "may turn negative", Property.COSINE: "is another"}
"""What a message says of a distance that lacks a property."""


def refuse_misfits(
    loss: Loss, miner: Miner, sampling: Sampling, distance: Distance, memory: Memory | None = None
) -> None:
    """Refuses a combination that cannot work, and names the options that fit.

    Raises:
        LabError: naming the two that do not fit and what to choose instead, or what an own option does not state.
    """
    for kind, thing in (("Loss", loss), ("Miner", miner), ("Sampling", sampling), ("Distance", distance)):
        refuse_silent(kind, thing)
    formed = sampling.produces if sampling.produces != "labels" else miner.produces
    _refuse_two_sources(loss, miner, sampling)
    _refuse_tuples(loss, sampling, formed)
    if memory is not None and not loss.uses_memory:
        raise LabError(f"{_name(loss)} takes no rows of a memory, it would add nothing: choose memory=null")
    if memory is not None and sampling.produces != "labels" and loss.consumes != "labels":
        raise LabError(
            f"this sampling produces {sampling.produces}, and no row of a memory is in them: choose memory=null, or a "
            f"sampling that produces labels ({fitting('sampling', lambda one: one.produces == 'labels')})"
        )
    for required in loss.requires:
        if required not in distance.properties:
            others = fitting("distance", lambda one: set(loss.requires) <= set(one.properties))
            raise LabError(
                f"{_name(loss)} needs {required.value}, and {_name(distance)} {MISSED[required]}: choose {others}"
            )


def unstated(kind: str, thing: object) -> list[str]:
    """What an option, or its class, does not state of what its kind has to state."""
    return [name for name in STATED[kind] if not hasattr(thing, name)]


def refuse_silent(kind: str, thing: object) -> None:
    """Refuses an option of the user's own that does not state what its kind has to state."""
    silent = unstated(kind, thing)
    if silent:
        raise LabError(
            f"{_name(thing)} does not state {', '.join(silent)}: give the class these attributes, as "
            f"siamese_lab.structures.contracts.{kind} describes them"
        )


def _refuse_two_sources(loss: Loss, miner: Miner, sampling: Sampling) -> None:
    """Refuses a miner whose tuples nobody would use."""
    if sampling.produces != "labels" and miner.produces != "all":
        raise LabError(
            f"this sampling produces {sampling.produces}, so there is nothing left to mine for {_name(miner)}: choose "
            f"miner=all, or a sampling that produces labels "
            f"({fitting('sampling', lambda one: one.produces == 'labels')})"
        )
    if loss.consumes == "labels" and miner.produces != "all":
        raise LabError(
            f"{_name(loss)} works on all labels of a batch and takes no mined tuples, {_name(miner)} would be ignored: "
            f"choose miner=all, or a loss that consumes {miner.produces} "
            f"({fitting('loss', lambda one: one.consumes in _serves(miner.produces))})"
        )


def _refuse_tuples(loss: Loss, sampling: Sampling, formed: Produces) -> None:
    """Refuses tuples that cannot be turned into what the loss consumes."""
    if loss.consumes == "triplets" and formed == "pairs":
        source = "sampling" if sampling.produces != "labels" else "miner"
        raise LabError(
            f"{_name(loss)} consumes triplets, and no triplet can be made of the pairs that this {source} produces: "
            f"choose {fitting(source, lambda one: one.produces not in ('pairs', 'episodes'))}, or another loss "
            f"({fitting('loss', lambda one: one.consumes != 'triplets')})"
        )
    if loss.consumes == "episodes" and formed in ("pairs", "triplets"):
        way = "miner=all"
        if sampling.produces != "labels":
            others = fitting("sampling", lambda one: one.produces in ("labels", "episodes"))
            way = f"a sampling that produces episodes or labels ({others})"
        raise LabError(f"{_name(loss)} consumes episodes, and no episode can be made of {formed}: choose {way}")
    if formed == "episodes" and loss.consumes in ("pairs", "triplets"):
        raise LabError(
            f"this sampling produces episodes, and {_name(loss)} consumes {loss.consumes}: choose "
            f"{fitting('sampling', lambda one: one.produces in ('labels', loss.consumes))}, or another loss "
            f"({fitting('loss', lambda one: one.consumes in ('episodes', 'labels'))})"
        )


def _serves(formed: Produces) -> tuple[Consumes, ...]:
    """What losses can consume that are given these tuples: a triplet is also two pairs."""
    served: dict[Produces, tuple[Consumes, ...]] = {"triplets": ("triplets", "pairs"), "pairs": ("pairs",)}
    return served.get(formed, ())


def _name(thing: object) -> str:
    """How a message calls an option, or its class."""
    return thing.__name__ if isinstance(thing, type) else type(thing).__name__


def fitting(group: str, fits: Callable[[Any], bool]) -> str:
    """The options of a group whose class passes `fits`, as the user would write them."""
    return ", ".join(f"{group}={option}" for option, target in _targets(group).items() if fits(target))


@cache
def _targets(group: str) -> dict[str, object]:
    return {
        option: resolve_target(OmegaConf.load(option_file(group, option))._target_) for option in option_names(group)
    }
