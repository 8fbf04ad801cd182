import torch

from siamese_lab.miners._strips import split_anchors
from siamese_lab.structures.contracts import Produces
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Pairs


class MultiSimilarity:
    """The negatives of an anchor nearer than its farthest positive, the positives farther than its nearest negative.

    A negative counts where d(a, n) < max over its positives of d(a, p) + epsilon, a positive where d(a, p) > min over
    its negatives of d(a, n) - epsilon. A pair of two anchors may count twice, once for each. Anchors without positives
    or without negatives are left out. All pairs of the batch may count, 16 bytes each.

    Source: Wang et al., CVPR 2019, section 4.1, "pair mining", on cosines: the same with the cosine distance.

    Args:
        epsilon: in units of the distance, in (-inf, inf); the larger, the more pairs count.

    Examples:
        >>> import torch
        >>> from siamese_lab.miners.multi_similarity import MultiSimilarity
        >>> from siamese_lab.structures.embedded import Embedded
        >>> e = Embedded(torch.tensor([[0.0], [1.0], [1.5], [5.0]]), torch.tensor([0, 0, 1, 2]))
        >>> pairs = MultiSimilarity(epsilon=0.1)(e)
        >>> pairs.left.tolist(), pairs.right.tolist(), pairs.same.tolist()
        ([1, 1], [0, 2], [True, False])
    """

    produces: Produces = "pairs"

    def __init__(self, epsilon: float = 0.1) -> None:
        self.epsilon = epsilon

    @torch.no_grad()
    def __call__(self, e: Embedded) -> Pairs:
        """Pairs whose left rows are the anchors."""
        hard = torch.zeros(e.matrix().shape, dtype=torch.bool, device=e.z.device)
        for first, d, positives, negatives in split_anchors(e):
            farthest = d.masked_fill(~positives, -torch.inf).amax(1, keepdim=True)  # (a, 1); -inf: no negative counts
            nearest = d.masked_fill(~negatives, torch.inf).amin(1, keepdim=True)
            far, near = positives & (d > nearest - self.epsilon), negatives & (d < farthest + self.epsilon)
            hard[first : first + len(d)] = far | near
        left, right = hard.nonzero(as_tuple=True)
        return Pairs(left, right, e.positives()[left, right])
