import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from siamese_lab.core.checks import require_choice, require_within
from siamese_lab.miners._strips import Strip, mine_strips, positive_pairs
from siamese_lab.structures.contracts import Produces
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Triplets

PORTION = 2**21  # triplets compared at once


class Angular:
    """Triplets with a large angle at the negative: atan(|a - p| / (2 |n - c|)) > angle, with c midway of a and p.

    Embeddings are divided by their norm first, whatever the distance of the run. Each anchor-positive pair gets the
    negative with the largest angle, the one nearest to c, or all above the bound. Pairs without one are left out.
    Time grows with pairs x rows; memory does not, but for the triplets found.

    Source: Wang et al., ICCV 2017, section 3.2: the angle n' that their loss bounds from above.

    Args:
        angle: in degrees, in (0, 90).
        negatives: "hardest", one a pair; or "all", which may be as many as the labels imply.

    Raises:
        ValueError: if angle is not in its range, or negatives none of these.

    Examples:
        >>> import torch
        >>> from siamese_lab.miners.angular import Angular
        >>> from siamese_lab.structures.embedded import Embedded
        >>> z = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 9.0]])  # 90 and 13 degrees at the negatives
        >>> e = Embedded(z, torch.tensor([0, 0, 1, 2]))
        >>> [part.tolist() for part in Angular(angle=40.0)(e)]
        [[0, 1], [1, 0], [2, 2]]
    """

    produces: Produces = "triplets"

    def __init__(self, angle: float = 20.0, negatives: Literal["hardest", "all"] = "hardest") -> None:
        require_within("angle", angle, "(0, 90)", "it is what a triplet's angle must exceed, in degrees")
        require_choice("negatives", negatives, ("hardest", "all"))
        self.tangent, self.all = math.tan(math.radians(angle)), negatives == "all"

    @torch.no_grad()
    def __call__(self, e: Embedded) -> Triplets:
        """Triplets, anchor by anchor."""
        z = F.normalize(e.z.detach(), dim=1)  # (R, D)
        return mine_strips(e, lambda strip: self._mine(strip, z))

    def _mine(self, strip: Strip, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = [
            self._mine_pairs(strip, z, *part)
            for part in zip(*(x.split(max(1, PORTION // len(z))) for x in positive_pairs(strip)), strict=True)
        ]
        if not found:
            empty = torch.zeros(0, dtype=torch.long, device=z.device)
            return empty, empty, empty
        anchor, positive, negative = (torch.cat(column) for column in zip(*found, strict=True))
        return anchor, positive, negative

    def _mine_pairs(self, strip: Strip, z: Tensor, anchor: Tensor, positive: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a, p = z[anchor + strip.first], z[positive]  # (P, D)
        centre = (a + p) / 2
        norms = centre.square().sum(1)[:, None] + z.square().sum(1)[None, :]
        far = torch.addmm(norms, centre, z.T, alpha=-2.0).clamp(min=0.0)  # (P, R)
        base = (a - p).square().sum(1)[:, None]  # |a - p|^2, tangent = |a - p| / (2 |n - c|)
        wide = strip.negatives[anchor] & (base > 4 * self.tangent**2 * far)
        if self.all:
            pair, negative = wide.nonzero(as_tuple=True)
        else:
            pair = wide.any(1).nonzero().flatten()
            negative = far.masked_fill(~wide, torch.inf).argmin(1)[pair]
        return anchor[pair], positive[pair], negative
