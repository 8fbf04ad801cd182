"""What the lab asks of a distance, and the facts about one that a loss may require."""

from collections.abc import Callable
from enum import Enum
from typing import Protocol

from torch import Tensor


class Property(Enum):
    """A fact about a distance. The value is how a message says it."""

    NON_NEGATIVE = "a distance that is never negative"
    COSINE = "the cosine distance"


class Distance(Protocol):
    """Compares embeddings; smaller = more alike. Works in at least float32. May own weights."""

    low: float
    """The least value that it can take; -inf where there is none."""

    high: float
    """The greatest one; inf where there is none."""

    properties: tuple[Property, ...]
    """What holds of it, for losses that require it."""

    def pairwise(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances (P,) of the rows of a (P, D) to those of b (P, D)."""

    def matrix(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances (N, M) of every row of a (N, D) to every row of b (M, D)."""

    def index(self) -> tuple[str, Callable[[Tensor], Tensor]] | None:
        """How a search by matrix products can rank as this distance does; None where none can.

        "l2", "ip" or "cosine", and a map of the embeddings (N, D) that comes first.
        """
