"""Quadruplet loss."""

from typing import Literal

import torch
from torch import Tensor, nn

from siamese_lab.batch import Embedded, Tuples, as_triplets, triplet_distances


class QuadrupletLoss(nn.Module):
    """A triplet loss that also wants every positive pair closer than any two images of two other classes.

    With an anchor i, its positive j and images k and l of two other classes, the cost is
    max(0, d(i, j) - d(i, k) + margin)  and  max(0, d(i, j) - d(l, k) + second), each averaged on its own.

    All quadruplets of a batch are counted, without forming them: a distance d(i, j) meets the sorted d(l, k), in memory of the order of the
    distance matrix (P x R for the triplets, P pairs of an anchor and a positive by R rows). Given T triplets, every l that fits makes a
    quadruplet of each, in memory of the order of T x A.

    Source: Chen et al., CVPR 2017, section 3.3 (there on squares of learned distances: `distance=squared_euclidean`). Differs from it:
    averages, where the paper adds up.

    Args:
        margin: how much farther than the positive the negative has to be, in units of the distance, > 0.
        second: how much farther two images of other classes have to be from each other, > 0; the paper wants it below margin.
        average: "active" = over the triplets, and the quadruplets, that cost something, "all" = over all of them.

    Raises:
        ValueError: if margin or second is not positive, or average none of these.
    """

    eats = "triplets"

    def __init__(self, margin: float = 0.2, second: float = 0.1, average: Literal["active", "all"] = "active") -> None:
        super().__init__()
        if not margin > 0:
            raise ValueError(f"margin must be > 0, got {margin}: it is how much farther than the positive the negative has to be")
        if not second > 0:
            raise ValueError(f"second must be > 0, got {second}: it is how much farther than the positive other classes have to be")
        if average not in ("active", "all"):
            raise ValueError(f"average must be active or all, got {average!r}")
        self.margin, self.second, self.average = margin, second, average

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and how many of the triplets and quadruplets were `active` (violate their margin)."""
        near, far, valid = triplet_distances(e, tuples)
        first = _hinge(near + self.margin, far, valid)
        second = _all_quadruplets(e, self.second) if tuples is None else _given_quadruplets(e, tuples, self.second)
        loss = sum(cost / (active if self.average == "active" else count).clamp(min=1) for cost, active, count in (first, second))
        return e.zero() + loss, {"active": first[1] + second[1], "tuples": first[2] + second[2]}


def _hinge(near: Tensor, far: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The sum of max(0, near - far) over `valid`, how many of these cost something, and how many there are."""
    cost = (near - far).clamp(min=0.0).masked_fill(~valid, 0.0)
    return cost.sum(), (valid & (cost > 0)).sum(), valid.sum()


def _given_quadruplets(e: Embedded, tuples: Tuples, margin: float) -> tuple[Tensor, Tensor, Tensor]:
    """Those of given triplets, as `_hinge` gives them: l is any anchor of a third class."""
    i, j, k = as_triplets(e, tuples)
    classes = e.labels[: e.anchors]
    other = (classes[None, :] != e.labels[i][:, None]) & (classes[None, :] != e.labels[k][:, None])  # (T, A)
    return _hinge(e.at(i, j)[:, None] + margin, e.matrix()[:, k].T, other)


def _all_quadruplets(e: Embedded, margin: float) -> tuple[Tensor, Tensor, Tensor]:
    """All that the labels imply, as `_hinge` gives them.

    The sum is linear in the distances: each counts as often as it stands in a quadruplet that costs something, and that is counted
    by sorting, over all pairs of classes less those that the positive's own class is in.
    """
    i, j = e.positives().nonzero(as_tuple=True)  # (P,) each
    l, k = e.negatives().nonzero(as_tuple=True)  # (M,) each  # noqa: E741
    near, far = e.matrix()[i, j] + margin, e.matrix()[l, k]
    with torch.no_grad():
        own, ends, twice = e.labels[i], torch.cat([e.labels[l], e.labels[k]]), far.repeat(2)
        farther = _smaller(near, far) - _smaller_of_class(near, own, twice, ends)  # (P,) how many d(l, k) are too small for a d(i, j)
        nearer = _smaller(-far, -near) - _smaller_of_class(-twice, ends, -near, own).view(2, -1).sum(0)  # (M,) the other way round
        count = len(far) - _smaller_of_class(torch.full_like(near, torch.inf), own, twice, ends)
    return (near * farther).sum() - (far * nearer).sum(), farther.sum(), count.sum()


def _smaller(x: Tensor, y: Tensor) -> Tensor:
    """How many entries of y (M,) are below each of x (P,)."""
    return torch.searchsorted(y.sort().values, x)


def _smaller_of_class(x: Tensor, own: Tensor, y: Tensor, of: Tensor) -> Tensor:
    """How many entries of y (M,), of the classes `of`, are below each of x (P,), of the classes `own`, and of the same class.

    By whole numbers that sort by class, then by rank.
    """
    order, step = y.argsort(), len(y) + 1
    keys = (of[order] * step + torch.arange(len(y), device=y.device)).sort().values
    start = own * step
    return torch.searchsorted(keys, start + _smaller(x, y)) - torch.searchsorted(keys, start)
