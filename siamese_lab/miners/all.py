"""No mining."""

from siamese_lab.structures.contracts import Produces
from siamese_lab.structures.embedded import Embedded


class AllTuples:
    """Leaves the choice to the labels: the loss sees all tuples that they imply, or those that the sampling gave."""

    produces: Produces = "all"

    def __call__(self, e: Embedded) -> None:
        """None: all tuples count."""
