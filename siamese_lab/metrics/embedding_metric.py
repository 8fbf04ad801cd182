"""The base of the classes of `metrics.modules`."""

from abc import abstractmethod

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from siamese_lab.core.errors import LabError
from siamese_lab.distances.euclidean import Euclidean
from siamese_lab.structures.contracts import Distance
from siamese_lab.structures.embedded_set import EmbeddedSet
from siamese_lab.structures.shapes import check_embeddings, check_integers

NO_ID = -1  # of rows that came without ids


class EmbeddingMetric(Metric):
    """Keeps embeddings between `update` and `compute`, which evaluates them all.

    Args:
        distance: smaller = more alike; None = Euclidean.
        **kwargs: of `torchmetrics.Metric`.
    """

    is_differentiable, full_state_update = False, False

    z: list[Tensor]
    labels: list[Tensor]
    ids: list[Tensor]

    def __init__(self, distance: Distance | None = None, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.distance: Distance = Euclidean() if distance is None else distance
        for state in ("z", "labels", "ids"):
            self.add_state(state, default=[], dist_reduce_fx="cat")

    def update(self, z: Tensor, labels: Tensor, ids: Tensor | None = None) -> None:
        """Keeps rows z (N, D), in at least float32 and without gradient, with labels (N,) and ids (N,).

        Raises:
            ValueError: if a shape or a type is another.
        """
        check_embeddings(z)
        check_integers("labels", labels, len(z))
        if ids is not None:
            check_integers("ids", ids, len(z))
            if bool((ids < 0).any()):
                raise ValueError(f"ids must be >= 0, got {int(ids.min())}: they are the rows' numbers in the data set")
        ids = torch.full_like(labels, NO_ID, dtype=torch.long) if ids is None else ids.detach().long()
        self.z.append(z.detach().to(torch.promote_types(z.dtype, torch.float32)))
        self.labels.append(labels.detach().long().to(z.device))
        self.ids.append(ids.to(z.device))

    def compute(self) -> Tensor:
        """The figure of all rows, a scalar on their device: float64, or float32 where there is none.

        Raises:
            LabError: if there is no row, or the figure is undefined.
            ValueError: if only some rows have ids.
        """
        z, labels, ids = (_concatenate(rows) for rows in (self.z, self.labels, self.ids))
        if not len(z):
            raise LabError(f"{type(self).__name__} needs embeddings, but got none: call update before compute")
        with_id = ids != NO_ID
        if bool(with_id.any()):
            if not bool(with_id.all()):
                raise ValueError(
                    f"ids must be passed in every update or in none, but {int((~with_id).sum()):,} of {len(ids):,} "
                    "rows have none"
                )
            ids, order = ids.sort(stable=True)
            first = torch.ones_like(with_id)
            first[1:] = ids[1:] != ids[:-1]
            z, labels = z[order[first]], labels[order[first]]
        classes, codes = labels.unique(return_inverse=True)
        embedded = EmbeddedSet(z, codes, tuple(map(str, classes.tolist())), self.distance)
        with torch.autocast(z.device.type, enabled=False):  # a step's autocast would round the distances
            value = self.evaluate(embedded)
        return torch.tensor(value, dtype=torch.float32 if z.device.type == "mps" else torch.float64, device=z.device)

    @abstractmethod
    def evaluate(self, embedded: EmbeddedSet) -> float:
        """The figure of these embeddings."""


def _concatenate(rows: list[Tensor] | Tensor) -> Tensor:
    """A state as one tensor: torchmetrics leaves it a list, or a tensor once the processes are gathered."""
    return dim_zero_cat(rows) if len(rows) else torch.empty(0)
