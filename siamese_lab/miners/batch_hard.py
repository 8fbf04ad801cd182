"""Batch-hard mining."""

import torch

from siamese_lab.batch import Embedded, Triplets


class BatchHard:
    """For each anchor its farthest positive and its nearest negative; anchors without one of them are left out.

    Source: Hermans, Beyer, Leibe, 2017, eq. 5.
    """

    gives = "triplets"

    @torch.no_grad()
    def __call__(self, e: Embedded) -> Triplets:
        """At most one triplet an anchor."""
        d, positives, negatives = e.matrix().detach(), e.positives(), e.negatives()
        anchor = (positives.any(1) & negatives.any(1)).nonzero().flatten()
        positive = d.masked_fill(~positives, -torch.inf).argmax(1)
        negative = d.masked_fill(~negatives, torch.inf).argmin(1)
        return Triplets(anchor, positive[anchor], negative[anchor])
