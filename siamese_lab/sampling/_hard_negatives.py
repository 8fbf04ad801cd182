"""Hard negatives of pairs and triplets: when to mine them, and how they are drawn from the table."""

import torch
from torch import Tensor

from siamese_lab.core.checks import require_within
from siamese_lab.metrics.neighbours import nearest_others
from siamese_lab.sampling._class_index import ClassIndex
from siamese_lab.sampling._mining_schedule import MiningSchedule
from siamese_lab.structures.contracts import Distance


class HardNegatives:
    """A table of each training image's nearest images of other classes, renewed every n epochs.

    Args:
        classes: of the training part.
        share: of the negatives that are hard, in [0, 1]; the others are random.
        neighbours: how many nearest negatives an image's hard ones are drawn from.
        every: epochs between two minings, >= 1.
        warmup: first epochs with random negatives only.

    Raises:
        ValueError: if an argument is out of its range, or the largest class leaves fewer than `neighbours` others.
    """

    def __init__(self, classes: ClassIndex, share: float, neighbours: int, every: int, warmup: int) -> None:
        require_within("share_hard", share, "[0, 1]", "it is the share of the negatives that are hard")
        most = len(classes.order) - int(classes.count.max())
        if not 0 < neighbours <= most:
            raise ValueError(
                f"neighbours must lie in [1, {most}], got {neighbours}: the largest class leaves {most} other images"
            )
        self.schedule = MiningSchedule(every, warmup)
        self.classes, self.share, self.neighbours = classes, share, neighbours

    def wants(self, epoch: int) -> bool:
        """Whether a new table is due before this epoch."""
        return self.schedule.wants(epoch)

    def mine(self, z: Tensor, distance: Distance) -> Tensor:
        """The table (N, neighbours) from the embeddings z (N, D) of the whole training part."""
        return nearest_others(z, self.classes.class_of.to(z.device), distance, self.neighbours)

    def draw(self, images: Tensor, table: Tensor | None, g: torch.Generator) -> Tensor:
        """A negative for each of `images` (P,): hard for a share of them where there is a table, else random."""
        random = self.classes.draw_others(images, g)
        if table is None:
            return random
        rank = (torch.rand(len(images), generator=g) * table.shape[1]).long()
        hard = torch.rand(len(images), generator=g) < self.share
        return torch.where(hard, table[images, rank], random)
