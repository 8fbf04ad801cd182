"""Semi-hard mining."""

import torch

from siamese_lab.batch import Embedded, Triplets


class SemiHard:
    """For each anchor-positive pair the nearest negative that is farther than the positive; where none is, the farthest negative.

    Source: Schroff et al., CVPR 2015, eq. 4. The fallback is that of the authors' public re-implementations; the paper names none.
    """

    gives = "triplets"

    @torch.no_grad()
    def __call__(self, e: Embedded) -> Triplets:
        """One triplet for each pair of an anchor (with a negative) and a positive, in memory of the order of the distance matrix."""
        d, negatives = e.matrix().detach(), e.negatives()
        count = negatives.sum(1)
        anchor, positive = (e.positives() & (count > 0)[:, None]).nonzero(as_tuple=True)  # (P,) each
        ranked, order = d.masked_fill(~negatives, torch.inf).sort(dim=1)  # (A, R), an anchor's negatives first
        # how many of its negatives are no farther than the positive: the next one is semi-hard
        pairs = d.masked_fill(~e.positives(), -torch.inf)
        rank = torch.searchsorted(ranked, pairs, right=True)[anchor, positive]
        return Triplets(anchor, positive, order[anchor, rank.minimum(count[anchor] - 1)])
