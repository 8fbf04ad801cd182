"""Proxy-Anchor loss."""

from torch import Tensor, nn

from siamese_lab.losses._class_weights import batch, cosines, directions, facts, own_class
from siamese_lab.losses._log_sums import log_one_plus_sum
from siamese_lab.structures.contracts import Consumes, Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples


class ProxyAnchorLoss(nn.Module):
    """Each class's proxy is an anchor: it draws the images of its class, and pushes all others out, the worst of them
    the hardest.

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
        if not 0 <= margin < 1:
            raise ValueError(f"margin must lie in [0, 1), got {margin}: it is a cosine")
        if not scale > 0:
            raise ValueError(f"scale must be > 0, got {scale}: cosines are multiplied by it")
        self.margin, self.scale = margin, scale
        self.proxies = directions(classes, dim)

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss over the labels, whatever the `tuples`; `active` images are nearest another proxy than theirs."""
        z, labels = batch(e)
        cosine = cosines(z, self.proxies)  # (B, C)
        own = own_class(labels, len(self.proxies))
        # (C,), 0 for a class that is not in the batch
        pull = log_one_plus_sum(self.scale * (self.margin - cosine), own, dim=0)
        push = log_one_plus_sum(self.scale * (cosine + self.margin), ~own, dim=0)
        return e.zero() + pull.sum() / own.any(0).sum().clamp(min=1) + push.mean(), facts(cosine, labels)
