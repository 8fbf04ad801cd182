from torch import Tensor, nn

from siamese_lab.core.checks import require_positive
from siamese_lab.losses._class_weights import class_cosines, class_cross_entropy, random_directions
from siamese_lab.structures.contracts import Consumes, Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples


class NormSoftmaxLoss(nn.Module):
    """Classifies each image among the training classes by the cosine to a learned weight vector of each.

    loss = mean over images of - log softmax(cos / temperature) at the image's class. Weights start as random
    directions, of norm 0.1.

    Source: Zhai, Wu, BMVC 2019 (temperature 0.05); Wang et al., "NormFace", ACM MM 2017 (scale = 1 / temperature).

    Args:
        dim: dimensions of an embedding, given by the backbone.
        classes: of the training part, given by the data, >= 2; labels are 0 .. classes - 1.
        temperature: divides the cosines, > 0; small = only the nearest classes count.

    Raises:
        ValueError: if temperature is not positive or classes less than 2.

    Examples:
        >>> import torch
        >>> from siamese_lab.losses.norm_softmax import NormSoftmaxLoss
        >>> from siamese_lab.structures.embedded import Embedded
        >>> z = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.6, 0.8]])
        >>> e = Embedded(z, torch.tensor([0, 0, 1, 1]))
        >>> criterion = NormSoftmaxLoss(dim=2, classes=2, temperature=0.5)
        >>> _ = criterion.weight.data.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        >>> loss, facts = criterion(e)
        >>> round(loss.item(), 4), facts["active"].item()
        (0.3065, 1)
    """

    consumes: Consumes = "labels"
    requires: tuple[Property, ...] = ()
    uses_memory: bool = False

    def __init__(self, *, dim: int, classes: int, temperature: float = 0.05) -> None:
        super().__init__()
        require_positive("temperature", temperature, "cosines are divided by it")
        self.temperature = temperature
        self.weight = random_directions(classes, dim)

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss; counts images, `active` if nearest another class than theirs."""
        cosine, _ = class_cosines(e, self.weight)  # (B, C)
        return class_cross_entropy(e, cosine / self.temperature, cosine)
