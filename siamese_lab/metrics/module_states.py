"""The embeddings that the classes of `metrics.modules` keep between `update` and `compute`."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from siamese_lab.core.errors import LabError
from siamese_lab.distances.euclidean import Euclidean
from siamese_lab.structures.contracts import Distance
from siamese_lab.structures.embedded_set import EmbeddedSet

STATES = ("z", "labels", "ids")
NO_ID = -1  # of rows that came without ids


def add_states(metric: Metric, distance: Distance | None) -> None:
    """Gives a metric its distance (None = Euclidean) and the states that `append_rows` fills."""
    metric.distance = Euclidean() if distance is None else distance
    for state in STATES:
        metric.add_state(state, default=[], dist_reduce_fx="cat")


def append_rows(metric: Metric, z: Tensor, labels: Tensor, ids: Tensor | None) -> None:
    """Keeps rows z (N, D), in at least float32 and without gradient, with labels (N,) and ids (N,).

    Raises:
        ValueError: if a shape or a type is another.
    """
    if z.ndim != 2 or not z.is_floating_point():
        raise ValueError(
            f"z must be embeddings (N, D) of a floating-point type, got {z.dtype} of shape {tuple(z.shape)}: pass what "
            "the encoder returns, one row an image"
        )
    for name, values in {"labels": labels, "ids": ids}.items():
        if values is not None and (values.shape != z.shape[:1] or values.is_floating_point()):
            raise ValueError(
                f"{name} must be {len(z)} integers, one for each row of z, got {values.dtype} of shape "
                f"{tuple(values.shape)}"
            )
    if ids is not None and bool((ids < 0).any()):
        raise ValueError(f"ids must be >= 0, got {int(ids.min())}: they are the rows' numbers in the data set")
    kept = {
        "z": z.detach().to(torch.promote_types(z.dtype, torch.float32)),
        "labels": labels.detach().long(),
        "ids": torch.full_like(labels, NO_ID, dtype=torch.long) if ids is None else ids.detach().long(),
    }
    for state, values in kept.items():
        getattr(metric, state).append(values.to(z.device))


def evaluate_rows(metric: Metric, measure: Callable[[EmbeddedSet], float]) -> Tensor:
    """The measure of all rows that were kept, as a scalar on their device: float64, or float32 where there is none.

    Raises:
        LabError: if there is no row.
        ValueError: if only some rows have ids.
    """
    z, labels, ids = (_all_rows(metric, state) for state in STATES)
    if not len(z):
        raise LabError(f"{type(metric).__name__} needs embeddings, but got none: call update before compute")
    with_id = ids != NO_ID
    if bool(with_id.any()):
        if not bool(with_id.all()):
            raise ValueError(
                f"ids must be passed in every update or in none, but {int((~with_id).sum()):,} of {len(ids):,} rows "
                "have none"
            )
        ids, order = ids.sort(stable=True)
        first = torch.ones_like(with_id)
        first[1:] = ids[1:] != ids[:-1]
        z, labels = z[order[first]], labels[order[first]]
    classes, codes = labels.unique(return_inverse=True)
    embedded = EmbeddedSet(z, codes, tuple(map(str, classes.tolist())), cast(Distance, metric.distance))
    with torch.autocast(z.device.type, enabled=False):  # a step's autocast would round the distances
        value = measure(embedded)
    return torch.tensor(value, dtype=torch.float32 if z.device.type == "mps" else torch.float64, device=z.device)


def _all_rows(metric: Metric, state: str) -> Tensor:
    """A state as one tensor: torchmetrics leaves it a list, or a tensor once the processes are gathered."""
    rows = cast(Tensor | list[Tensor], getattr(metric, state))
    return dim_zero_cat(rows) if len(rows) else torch.empty(0)
