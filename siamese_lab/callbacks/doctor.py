"""Says what is wrong with a training while it runs."""

import logging
from collections import deque
from collections.abc import Mapping
from typing import Literal, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import STEP_OUTPUT
from torch import Tensor

from siamese_lab.callbacks._diagnoses import Look, diagnoses
from siamese_lab.core.errors import LabError
from siamese_lab.core.mappings import StateDict
from siamese_lab.distributed import collectives
from siamese_lab.model.siamese import SiameseModule
from siamese_lab.structures.batch import Batch
from siamese_lab.structures.embedded import Embedded

log = logging.getLogger(__name__)

ROWS = 64  # of a batch, for the spread and the order of its embeddings
FAILED = 1  # exit code


class Doctor(pl.Callback):
    """Looks every few steps, and reports each illness once, when all looks of a window have its signs.

    Args:
        action: "warn" = on stderr, "stop" = end the run as failed.
        every: steps between two looks, >= 1.
        window: looks that have to agree, >= 2.

    Raises:
        ValueError: if action is none of these, or a number out of its range.

    Examples:
        >>> from siamese_lab.callbacks._diagnoses import Look, diagnoses
        >>> from siamese_lab.callbacks.doctor import Doctor
        >>> looks = 10 * [Look(10, 0.2, 0.2, 1e-3, active=64, tuples=64, spread=0.01, rank=1.2, largest=0.1, order=0.5)]
        >>> doctor = Doctor(every=10, window=10)  # looks at every 10th step, reports after 10 looks that agree
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
        self.reported: set[str] = set()
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
        """Looks, logs what it saw, and reports what is wrong."""
        if trainer.global_step % self.every or self._gradient is None:
            return
        loss = cast(Mapping[str, Tensor], outputs)["loss"]
        look = look_at_step(trainer.global_step, cast(SiameseModule, pl_module), loss, self._gradient)
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
            if illness not in self.reported:
                self.reported.add(illness)
                self._report(f"step {look.step}: {words}")

    def state_dict(self) -> StateDict:
        """For the checkpoint: a resumed run reports nothing twice."""
        return {
            "said": sorted(self.reported),
            "first": [vars(look) for look in self.first],
            "looks": [vars(look) for look in self.looks],
        }

    def load_state_dict(self, state: StateDict) -> None:
        """From the checkpoint."""
        self.reported, self.first = set(state["said"]), [Look(**look) for look in state["first"]]
        self.looks.extend(Look(**look) for look in state["looks"])

    def _report(self, words: str) -> None:
        if self.action == "stop":
            raise LabError(f"the doctor ends the run at {words} (callback.doctor.action=warn goes on)", FAILED)
        if collectives.rank() == 0:
            log.warning("doctor, %s", words)


@torch.no_grad()
def look_at_step(step: int, module: SiameseModule, loss: Tensor, gradient: Tensor) -> Look:
    """Measures the last step of a module.

    Raises:
        RuntimeError: before the first step.
    """
    if module.seen is None:
        raise RuntimeError("a look needs a trained batch, and none was trained yet: look after the first step")
    e, tuples, facts = module.seen
    z = e.z[: e.anchors].detach()
    same = z.mean(0, keepdim=True).expand_as(z).contiguous()
    alike = Embedded(same, e.labels[: e.anchors], e.rows()[: e.anchors], distance=e.distance)
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
        order=share_in_order(Embedded(some, e.labels[: len(some)], e.rows()[: len(some)], distance=e.distance)),
        largest=float(e.labels[: e.anchors].unique(return_counts=True)[1].max() / len(z)),
    )


def share_in_order(e: Embedded) -> float:
    """How often a positive pair is nearer than a negative one; 1 where there are none to compare."""
    d, positives, negatives = e.matrix(), e.positives().triu(1), e.negatives().triu(1)
    near, far = d[positives], d[negatives].sort().values
    if not len(near) or not len(far):
        return 1.0
    below, upto = (torch.searchsorted(far, near, right=right).double().mean() for right in (False, True))
    return 1.0 - float(below + upto) / 2 / len(far)
