import torch
from torch import Tensor

from siamese_lab.core.checks import require_at_least
from siamese_lab.core.random import Stream, generator
from siamese_lab.miners._strips import Strip, mine_strips, positive_pairs
from siamese_lab.structures.contracts import Produces
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Triplets


class RankWindow:
    """For each anchor-positive pair a negative drawn from the ranks `first` to `last` of the anchor's nearest.

    The very nearest are often noise or mislabelled images. An anchor with fewer negatives than `first` takes its
    farthest one.

    Args:
        first: the nearest negative that may be drawn, >= 1; 1 = the nearest of all.
        last: rank of the farthest, >= 1, not below first.
        seed: given by the run.

    Raises:
        ValueError: if first or last is not in its range.

    Examples:
        >>> import torch
        >>> from siamese_lab.miners.rank_window import RankWindow
        >>> from siamese_lab.structures.embedded import Embedded
        >>> e = Embedded(torch.tensor([[0.0], [1.0], [1.5], [2.5], [5.0]]), torch.tensor([0, 0, 1, 0, 1]))
        >>> [part.tolist() for part in RankWindow(first=2, last=2)(e)]
        [[0, 0, 1, 1, 2, 3, 3, 4], [1, 3, 0, 3, 4, 0, 1, 2], [4, 4, 4, 4, 3, 4, 4, 1]]
    """

    produces: Produces = "triplets"

    def __init__(self, first: int = 2, last: int = 10, *, seed: int = 0) -> None:
        require_at_least("first", first, 1, "it is a rank, 1 = the nearest negative")
        if not last >= first:
            raise ValueError(f"last must be >= first = {first}, got {last}: negatives are drawn from these ranks")
        self.first, self.last, self.seed = first, last, seed

    @torch.no_grad()
    def __call__(self, e: Embedded) -> Triplets:
        """One triplet for each anchor-positive pair with a negative: a function of the seed, the epoch and the step."""
        g = generator(self.seed, Stream.RANK_WINDOW_MINER, *e.where)
        return mine_strips(e, lambda strip: self._mine(strip, g))

    def _mine(self, strip: Strip, g: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        anchor, positive = positive_pairs(strip)
        near = strip.d.masked_fill(~strip.negatives, torch.inf)
        nearest = near.topk(min(self.last, near.shape[1]), largest=False).indices  # (a, last), nearest first
        count = strip.negatives.sum(1)[anchor]  # (P,)
        first, last = count.clamp(max=self.first) - 1, count.clamp(max=self.last)  # columns of `nearest`
        drawn = torch.rand(len(anchor), generator=g, dtype=torch.float64).to(near.device)
        return anchor, positive, nearest[anchor, first + (drawn * (last - first)).long()]
