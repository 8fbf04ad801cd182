from torch import Tensor, nn

from siamese_lab.core.checks import require_positive, require_within
from siamese_lab.losses._class_weights import class_cosines, class_facts, random_directions
from siamese_lab.losses._reductions import masked_log1p_sum_exp
from siamese_lab.structures.contracts import Consumes, Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples


class ProxyAnchorLoss(nn.Module):
    """Each class's proxy is an anchor that pulls the images of its class and pushes all others, the worst the hardest.

    loss = mean over the proxies of classes in the batch of log(1 + sum over their images of exp(-scale (cos - margin)))
    + mean over all proxies of log(1 + sum over the images of other classes of exp(scale (cos + margin))). Proxies start
    as random directions, of norm 0.1.

    Source: Kim et al., CVPR 2020, eq. 4 (margin 0.1, scale 32).

    Args:
        dim: dimensions of an embedding, given by the backbone.
        classes: of the training part, given by the data, >= 2; labels are 0 .. classes - 1.
        margin: the paper's delta, a cosine, in [0, 1).
        scale: the paper's alpha, > 0; large = only the worst images of a proxy count.

    Raises:
        ValueError: if margin is not in [0, 1), scale not positive or classes less than 2.

    Examples:
        >>> import torch
        >>> from siamese_lab.losses.proxy_anchor import ProxyAnchorLoss
        >>> from siamese_lab.structures.embedded import Embedded
        >>> z = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.6, 0.8]])
        >>> e = Embedded(z, torch.tensor([0, 0, 1, 1]))
        >>> criterion = ProxyAnchorLoss(dim=2, classes=2, scale=4.0)
        >>> _ = criterion.proxies.data.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        >>> loss, facts = criterion(e)
        >>> round(loss.item(), 4), facts["active"].item()
        (2.4335, 1)
    """

    consumes: Consumes = "labels"
    requires: tuple[Property, ...] = ()
    uses_memory: bool = False

    def __init__(self, *, dim: int, classes: int, margin: float = 0.1, scale: float = 32.0) -> None:
        super().__init__()
        require_within("margin", margin, "[0, 1)", "it is a cosine")
        require_positive("scale", scale, "cosines are multiplied by it")
        self.margin, self.scale = margin, scale
        self.proxies = random_directions(classes, dim)

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss; counts images, `active` if nearest another proxy than theirs."""
        cosine, own = class_cosines(e, self.proxies)  # (B, C) each
        pull = masked_log1p_sum_exp(self.scale * (self.margin - cosine), own, dim=0)  # (C,), 0 for an absent class
        push = masked_log1p_sum_exp(self.scale * (cosine + self.margin), ~own, dim=0)
        return e.zero() + pull.sum() / own.any(0).sum().clamp(min=1) + push.mean(), class_facts(e, cosine)
