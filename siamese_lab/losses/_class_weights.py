"""What the losses share that own a weight vector, a proxy, for each class of the training part."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siamese_lab.core.checks import require_positive
from siamese_lab.structures.embedded import Embedded

INITIAL_NORM = 0.1
"""Of a class weight. `loss=norm_softmax`, 308 steps of the main job: verification/eer 16.2 % so, 25.8 % with norm 1."""


def random_directions(classes: int, *shape: int) -> nn.Parameter:
    """Weights (classes, *shape) whose last axis holds random directions, of norm INITIAL_NORM.

    Only their directions ever count, and the optimizer's steps turn short vectors faster; they grow in training.

    Raises:
        ValueError: for fewer than two classes.
    """
    if classes < 2:
        raise ValueError(f"classes must be >= 2, got {classes}: with one class there is nothing to tell apart")
    return nn.Parameter(INITIAL_NORM * F.normalize(torch.randn(classes, *shape), dim=-1))


def class_cosines(e: Embedded, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The cosines of the batch's images to the class weights, and the mask (B, C) of each image's class.

    Rows of a memory are left out: they carry no gradient and change nothing here.

    Args:
        e: the batch.
        weight: (C, D), or (C, K, D) for K vectors a class.

    Returns:
        Cosines (B, C) or (B, C, K), in [-1, 1] to the last digit, and the mask.

    Raises:
        ValueError: for a label that is no class; on a GPU it is not looked for, which would wait for the device.
    """
    z, labels, classes = e.z[: e.anchors], e.labels[: e.anchors], len(weight)
    if labels.device.type == "cpu" and len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(
            f"labels must lie in 0 .. {classes - 1}, got {int(labels.min())} .. {int(labels.max())}: each class has a "
            "weight"
        )
    own = labels[:, None] == torch.arange(classes, device=labels.device)[None, :]
    return cosines(z, weight.flatten(0, -2)).unflatten(1, weight.shape[:-1]), own


def cosines(z: Tensor, weight: Tensor) -> Tensor:
    """Cosines (B, C) of the rows of z (B, D) to those of weight (C, D), in [-1, 1], in z's precision."""
    with torch.autocast(z.device.type, enabled=False):
        return (F.normalize(z, dim=1) @ F.normalize(weight.to(z.dtype), dim=1).T).clamp(-1.0, 1.0)


def check_angular_margin(margin: float, scale: float) -> None:
    """Raises a ValueError unless the margin is an angle in [0, pi / 2] radians and the scale is positive."""
    if not 0 <= margin <= math.pi / 2:
        raise ValueError(f"margin must lie in [0, pi / 2], got {margin}: it is an angle in radians, 0.5 = 28.6 degrees")
    require_positive("scale", scale, "cosines are multiplied by it")


def add_angular_margin(cosine: Tensor, margin: float) -> Tensor:
    """cos(theta + margin) of cosines, `margin` in radians; falls over all of [0, pi], with finite gradients.

    Beyond theta = pi - margin, where cos(theta + margin) would rise again, it is cos(theta) - margin sin(margin).
    """
    rounding = torch.finfo(cosine.dtype).eps
    c = cosine.clamp(-1.0 + rounding, 1.0 - rounding)  # the gradient of the sine is infinite at cosines of -1 and 1
    sine = ((1.0 - c) * (1.0 + c)).sqrt()
    turned = c * math.cos(margin) - sine * math.sin(margin)
    return torch.where(cosine < -math.cos(margin), cosine - margin * math.sin(margin), turned)


def class_cross_entropy(e: Embedded, logits: Tensor, cosine: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The mean of -log softmax of logits (B, C) at the images' classes, and the facts of the cosines (B, C)."""
    labels = e.labels[: e.anchors]
    loss = F.cross_entropy(logits, labels, reduction="sum") / max(1, len(labels))
    return e.zero() + loss, class_facts(e, cosine)


def class_facts(e: Embedded, cosine: Tensor) -> dict[str, Tensor]:
    """The facts: `active` images are nearest another class than theirs by the cosines (B, C); `tuples` are images."""
    labels = e.labels[: e.anchors]
    wrong = (cosine.argmax(1) != labels).sum()
    return {"active": wrong, "tuples": wrong.new_tensor(len(labels))}
