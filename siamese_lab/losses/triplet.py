from typing import Literal

from torch import Tensor, nn

from siamese_lab.core.checks import require_choice, require_positive
from siamese_lab.losses._all_triplets import Form, triplet_costs
from siamese_lab.structures.contracts import Consumes, Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples


class TripletLoss(nn.Module):
    """Wants each negative farther from the anchor than each positive, by a margin.

    With x = d(anchor, positive) - d(anchor, negative), the hinge is max(0, x + margin), the soft form log(1 + exp(x)).

    Source: Schroff et al., CVPR 2015, eq. 2 (hinge; theirs is on squared distances: `distance=squared_euclidean`);
    Hermans et al., 2017, section 2 (soft; and the average over active triplets, "non-zero mean"). The triplets of a
    batch are never listed, see `_all_triplets`.

    Args:
        margin: how much farther, in units of the distance, > 0; the soft form ignores it.
        form: "hinge" or "soft".
        average: "active" = over the triplets that cost something, "all" = over all of them.

    Raises:
        ValueError: if margin is not positive, or form or average is none of these.

    Examples:
        >>> import torch
        >>> from siamese_lab.losses.triplet import TripletLoss
        >>> from siamese_lab.structures.embedded import Embedded
        >>> z = torch.tensor([[0.0], [1.0], [1.5], [5.0]])  # on a line
        >>> e = Embedded(z, torch.tensor([0, 0, 1, 1]))
        >>> loss, facts = TripletLoss(margin=1.0)(e)
        >>> round(loss.item(), 4), facts["active"].item()
        (1.9, 5)
    """

    consumes: Consumes = "triplets"
    requires: tuple[Property, ...] = ()
    uses_memory: bool = True

    def __init__(self, margin: float = 0.2, form: Form = "hinge", average: Literal["active", "all"] = "active") -> None:
        super().__init__()
        require_positive("margin", margin, "it is how much farther than the positive the negative has to be")
        require_choice("form", form, ("hinge", "soft"))
        require_choice("average", average, ("active", "all"))
        self.margin, self.average = margin, average
        self.form: Form = form

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and how many of the triplets were `active` (violate the margin)."""
        cost, active, count = triplet_costs(e, tuples, self.margin, self.form)
        counted = active if self.average == "active" and self.form == "hinge" else count
        return e.zero() + cost / counted.clamp(min=1), {"active": active, "tuples": count}
