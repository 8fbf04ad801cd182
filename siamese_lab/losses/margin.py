from typing import Literal

import torch
from torch import Tensor, nn

from siamese_lab.core.checks import require_at_least, require_choice, require_positive
from siamese_lab.losses._reductions import pair_loss
from siamese_lab.structures.contracts import Consumes, Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples, as_pairs


class MarginLoss(nn.Module):
    """Wants same-label pairs nearer than a learned boundary and all others farther, by a margin.

    A same-label pair at distance d costs max(0, margin + d - b), any other pair max(0, margin + b - d), with the
    boundary b of the pair's anchor. Each image of a pair is its anchor once, and the pair costs the mean of the two.
    Each kind is averaged on its own: the boundary then settles where the same share of both kinds violates it.

    Source: Wu et al., ICCV 2017, section 4.2, with the settings of its section 5 (0.2, 1.2). Differs from it: two
    averages instead of one over the violating pairs (the paper draws as many of either kind); no boundary per image.

    Args:
        margin: to either side of the boundary, in units of the distance, > 0.
        boundary: where the boundary starts, in units of the distance, > 0.
        learned: "shared" = one boundary, "per_class" = one for each class of the training part, "fixed" = none.
        nu: price of a unit of the (mean) boundary, >= 0; larger pulls it inwards.
        classes: how many there are, given by the run; "per_class" needs it, and labels 0..classes-1.

    Raises:
        ValueError: if margin or boundary is not positive, nu negative, learned none of these, or classes missing.

    Examples:
        >>> import torch
        >>> from siamese_lab.losses.margin import MarginLoss
        >>> from siamese_lab.structures.embedded import Embedded
        >>> z = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.6, 0.8]])
        >>> e = Embedded(z, torch.tensor([0, 0, 1, 1]))
        >>> loss, facts = MarginLoss(margin=0.2, boundary=1.0)(e)
        >>> round(loss.item(), 4), facts["active"].item()
        (0.1891, 2)
    """

    consumes: Consumes = "pairs"
    requires: tuple[Property, ...] = ()
    uses_memory: bool = True

    boundary: Tensor

    def __init__(
        self,
        margin: float = 0.2,
        boundary: float = 1.2,
        learned: Literal["shared", "per_class", "fixed"] = "shared",
        nu: float = 0.0,
        classes: int | None = None,
    ) -> None:
        super().__init__()
        require_positive("margin", margin, "it is how far from the boundary a pair has to be")
        require_positive("boundary", boundary, "it is the distance between positive and negative pairs")
        require_choice("learned", learned, ("shared", "per_class", "fixed"))
        require_at_least("nu", nu, 0, "it is the price of a larger boundary")
        if learned == "per_class" and classes is None:
            raise ValueError("learned=per_class needs classes, got None: it is how many boundaries there are")
        start = torch.full((classes or 0,) if learned == "per_class" else (), float(boundary))
        if learned == "fixed":
            self.register_buffer("boundary", start)
        else:
            self.boundary = nn.Parameter(start)
        self.margin, self.learned, self.nu = margin, learned, nu

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and how many of the pairs were `active` (violate the margin)."""
        left, right, same = as_pairs(e, tuples)
        d, ends = e.at(left, right), torch.stack([left, right])  # (P,), (2, P)
        b = self.boundary[e.labels[ends]] if self.learned == "per_class" else self.boundary.expand(ends.shape)
        b = b.to(d.dtype)  # (2, P)
        pull, push = ((self.margin + side).clamp(min=0.0).mean(0) for side in (d - b, b - d))
        cost = torch.where(same, pull, push)
        loss, facts = pair_loss(e, cost, cost > 0, same, torch.ones_like(same))
        return loss + self.nu * b.sum() / max(1, b.numel()), facts
