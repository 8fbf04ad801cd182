"""What the losses share that own a weight vector, a proxy, for each class of the training part."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siamese_lab.structures.embedded import Embedded

LENGTH = 0.1
"""Of a class weight at the start. `loss=norm_softmax`, 308 steps of the main job: verification/eer 16.2 % so, 25.8 %
with norm 1.
"""


def directions(classes: int, *shape: int) -> nn.Parameter:
    """Weights (classes, *shape) whose last axis holds random directions, of norm LENGTH.

    Only their directions ever count, and the optimizer's steps turn short ones faster; they grow on the way.

    Raises:
        ValueError: for fewer than two classes.
    """
    if classes < 2:
        raise ValueError(f"classes must be >= 2, got {classes}: with one class there is nothing to tell apart")
    return nn.Parameter(LENGTH * F.normalize(torch.randn(classes, *shape), dim=-1))


def batch(e: Embedded) -> tuple[Tensor, Tensor]:
    """The batch's own rows (B, D) and labels (B,): rows of a memory carry no gradient and change nothing here."""
    return e.z[: e.anchors], e.labels[: e.anchors]


def cosines(z: Tensor, weight: Tensor) -> Tensor:
    """Cosines (B, C) of the rows of z (B, D) to those of weight (C, D), in [-1, 1] to the last digit, in z's
    precision.
    """
    with torch.autocast(z.device.type, enabled=False):
        return (F.normalize(z, dim=1) @ F.normalize(weight.to(z.dtype), dim=1).T).clamp(-1.0, 1.0)


def own_class(labels: Tensor, classes: int) -> Tensor:
    """Mask (B, C): the class of each row.

    Raises:
        ValueError: for a label that is no class, where looking does not wait for a GPU.
    """
    if labels.device.type == "cpu" and len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(
            f"labels must lie in 0 .. {classes - 1}, got {int(labels.min())} .. {int(labels.max())}: each class has a "
            "weight"
        )
    return labels[:, None] == torch.arange(classes, device=labels.device)[None, :]


def with_margin(cosine: Tensor, margin: float) -> Tensor:
    """cos(theta + margin) of cosines, `margin` in radians; falls over all of [0, pi], and has a finite gradient
    everywhere.

    Beyond theta = pi - margin, where cos(theta + margin) would rise again, it is cos(theta) - margin sin(margin).
    """
    rounding = torch.finfo(cosine.dtype).eps
    c = cosine.clamp(-1.0 + rounding, 1.0 - rounding)  # the gradient of the sine is infinite at cosines of -1 and 1
    sine = ((1.0 - c) * (1.0 + c)).sqrt()
    turned = c * math.cos(margin) - sine * math.sin(margin)
    return torch.where(cosine < -math.cos(margin), cosine - margin * math.sin(margin), turned)


def cross_entropy(e: Embedded, logits: Tensor, cosine: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The mean of -log softmax of logits (B, C) at the rows' classes, and the facts.

    `active`: images that are nearest another class than theirs, by the cosines (B, C); `tuples`: images.
    """
    _, labels = batch(e)
    loss = F.cross_entropy(logits, labels, reduction="sum") / max(1, len(labels))
    return e.zero() + loss, facts(cosine, labels)


def facts(cosine: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """`active`: images that are nearest another class than theirs; `tuples`: images."""
    wrong = (cosine.argmax(1) != labels).sum()
    return {"active": wrong, "tuples": wrong.new_tensor(len(labels))}
