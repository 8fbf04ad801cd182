import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siamese_lab.core.checks import require_positive
from siamese_lab.losses._reductions import masked_logsumexp
from siamese_lab.structures.contracts import Consumes, Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples


class NPairLoss(nn.Module):
    """A softmax in which each anchor has to find its positive among one image of every other class.

    loss = mean over pairs (a, p) of one label of
    log( 1 + sum over other classes c of mean over n in c of exp( (d(a, p) - d(a, n)) / t ) ).
    With one image of each other class, t = 1 and the cosine distance, this is the paper's loss on unit-norm embeddings.
    Where a batch holds several images of a class the paper draws one; here their mean counts. Memory grows with the
    distance matrix.

    Source: Sohn, NIPS 2016, section 3.2 (multi-class N-pair). Differs from it: the mean; works on any distance; a
    temperature; no penalty on the norms of the embeddings.

    Args:
        temperature: divides the distances, > 0; the paper's 1 learns slowly from unit-norm embeddings.

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
        require_positive("temperature", temperature, "distances are divided by it")
        self.temperature = temperature

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss; counts anchor-positive pairs, `active` where a negative is as near as the positive."""
        d, negatives = e.matrix() / self.temperature, e.negatives()  # (A, R)
        _, inverse, count = e.labels.unique(return_inverse=True, return_counts=True)
        anchor, positive = (e.positives() & negatives.any(1, keepdim=True)).nonzero(as_tuple=True)  # (P,) each
        logits = -d - count[inverse].to(d.dtype).log()
        near = d[anchor, positive]
        loss = F.softplus(near + masked_logsumexp(logits, negatives)[anchor]).sum() / max(1, len(anchor))
        active = (near >= d.masked_fill(~negatives, torch.inf).amin(1)[anchor]).sum()
        return e.zero() + loss, {"active": active, "tuples": active.new_tensor(len(anchor))}
