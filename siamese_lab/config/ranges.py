"""What the plain keys of the config may be, beyond their types: ranges that no constructor's signature knows."""

import operator
import re
from collections.abc import Callable, Mapping
from datetime import timedelta

from siamese_lab.core.dotted import value_at

OPERATORS: dict[str, Callable[[float, float], bool]] = {">": operator.gt, ">=": operator.ge, "<": operator.lt}

LIMITS: tuple[tuple[str, str, float, str], ...] = (
    ("seed", ">=", 0, "it begins every stream of random numbers"),
    ("seed", "<", 2**63, "torch takes no larger one"),
    ("trainer.devices", ">=", 1, "it counts GPUs, or processes on the CPU"),
    ("trainer.max_epochs", ">=", 1, "fewer train nothing; trainer.max_time ends a long run early"),
    ("trainer.gradient_clip_val", ">", 0, "it is the largest norm of the gradient; null = none"),
    ("trainer.patience", ">=", 1, "it counts validations without a better figure; null = never stop early"),
    ("trainer.validate_every", ">=", 1, "it counts epochs from one validation to the next"),
    ("trainer.checkpoint_every", ">=", 1, "it counts steps from one checkpoint to the next; null = after epochs only"),
    ("trainer.chunk", ">=", 1, "it is how many images go through the backbone at once; null = the whole batch"),
    ("trainer.workers", ">=", 0, "they gather batches ahead; 0 = none does"),
    ("evaluation.batch_size", ">=", 1, "it is how many images are embedded at once"),
    ("evaluation.views", ">=", 1, "an embedding is the mean over that many views"),
)
"""Key, sign, bound: what its value must be, and why. Whether it may be null is for the key's type to say."""


def check_ranges(plain: Mapping[str, object], misfits: list[str]) -> None:
    """Adds a message to `misfits` for each plain key of a config that is out of its range.

    Args:
        plain: the resolved config; what is of another type than its schema says is passed over.
        misfits: gets the messages.
    """
    for key, sign, bound, why in LIMITS:
        value = value_at(plain, key)
        if isinstance(value, int | float) and not OPERATORS[sign](value, bound):
            misfits.append(f"{key} must be {sign} {bound}, got {value}: {why}")
    limit = value_at(plain, "trainer.max_time")
    if not isinstance(limit, str | int | float) or limit != limit:
        return  # its type says so already
    try:
        duration(limit)
    except ValueError as error:
        misfits.append(str(error))


def duration(limit: str | int | float | None, name: str = "trainer.max_time") -> timedelta | None:
    """`trainer.max_time` as a span of time; None = without a limit.

    Args:
        limit: "HH:MM:SS", or minutes.
        name: how the message calls it.

    Raises:
        ValueError: if it is neither, or not positive.
    """
    if limit is None:
        return None
    clock = re.fullmatch(r"(\d+):([0-5]?\d):([0-5]?\d)", limit) if isinstance(limit, str) else None
    if clock:
        span = timedelta(hours=int(clock[1]), minutes=int(clock[2]), seconds=int(clock[3]))
    elif isinstance(limit, str):
        raise ValueError(f'{name} must be "HH:MM:SS", minutes or null, got {limit!r}: 00:04:00 and 4 are four minutes')
    else:
        span = timedelta(minutes=min(limit, 1e7))  # 19 years: a timedelta holds no more than 2.7 million
    if not span > timedelta(0):
        raise ValueError(f"{name} must be > 0, got {limit}: nothing would be trained; null = no limit")
    return span
