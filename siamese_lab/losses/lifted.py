from typing import Literal

import torch
from torch import Tensor, nn

from siamese_lab.core.checks import require_choice, require_positive
from siamese_lab.losses._reductions import masked_logsumexp
from siamese_lab.structures.contracts import Consumes, Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples


class LiftedLoss(nn.Module):
    """Compares the distance of each positive pair with those to all negatives of the batch at once.

    lifted: mean over pairs (i, j) of one label of  1/2 max(0, J)^2,
    J = log( sum over negatives k of i of exp(margin - d(i, k)) + sum over negatives l of j of exp(margin - d(j, l)) ) +
    d(i, j);

    generalised: mean over anchors a of  max(0, J),
    J = log( sum over positives p of exp d(a, p) ) + log( sum over negatives n of exp(margin - d(a, n)) ).

    Memory grows with the distance matrix. Rows of a memory serve the first form as negatives only.

    Source: Oh Song et al., CVPR 2016, eq. 4; Hermans, Beyer, Leibe, 2017, eq. 8. Differs from them: the
    second is a mean over anchors, theirs a sum.

    Args:
        margin: how much farther negatives have to be, in units of the distance, > 0; the paper's is 1.
        form: "lifted" or "generalised".

    Raises:
        ValueError: if margin is not positive, or form none of these.

    Examples:
        >>> import torch
        >>> from siamese_lab.losses.lifted import LiftedLoss
        >>> from siamese_lab.structures.embedded import Embedded
        >>> z = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.6, 0.8]])
        >>> e = Embedded(z, torch.tensor([0, 0, 1, 1]))
        >>> loss, facts = LiftedLoss(margin=1.0)(e)
        >>> round(loss.item(), 4), facts["active"].item()
        (1.9703, 2)
    """

    consumes: Consumes = "labels"
    requires: tuple[Property, ...] = ()
    uses_memory: bool = True

    def __init__(self, margin: float = 1.0, form: Literal["lifted", "generalised"] = "lifted") -> None:
        super().__init__()
        require_positive("margin", margin, "it is how much farther than positives the negatives have to be")
        require_choice("form", form, ("lifted", "generalised"))
        self.margin, self.form = margin, form

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss; counts pairs of one label with a negative (lifted) or anchors, `active` if they cost something."""
        d, positives, negatives = e.matrix(), e.positives(), e.negatives()
        push = masked_logsumexp(self.margin - d, negatives)  # (A,)
        if self.form == "lifted":
            pairs = (positives & negatives.any(1, keepdim=True))[:, : e.anchors].triu()
            i, j = pairs.nonzero(as_tuple=True)  # (P,) each
            cost = (torch.logaddexp(push[i], push[j]) + d[i, j]).clamp(min=0.0).square() / 2
        else:
            anchor = (positives.any(1) & negatives.any(1)).nonzero().flatten()
            cost = (masked_logsumexp(d, positives)[anchor] + push[anchor]).clamp(min=0.0)
        active = (cost > 0).sum()
        return e.zero() + cost.sum() / max(1, len(cost)), {"active": active, "tuples": active.new_tensor(len(cost))}
