import torch
from torch import Tensor
from torch.nn import functional as F

from siamese_lab.core.checks import require_within
from siamese_lab.core.random import Stream, generator
from siamese_lab.miners._strips import Strip, mine_strips, positive_pairs, tabulate
from siamese_lab.structures.contracts import Produces
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Triplets


class DistanceWeighted:
    """For each anchor-positive pair a negative drawn so that all distances come up equally often.

    p(n) ~ min(lambda, 1 / q(d(a, n))) with q(d) = d^(D - 2) (1 - d^2 / 4)^((D - 3) / 2), the density of distances
    between random points of the unit sphere in D dimensions. d is Euclidean between embeddings divided by their norm,
    whatever the distance of the run. lambda = 1 / q(nearest) bounds the weight of negatives so near that noise
    dominates their gradient, and of those so far that 1 / q rises again. An anchor all of whose negatives lie beyond
    `farthest` draws from them equally.

    Source: Wu, Manmatha, Smola, Kraehenbuehl, ICCV 2017, section 4, "distance weighted sampling"; `farthest` is in the
    authors' code only.

    Args:
        nearest: smaller distances weigh the same as this one, in (0, sqrt(2)].
        farthest: negatives from this distance on are not drawn, above nearest and at most 2.
        seed: given by the run.

    Raises:
        ValueError: if nearest or farthest is not in its range.

    Examples:
        >>> import torch
        >>> from siamese_lab.miners.distance_weighted import DistanceWeighted
        >>> from siamese_lab.structures.embedded import Embedded
        >>> z = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-1.0, 0.0]])  # the last one is too far to be drawn
        >>> e = Embedded(z, torch.tensor([0, 0, 1, 2]))
        >>> [part.tolist() for part in DistanceWeighted(nearest=0.5, farthest=1.5)(e)]
        [[0, 1], [1, 0], [2, 2]]
    """

    produces: Produces = "triplets"

    def __init__(self, nearest: float = 0.5, farthest: float = 1.4, *, seed: int = 0) -> None:
        if not 0 < nearest <= 2**0.5:
            raise ValueError(f"nearest must lie in (0, sqrt(2)], got {nearest}: smaller distances weigh the same")
        require_within("farthest", farthest, f"({nearest}, 2]", "negatives from that distance on are not drawn")
        self.nearest, self.farthest, self.seed = nearest, farthest, seed

    @torch.no_grad()
    def __call__(self, e: Embedded) -> Triplets:
        """One triplet for each anchor-positive pair with a negative: a function of the seed, the epoch and the step."""
        z, g = F.normalize(e.z.detach(), dim=1), generator(self.seed, Stream.DISTANCE_WEIGHTED_MINER, *e.where)
        return mine_strips(e, lambda strip: self._mine(strip, z, g))

    def weights(self, z: Tensor, strip: Strip) -> Tensor:
        """(a, R), not normalised: the weight of each row for each anchor of a strip; 0 for all but negatives."""
        cosine = z[strip.first : strip.first + len(strip.d)] @ z.T
        d = (2.0 - 2.0 * cosine).clamp(min=self.nearest**2).sqrt()
        allowed = strip.negatives & (d < self.farthest)
        dim = z.shape[1]
        bound = float(_log_inverse_density(d.new_tensor(self.nearest), dim))
        log = _log_inverse_density(d, dim).clamp(max=bound)
        log = log.masked_fill(~allowed, -torch.inf)
        weight = (log - log.amax(1, keepdim=True)).exp()  # the largest is 1
        return torch.where(allowed.any(1, keepdim=True), weight, strip.negatives.to(weight.dtype))

    def _mine(self, strip: Strip, z: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        anchor, positive = positive_pairs(strip)
        rows = anchor.cpu()
        total = self.weights(z, strip).double().cpu().cumsum(1)  # (a, R); a GPU has no deterministic running sum
        drawn = torch.rand(len(rows), generator=g, dtype=torch.float64) * total[rows, -1]
        places, column = tabulate(rows, drawn, len(total), 0.0)  # (a, K)
        return anchor, positive, torch.searchsorted(total, places, right=True)[rows, column].to(anchor.device)


def _log_inverse_density(d: Tensor, dim: int) -> Tensor:
    """log(1 / q(d))."""
    rest = (1.0 - d.square() / 4.0).clamp(min=torch.finfo(d.dtype).eps)
    return (2.0 - dim) * d.log() - (dim - 3.0) / 2.0 * rest.log()
