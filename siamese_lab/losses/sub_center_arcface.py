import torch
from torch import Tensor, nn

from siamese_lab.core.checks import require_positive
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


class SubCenterArcFaceLoss(nn.Module):
    """`arcface` with several weight vectors (centers) a class, of which the nearest one counts.

    So a class may have several modes, or mislabelled images. The cosine of an image to a class is the largest of those
    to the class's centers; all else is `arcface`.

    Source: Deng et al., ECCV 2020 (3 centers, margin 0.5, scale 64).

    Args:
        dim: dimensions of an embedding, given by the backbone.
        classes: of the training part, given by the data, >= 2; labels are 0 .. classes - 1.
        centers: a class, >= 1.
        margin: an angle in radians (0.5 = 28.6 degrees), in [0, pi / 2].
        scale: multiplies the cosines, > 0.

    Raises:
        ValueError: if margin is not in [0, pi / 2], scale or centers not positive or classes less than 2.

    Examples:
        >>> import torch
        >>> from siamese_lab.losses.sub_center_arcface import SubCenterArcFaceLoss
        >>> from siamese_lab.structures.embedded import Embedded
        >>> z = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.6, 0.8]])
        >>> e = Embedded(z, torch.tensor([0, 0, 1, 1]))
        >>> criterion = SubCenterArcFaceLoss(dim=2, classes=2, centers=2, scale=4.0)
        >>> _ = criterion.weight.data.copy_(torch.tensor([[[1.0, 0.0], [0.6, 0.8]], [[0.0, 1.0], [-0.6, 0.8]]]))
        >>> loss, facts = criterion(e)
        >>> round(loss.item(), 4), facts["active"].item()
        (0.3045, 0)
    """

    consumes: Consumes = "labels"
    requires: tuple[Property, ...] = ()
    uses_memory: bool = False

    def __init__(self, *, dim: int, classes: int, centers: int = 3, margin: float = 0.5, scale: float = 32.0) -> None:
        super().__init__()
        check_angular_margin(margin, scale)
        require_positive("centers", centers, "it is how many weight vectors a class has")
        self.margin, self.scale = margin, scale
        self.weight = random_directions(classes, centers, dim)

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss; counts images, `active` if nearest another class than theirs."""
        cosine, own = class_cosines(e, self.weight)  # (B, C, K), (B, C)
        cosine = cosine.amax(2)
        shifted = torch.where(own, add_angular_margin(cosine, self.margin), cosine)
        return class_cross_entropy(e, self.scale * shifted, cosine)
