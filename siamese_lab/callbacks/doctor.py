"""Says what is wrong with a training while it runs."""

import logging
import statistics
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import STEP_OUTPUT
from torch import Tensor

from siamese_lab.core.errors import LabError
from siamese_lab.distributed import collectives
from siamese_lab.model.siamese import SiameseModule
from siamese_lab.structures.batch import Batch
from siamese_lab.structures.embedded import Embedded

log = logging.getLogger(__name__)


ROWS = 64  # of a batch, for the spread and the order of its embeddings
FAILED = 1  # exit code


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


class Doctor(pl.Callback):
    """Looks every few steps; says each illness once, when all looks of a window have its signs.

    Args:
        action: "warn" = on stderr, "stop" = end the run as failed.
        every: steps between two looks, >= 1.
        window: looks that have to agree, >= 2.

    Raises:
        ValueError: if action is none of these, or a number out of its range.

    Examples:
        >>> from siamese_lab.callbacks.doctor import Doctor, Look, diagnoses
        >>> looks = 10 * [Look(10, 0.2, 0.2, 1e-3, active=64, tuples=64, spread=0.01, rank=1.2, largest=0.1, order=0.5)]
        >>> doctor = Doctor(every=10, window=10)  # looks at every 10th step, speaks after 10 that agree
        >>> list(diagnoses(looks, looks)), doctor.changes_result
        (['collapse'], False)
    """

    changes_result: bool = False  # it only watches: the run id does not depend on it

    def __init__(self, action: Literal["warn", "stop"] = "warn", every: int = 10, window: int = 10) -> None:
        if action not in ("warn", "stop"):
            raise ValueError(f"action must be warn or stop, got {action!r}")
        if not every >= 1:
            raise ValueError(f"every must be >= 1, got {every}: it counts the steps from one look to the next")
        if not window >= 2:
            raise ValueError(f"window must be >= 2, got {window}: it is how many looks have to agree")
        self.action, self.every = action, every
        self.looks: deque[Look] = deque(maxlen=window)
        self.first: list[Look] = []  # of the training
        self.said: set[str] = set()
        self._gradient: Tensor | None = None

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """The gradient as it is before clipping."""
        if (trainer.global_step + 1) % self.every == 0:
            norms = torch._foreach_norm([p.grad for p in pl_module.parameters() if p.grad is not None])
            self._gradient = torch.stack(list(norms)).norm() if norms else torch.zeros(())

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: STEP_OUTPUT, batch: Batch, batch_idx: int
    ) -> None:
        """Looks, logs what it saw, and speaks if there is something to say."""
        if trainer.global_step % self.every or self._gradient is None:
            return
        look = seen(
            trainer.global_step,
            cast(SiameseModule, pl_module),
            cast(Mapping[str, Tensor], outputs)["loss"],
            self._gradient,
        )
        pl_module.log_dict(
            {"doctor/gradient": look.gradient, "doctor/spread": look.spread, "doctor/effective_rank": look.rank},
            on_epoch=False,
            on_step=True,
        )
        self.looks.append(look)
        if len(self.first) < (self.looks.maxlen or 0):
            self.first.append(look)
            return
        for illness, words in diagnoses(list(self.looks), self.first).items():
            if illness not in self.said:
                self.said.add(illness)
                self._say(f"step {look.step}: {words}")

    def state_dict(self) -> dict[str, object]:
        """What was said is not said again by a resumed run."""
        return {
            "said": sorted(self.said),
            "first": [vars(look) for look in self.first],
            "looks": [vars(look) for look in self.looks],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.said, self.first = set(state["said"]), [Look(**look) for look in state["first"]]
        self.looks.extend(Look(**look) for look in state["looks"])

    def _say(self, words: str) -> None:
        if self.action == "stop":
            raise LabError(f"the doctor ends the run at {words} (callback.doctor.action=warn goes on)", FAILED)
        if collectives.rank() == 0:
            log.warning("doctor, %s", words)


@torch.no_grad()
def seen(step: int, module: SiameseModule, loss: Tensor, gradient: Tensor) -> Look:
    """What the last step of `module` looked like.

    Raises:
        RuntimeError: before the first step.
    """
    if module.seen is None:
        raise RuntimeError("a look needs a trained batch, and none was trained yet: look after the first step")
    e, tuples, facts = module.seen
    z = e.z[: e.anchors].detach()
    alike = Embedded(
        z.mean(0, keepdim=True).expand_as(z).contiguous(),
        e.labels[: e.anchors],
        e.rows()[: e.anchors],
        distance=e.distance,
    )
    some = z[:ROWS].float()
    centred = some - some.mean(0)
    values = torch.linalg.svdvals(centred.cpu())
    share = values / values.sum().clamp(min=1e-30)
    return Look(
        step=step,
        loss=float(loss),
        alike=float(module.loss(alike, None if e.anchors != len(e.z) else tuples)[0]),
        gradient=float(gradient),
        active=int(facts["active"]),
        tuples=int(facts["tuples"]),
        spread=float(centred.norm(dim=1).mean() / some.norm(dim=1).mean().clamp(min=1e-30)),
        rank=float(torch.exp(-(share * share.clamp(min=1e-30).log()).sum())),
        order=in_order(Embedded(some, e.labels[: len(some)], e.rows()[: len(some)], distance=e.distance)),
        largest=float(e.labels[: e.anchors].unique(return_counts=True)[1].max() / len(z)),
    )


def in_order(e: Embedded) -> float:
    """How often a positive pair is nearer than a negative one; 1 where there are none to compare."""
    d, positives, negatives = e.matrix(), e.positives().triu(1), e.negatives().triu(1)
    near, far = d[positives], d[negatives].sort().values
    if not len(near) or not len(far):
        return 1.0
    below, upto = (torch.searchsorted(far, near, right=right).double().mean() for right in (False, True))
    return 1.0 - float(below + upto) / 2 / len(far)


def diagnoses(looks: list[Look], first: list[Look]) -> dict[str, str]:
    """Name and words of each illness that all of `looks` have the signs of.

    Args:
        looks: the latest, oldest first.
        first: as many from the start of the training.
    """
    found = {}
    loss, gradient = _middle(looks, "loss"), _middle(looks, "gradient")
    began, gradient_began = _middle(first, "loss"), _middle(first, "gradient")
    spread, rank, order, alike = (_middle(looks, name) for name in ("spread", "rank", "order", "alike"))
    if all(look.tuples == 0 for look in looks):
        found["no tuples"] = (
            f"none of the last {len(looks)} batches looked at held a valid tuple: each needs two images of a class "
            "and two classes. Try "
            "sampling=pk, or a larger sampling.batch_size"
        )
        return found
    if all(look.largest > 0.5 for look in looks):
        share = 100 * _middle(looks, "largest")
        found["one class"] = (
            f"one class has {share:.0f} % of each batch: the others are hardly learned. Try sampling=pk or "
            "sampling=balanced"
        )
    if all(look.spread < 0.02 for look in looks):
        found["collapse"] = (
            f"the embeddings collapse to a point: they lie within {100 * spread:.2g} % of their norm around their "
            "mean, the loss is "
            f"{loss:.3g} (of one embedding for all: {alike:.3g}). Negatives too hard, a rate too high or a margin too "
            "small do this. Try "
            "optimizer.lr a tenth of what it is, miner=all or miner=semi_hard, another loss.margin"
        )
    elif all(look.rank < 2 for look in looks):
        found["collapse"] = (
            f"the embeddings collapse to a line: their effective rank is {rank:.1f}. Try optimizer.lr a tenth of what "
            "it is, "
            "or another loss"
        )
    elif order < 0.6:
        found["nothing learned"] = (
            f"images of one class lie no nearer to each other than to others: in {100 * order:.0f} % of comparisons, "
            "by chance in 50; "
            f"the loss is stuck at {loss:.3g} (of one embedding for all: {alike:.3g}; a hinge stays at its margin, a "
            "logistic loss at "
            "ln 2). Labels that say nothing do this, or a rate too high or too low. Look at the labels; try "
            "optimizer.lr a tenth of what "
            "it is, or ten times that"
        )
    elif all(look.active == look.tuples and abs(look.loss - look.alike) < 0.03 * abs(look.alike) for look in looks):
        found["margin too large"] = (
            f"every tuple costs, and the loss is stuck at {loss:.3g}, near what one embedding for all costs "
            f"({alike:.3g}): distances "
            "cannot reach the margin. Try a smaller loss.margin, or backbone.normalise=false"
        )
    if all(look.gradient == 0 for look in looks):
        found["too easy"] = (
            "nothing is learned any more: the gradient is 0, every tuple costs nothing. Try miner=batch_hard, "
            "sampling=hard_pairs or "
            "hard_triplets, a larger loss.margin, or fewer trainer.max_epochs"
        )
    elif all(look.active < 3 for look in looks) and _middle(looks, "tuples") >= 30:
        found["hardly active"] = (
            f"hardly any tuple costs anything: {_middle(looks, 'active'):.0f} of {_middle(looks, 'tuples'):,.0f} in a "
            "batch. Try "
            "miner=batch_hard, sampling=hard_pairs or hard_triplets, or a larger loss.margin"
        )
    if gradient > 30 * gradient_began and loss > began:
        found["exploding"] = (
            f"the gradient explodes: its norm is {gradient:.3g}, at the start it was {gradient_began:.3g}, and the "
            "loss has risen from "
            f"{began:.3g} to {loss:.3g}. Try optimizer.lr a tenth of what it is, optimizer.schedule.warmup=0.1, "
            "trainer.gradient_clip_val=1"
        )
    return found


def _middle(looks: list[Look], name: str) -> float:
    return float(statistics.median(map(attrgetter(name), looks)))
