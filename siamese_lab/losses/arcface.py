import torch
from torch import Tensor, nn

from siamese_lab.losses._class_weights import (
    add_angular_margin,
    check_angular_margin,
    class_cosines,
    class_cross_entropy,
    random_directions,
)
from siamese_lab.structures.contracts import Consumes, Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples


class ArcFaceLoss(nn.Module):
    """`norm_softmax` with an additive angular margin: the own class must win although its angle is counted as larger.

    loss = mean over images of - log softmax at the image's class of scale * (cos(theta + margin) for the own class,
    cos(theta) for the others). Beyond theta = pi - margin, where cos(theta + margin) would rise again, the own class
    counts cos(theta) - margin sin(margin), so that the cost grows with the angle over all of [0, pi]. Weights start as
    random directions, of norm 0.1.

    Source: Deng et al., CVPR 2019, eq. 3 (margin 0.5; scale 64, which takes longer to begin to learn). The case beyond
    pi - margin is from the authors' code.

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
        check_angular_margin(margin, scale)
        self.margin, self.scale = margin, scale
        self.weight = random_directions(classes, dim)

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss; counts images, `active` if nearest another class than theirs."""
        cosine, own = class_cosines(e, self.weight)  # (B, C) each
        shifted = torch.where(own, add_angular_margin(cosine, self.margin), cosine)
        return class_cross_entropy(e, self.scale * shifted, cosine)
