import torch
from torch import Tensor, nn

from siamese_lab.core.checks import require_positive
from siamese_lab.losses._reductions import masked_log1p_sum_exp
from siamese_lab.structures.contracts import Consumes, Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples


class MultiSimilarityLoss(nn.Module):
    """Pulls an anchor's positives above and pushes its negatives below a similarity, the worst of them the hardest.

    With the similarity S = 1 - d, an anchor i costs 1/alpha log(1 + sum over positives p of exp(-alpha (S(i, p) -
    base))) + 1/beta log(1 + sum over negatives n of exp(beta (S(i, n) - base))). The loss is the mean over the anchors
    that have a pair; with mining, one of each kind.

    The paper's mining comes first: a negative counts if it is nearer than the anchor's farthest positive + epsilon, a
    positive if it is farther than the anchor's nearest negative - epsilon.

    Source: Wang et al., CVPR 2019, section 4 (mining and loss); their S is the cosine, as is ours with the cosine
    distance. Differs from it: base 0.5 as in their code; the paper says 1.

    Args:
        alpha: weight of the worst positives, > 0.
        beta: weight of the worst negatives, > 0.
        base: the similarity 1 - d that positives have to exceed and negatives to stay below, in (-inf, inf).
        epsilon: slack of the mining, in units of the distance, >= 0; None = no mining, all pairs count.

    Raises:
        ValueError: if alpha or beta is not positive or epsilon is negative.

    Examples:
        >>> import torch
        >>> from siamese_lab.distances.cosine import Cosine
        >>> from siamese_lab.losses.multi_similarity import MultiSimilarityLoss
        >>> from siamese_lab.structures.embedded import Embedded
        >>> z = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.6, 0.8]])
        >>> e = Embedded(z, torch.tensor([0, 0, 1, 1]), distance=Cosine())
        >>> loss, facts = MultiSimilarityLoss()(e)
        >>> round(loss.item(), 4), facts["active"].item()
        (0.2795, 4)
    """

    consumes: Consumes = "labels"
    requires: tuple[Property, ...] = ()
    uses_memory: bool = True

    def __init__(self, alpha: float = 2.0, beta: float = 50.0, base: float = 0.5, epsilon: float | None = 0.1) -> None:
        super().__init__()
        for name, value in (("alpha", alpha), ("beta", beta)):
            require_positive(name, value, "similarities are multiplied by it")
        if epsilon is not None and not epsilon >= 0:
            raise ValueError(f"epsilon must be >= 0 or null, got {epsilon}: it is the slack of the mining")
        self.alpha, self.beta, self.base, self.epsilon = alpha, beta, base, epsilon

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss; counts pairs from each end, `active` if the mining keeps them."""
        d, positives, negatives = e.matrix(), e.positives(), e.negatives()
        pairs = positives | negatives
        pulled, pushed = positives, negatives
        if self.epsilon is not None:
            pulled, pushed = mine_masks(d.detach(), positives, negatives, self.epsilon)
        excess = d - (1.0 - self.base)  # (A, R): base - S
        pull = masked_log1p_sum_exp(self.alpha * excess, pulled) / self.alpha
        push = masked_log1p_sum_exp(-self.beta * excess, pushed) / self.beta
        anchors = pairs.any(1) if self.epsilon is None else positives.any(1) & negatives.any(1)
        loss = (pull + push).sum() / anchors.sum().clamp(min=1)
        return e.zero() + loss, {"active": (pulled | pushed).sum(), "tuples": (pairs & anchors[:, None]).sum()}


def mine_masks(d: Tensor, positives: Tensor, negatives: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Masks (A, R) of the positives and the negatives that the mining keeps; none of an anchor that lacks a kind."""
    farthest = d.masked_fill(~positives, -torch.inf).amax(1, keepdim=True)  # (A, 1)
    nearest = d.masked_fill(~negatives, torch.inf).amin(1, keepdim=True)
    return positives & (d > nearest - epsilon), negatives & (d < farthest + epsilon)
