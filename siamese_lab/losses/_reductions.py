"""Reductions that several losses share."""

import torch
from torch import Tensor

from siamese_lab.structures.embedded import Embedded


def sum_of_means(cost: Tensor, same: Tensor, pairs: Tensor) -> Tensor:
    """The mean cost of the same-label pairs plus that of the others; a kind without pairs costs 0.

    Args:
        cost: of any shape.
        same: mask of the pairs of one label.
        pairs: mask of what is a pair at all.
    """
    positives = (same & pairs).count_nonzero()
    negatives = pairs.count_nonzero() - positives
    one = torch.ones((), dtype=cost.dtype, device=cost.device)
    share = torch.where(same, one / positives.clamp(min=1), one / negatives.clamp(min=1)).masked_fill(~pairs, 0.0)
    return (cost * share).sum()


def pair_loss(
    e: Embedded, cost: Tensor, active: Tensor, same: Tensor, pairs: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """`sum_of_means` of the pairs' costs with a graph, and the facts: the pairs that are `active`, and all of them."""
    facts = {"active": (active & pairs).count_nonzero(), "tuples": pairs.count_nonzero()}
    return e.zero() + sum_of_means(cost, same, pairs), facts


def masked_logsumexp(x: Tensor, mask: Tensor, dim: int = 1) -> Tensor:
    """log of the sum of exp(x) over the mask; a huge negative number, without gradient, where the mask is empty."""
    return x.masked_fill(~mask, torch.finfo(x.dtype).min).logsumexp(dim)  # finite: -inf would give NaN gradients


def masked_log1p_sum_exp(x: Tensor, mask: Tensor, dim: int = 1) -> Tensor:
    """log of 1 + the sum of exp(x) over the mask; 0 where the mask is empty."""
    total = masked_logsumexp(x, mask, dim)
    return torch.logaddexp(total, torch.zeros_like(total))


def misranked_anchors(d: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """Mask (A,) of the anchors with a negative no farther than one of their positives; all arguments are (A, R)."""
    return d.masked_fill(~positives, -torch.inf).amax(1) >= d.masked_fill(~negatives, torch.inf).amin(1)


def query_loss(e: Embedded, log_share: Tensor, own: Tensor, logits: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The mean of -log_share over the queries whose class has a support, and the facts.

    Args:
        e: the batch.
        log_share: (Q,) of the query's own class.
        own: (Q, W) mask of each query's class.
        logits: (Q, W); a query is taken for the class of the largest.
    """
    known = own.any(1)
    wrong = known & ~own.gather(1, logits.argmax(1, keepdim=True)).squeeze(1)
    loss = -log_share.masked_fill(~known, 0.0).sum() / known.sum().clamp(min=1)
    return e.zero() + loss, {"active": wrong.sum(), "tuples": known.sum()}
