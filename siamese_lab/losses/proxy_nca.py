from typing import Literal

from torch import Tensor, nn

from siamese_lab.core.checks import require_choice, require_positive
from siamese_lab.losses._class_weights import class_cosines, class_facts, random_directions
from siamese_lab.losses._reductions import masked_logsumexp
from siamese_lab.structures.contracts import Consumes, Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples


class ProxyNCALoss(nn.Module):
    """Wants each image nearer the proxy of its class than all other proxies.

    With the squared Euclidean distance D of the normalised image and proxy, loss = mean over images of - log(
    exp(-scale D(own)) / sum over the other classes c of exp(-scale D(c)) ). It may turn negative: the paper's sum
    leaves the own proxy out. Proxies start as random directions, of norm 0.1.

    Source: Movshovitz-Attias et al., ICCV 2017 (scale 1); Teh et al., "ProxyNCA++", ECCV 2020 (all proxies in the sum,
    scale 9 as their temperature 1/9).

    Args:
        dim: dimensions of an embedding, given by the backbone.
        classes: of the training part, given by the data, >= 2; labels are 0 .. classes - 1.
        scale: multiplies the distances, > 0; the paper's 1 hardly learns anything from unit-norm embeddings.
        denominator: "others", the paper's, or "all": the own proxy too, so that the loss is that of a probability.

    Raises:
        ValueError: if scale is not positive, denominator none of these or classes less than 2.

    Examples:
        >>> import torch
        >>> from siamese_lab.losses.proxy_nca import ProxyNCALoss
        >>> from siamese_lab.structures.embedded import Embedded
        >>> z = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.6, 0.8]])
        >>> e = Embedded(z, torch.tensor([0, 0, 1, 1]))
        >>> criterion = ProxyNCALoss(dim=2, classes=2, scale=3.0)
        >>> _ = criterion.proxies.data.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        >>> loss, facts = criterion(e)
        >>> round(loss.item(), 4), facts["active"].item()
        (-4.8, 1)
    """

    consumes: Consumes = "labels"
    requires: tuple[Property, ...] = ()
    uses_memory: bool = False

    def __init__(
        self, *, dim: int, classes: int, scale: float = 9.0, denominator: Literal["others", "all"] = "others"
    ) -> None:
        super().__init__()
        require_positive("scale", scale, "distances are multiplied by it")
        require_choice("denominator", denominator, ("others", "all"), "which proxies are summed")
        self.scale, self.denominator = scale, denominator
        self.proxies = random_directions(classes, dim)

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss; counts images, `active` if nearest another proxy than theirs."""
        cosine, own = class_cosines(e, self.proxies)  # (B, C) each
        logits = self.scale * (2.0 * cosine - 2.0)  # -scale D
        total = masked_logsumexp(logits, ~own) if self.denominator == "others" else logits.logsumexp(1)
        loss = (total - logits.masked_fill(~own, 0.0).sum(1)).sum() / max(1, len(cosine))
        return e.zero() + loss, class_facts(e, cosine)
