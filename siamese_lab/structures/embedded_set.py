"""Embeddings of one part of a data set with labels, groups and trials, as protocols get them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from siamese_lab.core.errors import LabError
from siamese_lab.distances._contract import Distance
from siamese_lab.structures.samples import Episodes
from siamese_lab.structures.shapes import check_embeddings, check_integers


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

    Raises:
        ValueError: if a tensor is of another shape or type, a label or code names nothing, or two classes are called
            alike.

    Examples:
        >>> import torch
        >>> from siamese_lab.distances.euclidean import Euclidean
        >>> from siamese_lab.structures.embedded_set import EmbeddedSet
        >>> part = EmbeddedSet(torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([0, 0, 1]), ("a", "b"), Euclidean())
        >>> part.distance.matrix(part.z, part.z)[0].tolist()
        [0.0, 1.0, 3.0]
    """

    z: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    distance: Distance
    groups: Mapping[str, tuple[Tensor, tuple[str, ...]]] = field(default_factory=dict)
    trials: Mapping[str, Episodes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_embeddings(self.z)
        check_integers("labels", self.labels, len(self.z))
        if len(self.labels) and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < len(self.classes):
            raise ValueError(
                f"labels must lie in 0 to {len(self.classes) - 1}, since there are {len(self.classes)} classes, got "
                f"{int(self.labels.min())} to {int(self.labels.max())}"
            )
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes must be unique names, got one of them twice: influences are filed under them")
        for name, (codes, names) in self.groups.items():
            check_integers(f"the codes of group {name}", codes, len(self.z))
            if len(codes) and not 0 <= int(codes.min()) <= int(codes.max()) < len(names):
                raise ValueError(f"the codes of group {name} must lie in 0 to {len(names) - 1}, one for each name")

    def group(self, name: str, remedy: str) -> tuple[Tensor, tuple[str, ...]]:
        """The codes (N,) and names of the group called `name`.

        Raises:
            LabError: if the data have no such group; the message lists those that there are and ends with `remedy`.
        """
        if name not in self.groups:
            raise _missing("group", name, self.groups, remedy)
        return self.groups[name]

    def episodes(self, name: str, remedy: str) -> Episodes:
        """The publisher's trials called `name`.

        Raises:
            LabError: if the data have no such trials; the message lists those that there are and ends with `remedy`.
        """
        if name not in self.trials:
            raise _missing("trials", name, self.trials, remedy)
        return self.trials[name]


def _missing(kind: str, name: str, present: Mapping[str, object], remedy: str) -> LabError:
    return LabError(f"this data has no {kind} {name!r} (it has: {', '.join(sorted(present)) or 'none'}): {remedy}")
