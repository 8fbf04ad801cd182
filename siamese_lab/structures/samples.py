"""A decoded data set."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from siamese_lab.structures.shapes import check_integers, described

TRAIN, VAL, TEST, UNUSED = 0, 1, 2, -1
PARTS = {"train": TRAIN, "val": VAL, "test": TEST}


class Episodes(NamedTuple):
    """E one-shot problems over sample ids.

    Args:
        support: (E, way, shot).
        query: (E, Q).
        truth: (E, Q) the right way of each query, an index into the support's second axis.
        name: (E,) the name of each problem in a report.
    """

    support: Tensor
    query: Tensor
    truth: Tensor
    name: tuple[str, ...]


@dataclass(frozen=True)
class Samples:
    """A decoded data set. Row i is image `row[i]` of the store, turned by `turn[i]` quarter turns.

    Args:
        images: the store, uint8 (M, C, H, W); may be memory-mapped and larger than memory.
        row: (N,) int64, the image of each sample.
        turn: (N,) int64 in 0..3, counter-clockwise quarter turns.
        labels: (N,) int64, an index into `classes`; within a part all of them are used by that part alone, unless
            `disjoint` is "image".
        classes: the identities' names, unique.
        groups: what the identities belong to, e.g. {"alphabet": (codes (N,), names)}.
        split: (N,) int64: TRAIN, VAL, TEST or UNUSED.
        disjoint: "label" if no identity stands in two parts, "image" if only the images differ.
        fingerprint: hash of the decoded content, the labels and the split.
        trials: episodes that the data set's publisher fixed, over rows of these samples.
        files: where each image came from, for messages and the projector; empty where images were drawn.

    Examples:
        >>> import torch
        >>> from siamese_lab.structures.samples import TEST, TRAIN, Samples
        >>> images = torch.arange(4, dtype=torch.uint8).view(4, 1, 1, 1).expand(4, 1, 8, 8)  # image i is filled with i
        >>> labels, split = torch.tensor([0, 0, 1, 1]), torch.tensor([TRAIN, TRAIN, TEST, TEST])
        >>> row, turn = torch.arange(4), torch.zeros(4, dtype=torch.long)
        >>> samples = Samples(images, row, turn, labels, ("a", "b"), {}, split, disjoint="label", fingerprint="none")
        >>> samples.ids("test").tolist(), samples.gather(samples.ids("test"))[:, 0, 0, 0].tolist()
        ([2, 3], [2, 3])
    """

    images: Tensor
    row: Tensor
    turn: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    groups: Mapping[str, tuple[Tensor, tuple[str, ...]]]
    split: Tensor
    disjoint: str
    fingerprint: str
    trials: Mapping[str, Episodes] = field(default_factory=dict)
    files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_integers("row", self.row)
        for name, values in (("turn", self.turn), ("labels", self.labels), ("split", self.split)):
            check_integers(name, values, len(self.row), "one for each row")
        if self.images.ndim != 4 or self.images.dtype != torch.uint8:
            raise ValueError(f"images must be uint8 of shape (M, C, H, W), got {described(self.images)}")
        if self.disjoint not in ("label", "image"):
            raise ValueError(f"disjoint must be label or image, got {self.disjoint!r}")
        for name, (codes, _) in self.groups.items():
            check_integers(f"the codes of group {name}", codes, len(self.row), "one for each row")

    def ids(self, part: str) -> Tensor:
        """The samples of "train", "val" or "test", ascending."""
        return (self.split == PARTS[part]).nonzero().flatten()

    def gather(self, ids: Tensor) -> Tensor:
        """Images of `ids` (B,), uint8 (B, C, H, W), turned."""
        x = self.images[self.row[ids]]
        turn = self.turn[ids]
        if turn.any():
            for k in (1, 2, 3):
                chosen = turn == k
                if chosen.any():
                    x[chosen] = torch.rot90(x[chosen], k, (2, 3))
        return x
