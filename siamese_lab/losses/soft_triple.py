import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siamese_lab.core.checks import require_at_least, require_positive, require_within
from siamese_lab.losses._class_weights import class_cosines, class_cross_entropy, class_facts, random_directions
from siamese_lab.structures.contracts import Consumes, Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples


class SoftTripleLoss(nn.Module):
    """`cosface` with several centers a class, of which the nearer ones count more, and which are drawn together.

    The similarity S of an image to a class is the mean of the cosines to its centers, weighted by softmax(cos / gamma).
    The loss is the mean over images of - log softmax at the image's class of scale * (S - margin for the own class, S
    for the others), plus tau * (sum over all pairs of centers of one class of their Euclidean distance) / (classes *
    centers * (centers - 1)). Centers start as random directions, of norm 0.1.

    Source: Qian et al., ICCV 2019, section 3 (10 centers, scale 20, gamma 0.1, margin 0.01, tau 0.2).

    Args:
        dim: dimensions of an embedding, given by the backbone.
        classes: of the training part, given by the data, >= 2; labels are 0 .. classes - 1.
        centers: a class, >= 1.
        scale: the paper's lambda, > 0.
        gamma: temperature over the centers of a class, > 0; small = only the nearest center counts.
        margin: a difference of cosines, in [0, 2).
        tau: weight of the penalty on the spread of a class's centers, >= 0.

    Raises:
        ValueError: if a value is out of its range.

    Examples:
        >>> import torch
        >>> from siamese_lab.losses.soft_triple import SoftTripleLoss
        >>> from siamese_lab.structures.embedded import Embedded
        >>> z = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.6, 0.8]])
        >>> e = Embedded(z, torch.tensor([0, 0, 1, 1]))
        >>> criterion = SoftTripleLoss(dim=2, classes=2, centers=2, scale=4.0)
        >>> _ = criterion.weight.data.copy_(torch.tensor([[[1.0, 0.0], [0.6, 0.8]], [[0.0, 1.0], [-0.6, 0.8]]]))
        >>> loss, facts = criterion(e)
        >>> round(loss.item(), 4), facts["active"].item()
        (0.2977, 0)
    """

    consumes: Consumes = "labels"
    requires: tuple[Property, ...] = ()
    uses_memory: bool = False

    def __init__(
        self,
        *,
        dim: int,
        classes: int,
        centers: int = 10,
        scale: float = 20.0,
        gamma: float = 0.1,
        margin: float = 0.01,
        tau: float = 0.2,
    ) -> None:
        super().__init__()
        require_positive("centers", centers, "it is how many weight vectors a class has")
        require_positive("scale", scale, "similarities are multiplied by it")
        require_positive("gamma", gamma, "cosines are divided by it")
        require_within("margin", margin, "[0, 2)", "it is a difference of two cosines")
        require_at_least("tau", tau, 0, "it is the weight of the spread of a class's centers")
        self.scale, self.gamma, self.margin, self.tau = scale, gamma, margin, tau
        self.weight = random_directions(classes, centers, dim)

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss; counts images, `active` if nearest another class than theirs."""
        cosine, own = class_cosines(e, self.weight)  # (B, C, K), (B, C)
        similarity = ((cosine / self.gamma).softmax(2) * cosine).sum(2)  # (B, C)
        if not len(cosine):
            return e.zero(), class_facts(e, similarity)
        shifted = torch.where(own, similarity - self.margin, similarity)
        loss, facts = class_cross_entropy(e, self.scale * shifted, similarity)
        return loss + self.tau * center_spread(self.weight.to(cosine.dtype)), facts


def center_spread(weight: Tensor) -> Tensor:
    """Half of the mean Euclidean distance of two centers of one class, of weights (C, K, D); 0 if K is 1."""
    classes, centers, _ = weight.shape
    if centers == 1:
        return weight.sum() * 0.0
    with torch.autocast(weight.device.type, enabled=False):
        w = F.normalize(weight, dim=2)
        first, second = torch.triu_indices(centers, centers, 1, device=weight.device)
        squared = 2.0 - 2.0 * (w @ w.mT)[:, first, second]  # (C, K (K - 1) / 2)
        distance = squared.clamp(min=torch.finfo(squared.dtype).eps).sqrt()  # no infinite gradient at 0
    return distance.sum() / (classes * centers * (centers - 1))
