"""Angular mining."""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from siamese_lab.miners._strips import Strip, joined, pairs
from siamese_lab.structures.contracts import Produces
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Triplets

PORTION = 2**21  # triplets that are looked at at once


class Angular:
    """Triplets whose negative sees anchor and positive under a large angle: atan(|a - p| / (2 |n - c|)) > angle, c
    midway between them.

    Between unit-norm embeddings, whatever the distance of the run: all are divided by their norm first. For each
    anchor-positive pair the negative with the largest angle is given, which is the one nearest to c, or all that exceed
    it. Pairs without one are left out.

    Time grows with pairs x rows; memory does not, but for the triplets that are given.

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
        if not 0 < angle < 90:
            raise ValueError(
                f"angle must lie in (0, 90) degrees, got {angle}: it is what a triplet's angle must exceed"
            )
        if negatives not in ("hardest", "all"):
            raise ValueError(f"negatives must be hardest or all, got {negatives!r}")
        self.tangent, self.all = math.tan(math.radians(angle)), negatives == "all"

    @torch.no_grad()
    def __call__(self, e: Embedded) -> Triplets:
        """Triplets, anchor by anchor."""
        z = F.normalize(e.z.detach(), dim=1)  # (R, D)
        return joined(e, lambda strip: self._mine(strip, z))

    def _mine(self, strip: Strip, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = [
            self._portion(strip, z, *part)
            for part in zip(*(x.split(max(1, PORTION // len(z))) for x in pairs(strip)), strict=True)
        ]
        if not found:
            nothing = torch.zeros(0, dtype=torch.long, device=z.device)
            return nothing, nothing, nothing
        anchor, positive, negative = (torch.cat(column) for column in zip(*found, strict=True))
        return anchor, positive, negative

    def _portion(self, strip: Strip, z: Tensor, anchor: Tensor, positive: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a, p = z[anchor + strip.first], z[positive]  # (P, D)
        centre = (a + p) / 2
        # (P, R)
        far = torch.addmm(centre.square().sum(1)[:, None] + z.square().sum(1)[None, :], centre, z.T, alpha=-2.0).clamp(
            min=0.0
        )
        base = (a - p).square().sum(1)[:, None]  # |a - p|^2, tangent = |a - p| / (2 |n - c|)
        wide = strip.negatives[anchor] & (base > 4 * self.tangent**2 * far)
        if self.all:
            pair, negative = wide.nonzero(as_tuple=True)
        else:
            pair = wide.any(1).nonzero().flatten()
            negative = far.masked_fill(~wide, torch.inf).argmin(1)[pair]
        return anchor[pair], positive[pair], negative
