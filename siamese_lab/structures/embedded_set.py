"""What a protocol is given: embeddings and what is known of them, never a model."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from siamese_lab.distances._contract import Distance
from siamese_lab.structures.samples import Episodes


@dataclass(frozen=True)
class EmbeddedSet:
    """The embeddings of one part of a data set.

    Args:
        z: (N, D), float32 or float64.
        labels: (N,) int64, indices into `classes`.
        classes: the identities' names; influences are filed under them.
        distance: an nn.Module with pairwise(a, b) -> (P,) and matrix(a, b) -> (N, M), smaller = more alike.
        groups: {name: (codes (N,), names)}, what the identities belong to.
        trials: {name: Episodes} that the publisher fixed, over rows of `z`.
    """

    z: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    distance: Distance
    groups: Mapping[str, tuple[Tensor, tuple[str, ...]]] = field(default_factory=dict)
    trials: Mapping[str, Episodes] = field(default_factory=dict)
