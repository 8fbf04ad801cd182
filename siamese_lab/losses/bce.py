import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siamese_lab.losses._reductions import pair_loss
from siamese_lab.structures.contracts import Consumes, Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples, pair_distances


class BCELoss(nn.Module):
    """Cross-entropy of p(same) = sigmoid(bias - distance) with a learned bias.

    Each kind of pair is averaged on its own and the two averages are averaged, so that chance costs ln 2 however few
    positives there are; with as many positives as negatives this is the plain mean.

    Source: Koch, Zemel, Salakhutdinov, ICML deep learning workshop 2015, section 3.2 (the printed loss lacks its minus
    sign). With `distance=weighted_l1` it is their head.

    Args:
        bias: where the bias starts, in units of the distance, in (-inf, inf): the distance at which both answers are
            equally likely.

    Examples:
        >>> import torch
        >>> from siamese_lab.losses.bce import BCELoss
        >>> from siamese_lab.structures.embedded import Embedded
        >>> z = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.6, 0.8]])
        >>> e = Embedded(z, torch.tensor([0, 0, 1, 1]))
        >>> loss, facts = BCELoss()(e)
        >>> round(loss.item(), 4), facts["active"].item()
        (0.5887, 1)
    """

    consumes: Consumes = "pairs"
    requires: tuple[Property, ...] = ()
    uses_memory: bool = True

    def __init__(self, bias: float = 1.0) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(float(bias)))

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and how many of the pairs are `active` (on the wrong side)."""
        d, same, pairs = pair_distances(e, tuples)  # (P,) or (A, R)
        logit = self.bias - d
        cost = F.softplus(torch.where(same, -logit, logit))
        loss, facts = pair_loss(e, cost, (logit > 0) != same, same, pairs)
        return loss / 2, facts
