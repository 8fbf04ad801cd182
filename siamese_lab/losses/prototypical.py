import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siamese_lab.core.checks import require_positive
from siamese_lab.losses._reductions import query_loss
from siamese_lab.structures.contracts import Consumes, Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples, as_episode


class PrototypicalLoss(nn.Module):
    """Classifies the queries of an episode by their distances to the mean of each class's support.

    loss = mean over queries of - log softmax(-d(query, mean of class c's support) / temperature) at the query's class.

    Source: Snell, Swersky, Zemel, NeurIPS 2017, eq. 1 and 2, with the squared Euclidean distance (section 2.4). Differs
    from it: works on any distance; the temperature (theirs is 1, on embeddings that are not normalised).

    Args:
        temperature: divides the distances, > 0; 1 separates squared distances of unit-norm embeddings, in [0, 4],
            too little.

    Raises:
        ValueError: if temperature is not positive.

    Examples:
        >>> import torch
        >>> from siamese_lab.losses.prototypical import PrototypicalLoss
        >>> from siamese_lab.structures.embedded import Embedded
        >>> z = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.6, 0.8]])
        >>> e = Embedded(z, torch.tensor([0, 0, 1, 1]))
        >>> loss, facts = PrototypicalLoss(temperature=1.0)(e)
        >>> round(loss.item(), 4), facts["active"].item()
        (0.5531, 1)
    """

    consumes: Consumes = "episodes"
    requires: tuple[Property, ...] = ()
    uses_memory: bool = False

    def __init__(self, temperature: float = 0.2) -> None:
        super().__init__()
        require_positive("temperature", temperature, "distances are divided by it")
        self.temperature = temperature

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss; without `tuples`, the first row of each class is its support.

        Counts queries whose class has a support, `active` if nearest the mean of another class.
        """
        support, query = as_episode(e, tuples)
        if not len(query) or not len(support):
            return e.zero(), {"active": query.new_zeros(()), "tuples": query.new_zeros(())}
        classes = e.labels[support].unique()  # (W,)
        member = (classes[:, None] == e.labels[support][None, :]).to(e.z.dtype)  # (W, S)
        with torch.autocast(e.z.device.type, enabled=False):
            prototypes = member / member.sum(1, keepdim=True) @ e.z[support]  # (W, D)
            logits = -e.distance.matrix(e.z[query], prototypes) / self.temperature  # (Q, W)
        own = e.labels[query][:, None] == classes[None, :]
        return query_loss(e, F.log_softmax(logits, 1).masked_fill(~own, 0.0).sum(1), own, logits)
