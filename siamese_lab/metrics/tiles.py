"""Embeddings sorted by label and cut into tiles, so that no figure needs an N x N matrix."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from siamese_lab.core.checks import require_positive
from siamese_lab.core.errors import LabError
from siamese_lab.structures.embedded_set import EmbeddedSet

TILE = 2048  # rows compared at once by default: some 200 MB


@dataclass(frozen=True)
class SortedByLabel:
    """Embeddings sorted by label, so that an identity's rows are neighbours.

    Args:
        z: (N, D), at least float32.
        identity: (N,) int64 ascending, an index into `names`.
        start: (C + 1,) the first row of each identity; the last entry is N.
        names: the C identities that have a row.
        order: (N,) which row of the evaluated embeddings each row was.
    """

    z: Tensor
    identity: Tensor
    start: Tensor
    names: tuple[str, ...]
    order: Tensor

    @property
    def sizes(self) -> Tensor:
        """(C,) rows of each identity."""
        return self.start.diff()

    def only(self, chosen: Tensor) -> "SortedByLabel":
        """The rows `chosen` (ascending) alone; identities keep their numbers, those without a row are empty."""
        sizes = torch.bincount(self.identity[chosen], minlength=len(self.names))
        start = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        return SortedByLabel(self.z[chosen], self.identity[chosen], start, self.names, self.order[chosen])


def finite_embeddings(embedded: EmbeddedSet) -> Tensor:
    """The evaluated embeddings in at least float32, without gradient.

    Raises:
        LabError: if one is NaN or infinite: no figure would mean anything.
    """
    z = embedded.z.detach()
    z = z.float() if z.dtype in (torch.float16, torch.bfloat16) else z
    finite = torch.isfinite(z).all(1)
    if not finite.all():
        raise LabError(
            f"embeddings must be finite, but {int((~finite).sum()):,} of {len(z):,} hold NaN or infinity: the training "
            "has diverged; try a smaller learning rate or gradient clipping",
            exit_code=3,
        )
    return z


def sort_by_label(embedded: EmbeddedSet) -> SortedByLabel:
    """The evaluated embeddings sorted by label, stably: rows of one label keep their order."""
    z = finite_embeddings(embedded)
    labels, order = embedded.labels.to(z.device).sort(stable=True)
    present, identity, sizes = labels.unique_consecutive(return_inverse=True, return_counts=True)
    start = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    return SortedByLabel(z[order], identity, start, tuple(embedded.classes[c] for c in present.tolist()), order)


def spans(rows: int, size: int) -> Iterator[tuple[int, int]]:
    """The ranges [first, last) of at most `size` rows that cover `rows`."""
    for first in range(0, rows, size):
        yield first, min(first + size, rows)


def check_tile(tile: int) -> int:
    """The tile size itself; raises a ValueError if it is not positive."""
    require_positive("tile", tile, "it is the number of rows compared at once")
    return tile
