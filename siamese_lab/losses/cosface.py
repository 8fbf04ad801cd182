import torch
from torch import Tensor, nn

from siamese_lab.core.checks import require_positive, require_within
from siamese_lab.losses._class_weights import class_cosines, class_cross_entropy, random_directions
from siamese_lab.structures.contracts import Consumes, Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples


class CosFaceLoss(nn.Module):
    """`norm_softmax` in which the own class's cosine has to win by a margin.

    loss = mean over images of - log softmax at the image's class of scale * (cos - margin for the own class, cos for
    the others). Weights start as random directions, of norm 0.1.

    Source: Wang et al., CVPR 2018, eq. 4 (margin 0.35, scale 64).

    Args:
        dim: dimensions of an embedding, given by the backbone.
        classes: of the training part, given by the data, >= 2; labels are 0 .. classes - 1.
        margin: a difference of cosines, in [0, 2).
        scale: multiplies the cosines, > 0.

    Raises:
        ValueError: if margin is not in [0, 2), scale not positive or classes less than 2.

    Examples:
        >>> import torch
        >>> from siamese_lab.losses.cosface import CosFaceLoss
        >>> from siamese_lab.structures.embedded import Embedded
        >>> z = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.6, 0.8]])
        >>> e = Embedded(z, torch.tensor([0, 0, 1, 1]))
        >>> criterion = CosFaceLoss(dim=2, classes=2, scale=4.0)
        >>> _ = criterion.weight.data.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        >>> loss, facts = criterion(e)
        >>> round(loss.item(), 4), facts["active"].item()
        (0.6158, 1)
    """

    consumes: Consumes = "labels"
    requires: tuple[Property, ...] = ()
    uses_memory: bool = False

    def __init__(self, *, dim: int, classes: int, margin: float = 0.35, scale: float = 32.0) -> None:
        super().__init__()
        require_within("margin", margin, "[0, 2)", "it is a difference of two cosines")
        require_positive("scale", scale, "cosines are multiplied by it")
        self.margin, self.scale = margin, scale
        self.weight = random_directions(classes, dim)

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss; counts images, `active` if nearest another class than theirs."""
        cosine, own = class_cosines(e, self.weight)  # (B, C) each
        return class_cross_entropy(e, self.scale * torch.where(own, cosine - self.margin, cosine), cosine)
