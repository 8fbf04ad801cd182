"""What the looks of the doctor are signs of."""

import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """What is seen of one step.

    Args:
        step: optimizer steps done.
        loss: the loss.
        alike: what it would be if all images of the batch had one embedding.
        gradient: norm over all parameters, before clipping.
        active, tuples: counted by the loss.
        spread: mean distance of an embedding from their mean, as a share of their mean norm.
        rank: effective rank of the embeddings, in [1, D].
        largest: share of the batch that the most frequent class has.
        order: share of the comparisons of a positive with a negative pair in which the positive one is nearer, in [0,
            1]; 0.5 = chance.
    """

    step: int
    loss: float
    alike: float
    gradient: float
    active: int
    tuples: int
    spread: float
    rank: float
    largest: float
    order: float


def diagnoses(looks: list[Look], first: list[Look]) -> dict[str, str]:
    """Name and words of each illness that all of `looks` have the signs of.

    Args:
        looks: the latest, oldest first.
        first: as many from the start of the training.
    """
    loss, gradient, spread = _median(looks, "loss"), _median(looks, "gradient"), _median(looks, "spread")
    rank, order, alike = _median(looks, "rank"), _median(looks, "order"), _median(looks, "alike")
    active, tuples, largest = _median(looks, "active"), _median(looks, "tuples"), _median(looks, "largest")
    first_loss, first_gradient = _median(first, "loss"), _median(first, "gradient")
    if all(look.tuples == 0 for look in looks):
        return {
            "no tuples": f"none of the last {len(looks)} batches looked at held a valid tuple: each needs two images "
            "of a class and two classes. Try sampling=pk, or a larger sampling.batch_size"
        }
    found = {}
    if all(look.largest > 0.5 for look in looks):
        found["one class"] = (
            f"one class has {100 * largest:.0f} % of each batch: the others are hardly learned. Try sampling=pk or "
            "sampling=balanced"
        )
    if all(look.spread < 0.02 for look in looks):
        found["collapse"] = (
            f"the embeddings collapse to a point: they lie within {100 * spread:.2g} % of their norm around their "
            f"mean, the loss is {loss:.3g} (of one embedding for all: {alike:.3g}). Negatives too hard, a rate too "
            "high or a margin too small do this. Try optimizer.lr a tenth of what it is, miner=all or "
            "miner=semi_hard, another loss.margin"
        )
    elif all(look.rank < 2 for look in looks):
        found["collapse"] = (
            f"the embeddings collapse to a line: their effective rank is {rank:.1f}. Try optimizer.lr a tenth of what "
            "it is, or another loss"
        )
    elif order < 0.6:
        found["nothing learned"] = (
            f"images of one class lie no nearer to each other than to others: in {100 * order:.0f} % of comparisons, "
            f"by chance in 50; the loss is stuck at {loss:.3g} (of one embedding for all: {alike:.3g}; a hinge stays "
            "at its margin, a logistic loss at ln 2). Labels that say nothing do this, or a rate too high or too low. "
            "Look at the labels; try optimizer.lr a tenth of what it is, or ten times that"
        )
    elif all(look.active == look.tuples and abs(look.loss - look.alike) < 0.03 * abs(look.alike) for look in looks):
        found["margin too large"] = (
            f"every tuple costs, and the loss is stuck at {loss:.3g}, near what one embedding for all costs "
            f"({alike:.3g}): distances cannot reach the margin. Try a smaller loss.margin, or backbone.normalise=false"
        )
    if all(look.gradient == 0 for look in looks):
        found["too easy"] = (
            "nothing is learned any more: the gradient is 0, every tuple costs nothing. Try miner=batch_hard, "
            "sampling=hard_pairs or hard_triplets, a larger loss.margin, or fewer trainer.max_epochs"
        )
    elif all(look.active < 3 for look in looks) and tuples >= 30:
        found["hardly active"] = (
            f"hardly any tuple costs anything: {active:.0f} of {tuples:,.0f} in a batch. Try miner=batch_hard, "
            "sampling=hard_pairs or hard_triplets, or a larger loss.margin"
        )
    if gradient > 30 * first_gradient and loss > first_loss:
        found["exploding"] = (
            f"the gradient explodes: its norm is {gradient:.3g}, at the start it was {first_gradient:.3g}, and the "
            f"loss has risen from {first_loss:.3g} to {loss:.3g}. Try optimizer.lr a tenth of what it is, "
            "optimizer.schedule.warmup=0.1, trainer.gradient_clip_val=1"
        )
    return found


def _median(looks: list[Look], field: str) -> float:
    return float(statistics.median(vars(look)[field] for look in looks))
