"""N-pair loss."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siamese_lab.structures.contracts import Consumes, Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples


class NPairLoss(nn.Module):
    """Has each anchor find its positive among one image of every other class.

    loss = mean over pairs (a, p) of one label of
    log( 1 + sum over other classes c of mean over n in c of exp( (d(a, p) - d(a, n)) / t ) ).
    With one image of each other class, t = 1 and the cosine distance, this is the paper's loss on unit-norm embeddings.
    Where a batch holds several images of a class, the paper's one is drawn; here their mean stands for it.

    Takes memory of the order of the distance matrix.

    Source: Sohn, NIPS 2016, section 3.2 (multi-class N-pair). Differs from it: the mean; works on any distance; a
    temperature; no penalty on the norms of the embeddings.

    Args:
        temperature: divides the distances, > 0; the paper's 1 is slow on unit-norm embeddings, whose distances differ
            little.

    Raises:
        ValueError: if temperature is not positive.

    Examples:
        >>> import torch
        >>> from siamese_lab.distances.cosine import Cosine
        >>> from siamese_lab.losses.n_pair import NPairLoss
        >>> from siamese_lab.structures.embedded import Embedded
        >>> z = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.6, 0.8]])
        >>> e = Embedded(z, torch.tensor([0, 0, 1, 1]), distance=Cosine())
        >>> loss, facts = NPairLoss(temperature=1.0)(e)
        >>> round(loss.item(), 4), facts["active"].item()
        (0.4826, 2)
    """

    consumes: Consumes = "labels"
    requires: tuple[Property, ...] = ()
    uses_memory: bool = True

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature must be > 0, got {temperature}: distances are divided by it")
        self.temperature = temperature

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss over the labels, whatever the `tuples`; the facts count pairs of an anchor and a positive.

        `active`: those with a negative no farther than the positive; `tuples`: those with a negative.
        """
        d, negatives = e.matrix() / self.temperature, e.negatives()  # (A, R)
        _, of, count = e.labels.unique(return_inverse=True, return_counts=True)
        anchor, positive = (e.positives() & negatives.any(1, keepdim=True)).nonzero(as_tuple=True)  # (P,) each
        logits = (-d - count[of].to(d.dtype).log()).masked_fill(~negatives, torch.finfo(d.dtype).min)
        near = d[anchor, positive]
        loss = F.softplus(near + logits.logsumexp(1)[anchor]).sum() / max(1, len(anchor))
        missed = near >= d.masked_fill(~negatives, torch.inf).amin(1)[anchor]
        return e.zero() + loss, {"active": missed.sum(), "tuples": missed.sum().new_tensor(len(anchor))}
