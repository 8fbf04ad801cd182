"""No mining."""

from siamese_lab.structures.contracts import Produces
from siamese_lab.structures.embedded import Embedded


class AllTuples:
    """Leaves the choice to the labels: the loss sees all tuples that they imply, or those that the sampling gave.

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
