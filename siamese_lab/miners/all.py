from siamese_lab.structures.contracts import Produces
from siamese_lab.structures.embedded import Embedded


class AllTuples:
    """No mining: the loss takes all tuples that the labels imply, or those of the sampling.

    Examples:
        >>> import torch
        >>> from siamese_lab.miners.all import AllTuples
        >>> from siamese_lab.structures.embedded import Embedded
        >>> from siamese_lab.structures.tuples import as_pairs
        >>> e = Embedded(torch.tensor([[0.0], [1.0], [1.5], [2.5], [5.0]]), torch.tensor([0, 0, 1, 0, 1]))
        >>> len(as_pairs(e, AllTuples()(e)).same)
        10
    """

    produces: Produces = "all"

    def __call__(self, e: Embedded) -> None:
        """None: all tuples count."""
