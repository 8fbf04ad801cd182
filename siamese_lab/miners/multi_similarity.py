"""The mining of the multi-similarity loss."""

import torch

from siamese_lab.miners._strips import strips
from siamese_lab.structures.contracts import Produces
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Pairs


class MultiSimilarity:
    """The pairs of an anchor that say something beside its others: negatives that are no farther than its farthest
    positive, positives that are no nearer than its nearest negative, give or take epsilon.

    A negative counts where d(a, n) < max over its positives of d(a, p) + epsilon, a positive where d(a, p) > min over
    its negatives of d(a, n) - epsilon. A pair of two anchors may count twice, once for each. Anchors without positives
    or without negatives are left out. As many pairs may count as the batch has: 16 bytes each.

    Source: Wang et al., CVPR 2019, section 4.1, "pair mining". With the cosine distance it is theirs, for they speak of
    cosines.

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
        """Anchors stand left."""
        hard = torch.zeros(e.matrix().shape, dtype=torch.bool, device=e.z.device)
        for first, d, positives, negatives in strips(e):
            # (a, 1); -inf without a positive: no negative counts
            farthest = d.masked_fill(~positives, -torch.inf).amax(1, keepdim=True)
            nearest = d.masked_fill(~negatives, torch.inf).amin(1, keepdim=True)
            hard[first : first + len(d)] = (positives & (d > nearest - self.epsilon)) | (
                negatives & (d < farthest + self.epsilon)
            )
        left, right = hard.nonzero(as_tuple=True)
        return Pairs(left, right, e.positives()[left, right])
