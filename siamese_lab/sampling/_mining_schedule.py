"""When a sampling that mines the training set asks for a new table."""

from dataclasses import dataclass

from siamese_lab.core.checks import require_at_least, require_positive


@dataclass(frozen=True)
class MiningSchedule:
    """A table before every n-th epoch from the end of the warm-up on.

    Args:
        every: epochs between two minings, >= 1.
        warmup: first epochs without a table, >= 0.

    Raises:
        ValueError: if every is not positive or warmup negative.
    """

    every: int
    warmup: int

    def __post_init__(self) -> None:
        require_positive("every", self.every, "it is the number of epochs between two minings")
        require_at_least("warmup", self.warmup, 0, "it is the number of epochs before the first mining")

    def wants(self, epoch: int) -> bool:
        """Whether a new table is due before this epoch."""
        return epoch >= self.warmup and (epoch - self.warmup) % self.every == 0
