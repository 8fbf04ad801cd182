"""ArcFace, the additive angular margin loss."""

import math

import torch
from torch import Tensor, nn

from siamese_lab.losses._class_weights import batch, cosines, cross_entropy, directions, own_class, with_margin
from siamese_lab.structures.contracts import Consumes, Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples


class ArcFaceLoss(nn.Module):
    """`norm_softmax` in which the own class has to win although its angle is counted as larger by a margin, in radians.

    loss = mean over images of - log softmax at the image's class of scale * (cos(theta + margin) for the own class,
    cos(theta) for the others). Beyond theta = pi - margin, where cos(theta + margin) would rise again, the own class
    counts cos(theta) - margin sin(margin): lower than all before, so that the cost grows with the angle over all of [0,
    pi]. Weights start as random directions, of norm 0.1.

    Source: Deng et al., CVPR 2019, eq. 3 (margin 0.5; scale 64, which takes longer to begin to learn); beyond pi -
    margin as in the authors' program, the paper is silent.

    Args:
        dim: dimensions of an embedding, given by the backbone.
        classes: of the training part, given by the data, >= 2; labels are 0 .. classes - 1.
        margin: an angle in radians (0.5 = 28.6 degrees), in [0, pi / 2].
        scale: multiplies the cosines, > 0.

    Raises:
        ValueError: if margin is not in [0, pi / 2], scale not positive or classes less than 2.

    Examples:
        >>> import torch
        >>> from siamese_lab.losses.arcface import ArcFaceLoss
        >>> from siamese_lab.structures.embedded import Embedded
        >>> z = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.6, 0.8]])
        >>> e = Embedded(z, torch.tensor([0, 0, 1, 1]))
        >>> criterion = ArcFaceLoss(dim=2, classes=2, scale=4.0)
        >>> _ = criterion.weight.data.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        >>> loss, facts = criterion(e)
        >>> round(loss.item(), 4), facts["active"].item()
        (0.6934, 1)
    """

    consumes: Consumes = "labels"
    requires: tuple[Property, ...] = ()
    uses_memory: bool = False

    def __init__(self, *, dim: int, classes: int, margin: float = 0.5, scale: float = 32.0) -> None:
        super().__init__()
        check(margin, scale)
        self.margin, self.scale = margin, scale
        self.weight = directions(classes, dim)

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss over the labels, whatever the `tuples`; `active` images are nearest another class than theirs."""
        z, labels = batch(e)
        cosine = cosines(z, self.weight)  # (B, C)
        own = own_class(labels, len(self.weight))
        return cross_entropy(e, self.scale * torch.where(own, with_margin(cosine, self.margin), cosine), cosine)


def check(margin: float, scale: float) -> None:
    """Refuses a margin that is no angle in radians, and a scale that is not positive.

    Raises:
        ValueError: for either.
    """
    if not 0 <= margin <= math.pi / 2:
        raise ValueError(f"margin must lie in [0, pi / 2], got {margin}: it is an angle in radians, 0.5 = 28.6 degrees")
    if not scale > 0:
        raise ValueError(f"scale must be > 0, got {scale}: cosines are multiplied by it")
