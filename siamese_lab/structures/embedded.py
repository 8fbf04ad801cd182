"""The embeddings of a batch, which memories, miners and losses work on."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from siamese_lab.distances._contract import Distance
from siamese_lab.distances.euclidean import Euclidean
from siamese_lab.structures.shapes import check_embeddings, check_integers


@dataclass
class Embedded:
    """Embeddings of one batch with the distance they are compared by.

    Args:
        z: (R, D); taken to at least float32.
        labels: (R,).
        ids: (R,) sample ids; two rows of one id are the same image and never form a pair. Default: all different.
        anchors: A <= R; rows from A on come from a memory and carry no gradient. Default: all rows.
        distance: an nn.Module with pairwise(a, b) and matrix(a, b).
        where: (epoch, step) of training, for what draws at random.

    Raises:
        ValueError: if z is no matrix of floats, labels or ids are not one integer for each row, or anchors is out of
            its range.

    Examples:
        >>> import torch
        >>> from siamese_lab.structures.embedded import Embedded
        >>> e = Embedded(torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]]), torch.tensor([0, 0, 1]))
        >>> e.matrix()[0].tolist()  # distances of the first row to all
        [0.0, 5.0, 1.0]
        >>> e.positives().tolist()
        [[False, True, False], [True, False, False], [False, False, False]]
    """

    z: Tensor
    labels: Tensor
    ids: Tensor | None = None
    anchors: int | None = None
    distance: Distance = field(default_factory=Euclidean)
    where: tuple[int, int] = (0, 0)
    _matrix: Tensor | None = field(default=None, init=False, repr=False)
    _equal: Tensor | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.z.dtype in (torch.float16, torch.bfloat16):
            self.z = self.z.float()
        check_embeddings(self.z)
        check_integers("labels", self.labels, len(self.z))
        if self.ids is None:
            self.ids = torch.arange(len(self.z), device=self.z.device)
        check_integers("ids", self.ids, len(self.z))
        if self.anchors is None:
            self.anchors = len(self.z)
        if not 0 <= self.anchors <= len(self.z):
            raise ValueError(f"anchors must lie in 0 to {len(self.z)}, the rows of z, got {self.anchors}")

    def matrix(self) -> Tensor:
        """Distances (A, R) from each anchor to each row, computed once, with gradient, in at least float32."""
        if self._matrix is None:
            with torch.enable_grad(), torch.autocast(self.z.device.type, enabled=False):
                self._matrix = self.distance.matrix(self.z[: self.anchors], self.z)
        return self._matrix

    def at(self, left: Tensor, right: Tensor) -> Tensor:
        """Distances (P,) of the rows `left`, which are anchors, to the rows `right`.

        Read from the matrix if it exists already, or if so many are asked for that one matrix product costs less than
        gathering both embeddings of each.
        """
        if self._matrix is not None or 4 * len(left) >= len(self.z[: self.anchors]) * len(self.z):
            return self.matrix()[left, right]
        with torch.autocast(self.z.device.type, enabled=False):
            distances: Tensor = self.distance.pairwise(self.z[left], self.z[right])
        return distances

    def positives(self) -> Tensor:
        """Mask (A, R): same label, another image."""
        return self._same() & self._other()

    def negatives(self) -> Tensor:
        """Mask (A, R): another label."""
        return ~self._same()

    def zero(self) -> Tensor:
        """A zero loss with a graph, for a batch without a valid tuple: every process then gets (zero) gradients."""
        return self.z.sum() * 0.0

    def rows(self) -> Tensor:
        """The image (R,) that each row shows."""
        return self.ids if self.ids is not None else torch.arange(len(self.z), device=self.z.device)

    def _same(self) -> Tensor:
        if self._equal is None:
            self._equal = self.labels[: self.anchors, None] == self.labels[None, :]
        return self._equal

    def _other(self) -> Tensor:
        ids = self.rows()
        return ids[: self.anchors, None] != ids[None, :]
