from typing import Literal

import torch
from torch import Tensor

from siamese_lab.core.checks import require_choice
from siamese_lab.miners._strips import Strip, mine_strips
from siamese_lab.structures.contracts import Produces
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Triplets


class EasyPositive:
    """For each anchor its nearest positive and a hard or semi-hard negative: a class need not shrink to a point.

    The hard negative is the nearest of all, the semi-hard one the nearest of those that are farther than the positive.
    Anchors without such a positive and negative are left out.

    Source: Xuan, Stylianou, Pless, WACV 2020, section 3 (EPHN and EPSHN).

    Args:
        negative: "hard" or "semi_hard".

    Raises:
        ValueError: if negative is neither.

    Examples:
        >>> import torch
        >>> from siamese_lab.miners.easy_positive import EasyPositive
        >>> from siamese_lab.structures.embedded import Embedded
        >>> e = Embedded(torch.tensor([[0.0], [1.0], [1.5], [2.5], [5.0]]), torch.tensor([0, 0, 1, 0, 1]))
        >>> [part.tolist() for part in EasyPositive(negative="hard")(e)]
        [[0, 1, 2, 3, 4], [1, 0, 4, 1, 2], [2, 2, 1, 2, 3]]
    """

    produces: Produces = "triplets"

    def __init__(self, negative: Literal["hard", "semi_hard"] = "semi_hard") -> None:
        require_choice("negative", negative, ("hard", "semi_hard"))
        self.semi = negative == "semi_hard"

    @torch.no_grad()
    def __call__(self, e: Embedded) -> Triplets:
        """At most one triplet an anchor."""
        return mine_strips(e, self._mine)

    def _mine(self, strip: Strip) -> tuple[Tensor, Tensor, Tensor]:
        near, positive = strip.d.masked_fill(~strip.positives, torch.inf).min(1)
        allowed = strip.negatives & (strip.d > near[:, None]) if self.semi else strip.negatives
        anchor = (strip.positives.any(1) & allowed.any(1)).nonzero().flatten()
        negative = strip.d.masked_fill(~allowed, torch.inf).argmin(1)
        return anchor, positive[anchor], negative[anchor]
