import torch
from torch import Tensor, nn

from siamese_lab.core.checks import require_positive
from siamese_lab.losses._reductions import masked_logsumexp, query_loss
from siamese_lab.structures.contracts import Consumes, Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples, as_episode


class MatchingLoss(nn.Module):
    """Classifies the queries of an episode by attention over all support images.

    A support image i gets the attention softmax(-d(query, i) / temperature);
    loss = mean over queries of - log(sum of the attention on the support of the query's class).

    Source: Vinyals et al., NeurIPS 2016, eq. 1 with the kernel of section 2.1.1 (the softmax of the cosine; the same
    with the cosine distance, where a constant cancels). Differs from it: no full context embeddings; the temperature
    (theirs is 1).

    Args:
        temperature: divides the distances, > 0; the paper's 1 separates cosines in [-1, 1] too little.

    Raises:
        ValueError: if temperature is not positive.

    Examples:
        >>> import torch
        >>> from siamese_lab.distances.cosine import Cosine
        >>> from siamese_lab.losses.matching import MatchingLoss
        >>> from siamese_lab.structures.embedded import Embedded
        >>> z = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.6, 0.8]])
        >>> e = Embedded(z, torch.tensor([0, 0, 1, 1]), distance=Cosine())
        >>> loss, facts = MatchingLoss(temperature=1.0)(e)
        >>> round(loss.item(), 4), facts["active"].item()
        (0.5093, 1)
    """

    consumes: Consumes = "episodes"
    requires: tuple[Property, ...] = ()
    uses_memory: bool = False

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        require_positive("temperature", temperature, "distances are divided by it")
        self.temperature = temperature

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss; without `tuples`, the first row of each class is its support.

        Counts queries whose class has a support, `active` if the nearest support image is of another class.
        """
        support, query = as_episode(e, tuples)
        if not len(query) or not len(support):
            return e.zero(), {"active": query.new_zeros(()), "tuples": query.new_zeros(())}
        with torch.autocast(e.z.device.type, enabled=False):
            logits = -e.distance.matrix(e.z[query], e.z[support]) / self.temperature  # (Q, S)
        own = e.labels[query][:, None] == e.labels[support][None, :]
        return query_loss(e, masked_logsumexp(logits, own) - logits.logsumexp(1), own, logits)
