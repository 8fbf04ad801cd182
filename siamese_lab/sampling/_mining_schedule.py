"""When a sampling that mines the training set asks for a new table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MiningSchedule:
    """Before every n-th epoch, from the end of the warm-up on.

    Args:
        every: epochs between two minings, >= 1.
        warmup: first epochs without a table, >= 0.

    Raises:
        ValueError: if every is not positive or warmup negative.
    """

    every: int
    warmup: int

    def __post_init__(self) -> None:
        if not self.every > 0:
            raise ValueError(f"every must be > 0 epochs, got {self.every}: the training set is mined that often")
        if not self.warmup >= 0:
            raise ValueError(f"warmup must be >= 0 epochs, got {self.warmup}: the first mining comes after them")

    def wants(self, epoch: int) -> bool:
        """Whether a new table is due before this epoch."""
        return epoch >= self.warmup and (epoch - self.warmup) % self.every == 0
