"""Lifted structure loss."""

from typing import Literal

import torch
from torch import Tensor, nn

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

    Takes memory of the order of the distance matrix. Rows of a memory serve the first form as negatives only: their own
    negatives are not compared.

    Source: Oh Song et al., CVPR 2016, eq. 4; Hermans, Beyer, Leibe, 2017, eq. 8. Differs from them: a mean over anchors
    in the second, where they add up.

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
        if not margin > 0:
            raise ValueError(
                f"margin must be > 0, got {margin}: it is how much farther than positives the negatives have to be"
            )
        if form not in ("lifted", "generalised"):
            raise ValueError(f"form must be lifted or generalised, got {form!r}")
        self.margin, self.form = margin, form

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss over the labels, whatever the `tuples`; the facts count pairs of one label (lifted) or anchors
        (generalised).

        `active`: those that cost something; `tuples`: those with a negative, and for anchors a positive.
        """
        d, positives, negatives = e.matrix(), e.positives(), e.negatives()
        none = torch.finfo(d.dtype).min  # finite: an anchor without a negative gives no NaN
        push = (self.margin - d).masked_fill(~negatives, none).logsumexp(1)  # (A,)
        if self.form == "lifted":
            # (P,) each
            i, j = (positives & negatives.any(1, keepdim=True))[:, : e.anchors].triu().nonzero(as_tuple=True)
            cost = (torch.logaddexp(push[i], push[j]) + d[i, j]).clamp(min=0.0).square() / 2
        else:
            anchor = (positives.any(1) & negatives.any(1)).nonzero().flatten()
            cost = (d.masked_fill(~positives, none).logsumexp(1)[anchor] + push[anchor]).clamp(min=0.0)
        active = (cost > 0).sum()
        return e.zero() + cost.sum() / max(1, len(cost)), {"active": active, "tuples": active.new_tensor(len(cost))}
