"""The types of the config's plain sections, those without `_target_`.

A new plain key is one line here and one in its yaml. Values of a section with `_target_` are checked against the
target's own signature instead.
"""

from typing import Literal, NotRequired, TypedDict


class Trainer(TypedDict):
    """`trainer`: how long, on what, how exactly."""

    accelerator: Literal["auto", "cpu", "gpu"]
    devices: int
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed", "64-true"]
    max_epochs: int
    max_time: str | int | float | None  # "HH:MM:SS", or minutes
    gradient_clip_val: float | None
    deterministic: bool
    sync_batchnorm: bool
    chunk: int | None  # images
    ema: float | None
    patience: int | None
    validate_every: int
    checkpoint_every: int | None  # steps
    workers: int
    allocator: bool
    channels_last: bool
    progress: bool


class Evaluation(TypedDict):
    """`evaluation`: how embeddings are computed for evaluation."""

    views: int
    batch_size: int


class Schedule(TypedDict):
    """`optimizer.schedule`: the learning rate over time."""

    name: Literal["constant", "cosine"]
    warmup: float


class RateGroup(TypedDict):
    """An entry of `optimizer.groups`: the optimizer's own keys for the parameters whose names match."""

    match: str  # a shell pattern, e.g. "backbone.trunk.*"
    lr: NotRequired[float]
    weight_decay: NotRequired[float]
    momentum: NotRequired[float]


class OptimizerAside(TypedDict):
    """The keys of `optimizer` that are no parameters of the torch optimizer."""

    groups: list[RateGroup]
    schedule: Schedule


class Root(TypedDict, total=False):
    """The top level, beside the groups whose options have a `_target_`."""

    seed: int
    study: str
    name: str | None
    choices: dict[str, str | None]  # which option of each group was taken; written by compose
    trainer: Trainer
    evaluation: Evaluation


ASIDE: dict[str, type] = {"optimizer": OptimizerAside}
"""Keys that are taken out of a section before its target is bound."""

GIVEN = frozenset({"params", "dim", "classes", "labels", "groups", "shape", "distance", "seed"})
"""Parameters that `build` gives to a target whose signature names them and whose yaml does not; so are keyword-only
ones without a default."""

LEFT_OUT = (
    "choices",
    "name",
    "study",
    "data.root",
    "data.address",
    "launcher",
    "search",
    "logger",
    "trainer.max_time",
    "trainer.progress",
    "trainer.checkpoint_every",
    "trainer.workers",
)
"""Keys that do not decide what a run computes, or only how far it gets: its run id does not depend on them. Nor does it
on callbacks that only watch, see `identity`.
"""
