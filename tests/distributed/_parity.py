"""What `test_together.py` compares: computed by one process, or as `python parity.py RANK MEETING RESULTS` by one of
two.
"""

import itertools
import sys
from copy import deepcopy
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytorch_lightning as pl
import torch
from torch import nn

from siamese_lab.augment.affine import Affine
from siamese_lab.backbones.conv4 import Conv4
from siamese_lab.backbones.mlp import MLP
from siamese_lab.config.compatibility import refuse_misfits
from siamese_lab.config.compose import compose
from siamese_lab.config.groups import option_names
from siamese_lab.config.instantiate import build
from siamese_lab.core.errors import LabError
from siamese_lab.core.hardware import Decided
from siamese_lab.data.module import SiameseData
from siamese_lab.distributed import collectives
from siamese_lab.distributed.sync_batchnorm import with_sync_batchnorm
from siamese_lab.evaluation.evaluator import choose, embed_ids, evaluate_part
from siamese_lab.model.siamese import SiameseModule
from siamese_lab.model.twin import Twin
from siamese_lab.structures.samples import Samples
from siamese_lab.training.assemble import Experiment
from siamese_lab.training.mining import Mining
from siamese_lab.training.trainer import build_trainer, quiet
from tests._parts import batch_of, made, own_distance

GROUPS = ("loss", "miner", "sampling", "distance")
CLASSES, EACH, BATCH, CHUNK = 8, 6, 24, 5
PRECISIONS = ("32-true", "64-true")
CONFIG = compose(
    [
        "trainer.max_epochs=1",
        "trainer.gradient_clip_val=null",
        "trainer.progress=false",
        "protocol=[verification,retrieval]",
    ]
)
MINED = {  # from the first epoch on, and what is drawn at random lies close to what was mined
    "hard_pairs": {"warmup": 0, "share_hard": 1.0, "neighbours": 5},
    "hard_triplets": {"warmup": 0, "share_hard": 1.0, "neighbours": 5},
    "hard_window": {"warmup": 0, "share_hard": 1.0, "first": 1, "last": 5},
    "lap_pairs": {"warmup": 0, "noise": 0.5, "partition": 20},
}


def images():
    """Random images of eight classes, and as many of eight others to evaluate on; the count of chunks is odd, and the
    last one is short.
    """
    g = torch.Generator().manual_seed(3)
    n = 2 * CLASSES * EACH
    return Samples(
        images=torch.randint(256, (n, 1, 16, 16), dtype=torch.uint8, generator=g),
        row=torch.arange(n),
        turn=torch.zeros(n, dtype=torch.int64),
        labels=torch.arange(2 * CLASSES).repeat_interleave(EACH),
        classes=tuple(map(str, range(2 * CLASSES))),
        groups={},
        split=torch.tensor([0, 1]).repeat_interleave(n // 2),
        disjoint="label",
        fingerprint="",
    )


@cache
def part(group, name):
    """One option of a group, for the training part of `images`."""
    labels = images().labels[: CLASSES * EACH]
    values = batch_of(name, BATCH) | {"steps": 1} | MINED.get(name, {}) if group == "sampling" else {}
    torch.manual_seed(1)
    return made(group, name, {"labels": labels, "dim": 8, "classes": CLASSES, "seed": 0}, **values)


def fit_together(names):
    """Whether a combination is allowed."""
    try:
        refuse_misfits(*map(part, GROUPS, names))
    except LabError:
        return False
    return True


@cache
def cases():
    """Every allowed loss x miner x sampling at the loss's own distance, and every loss with every distance."""
    own = {loss: own_distance(loss) for loss in option_names("loss")}
    names = {(*three, own[three[0]]) for three in itertools.product(*map(option_names, GROUPS[:3]))}
    names |= set(itertools.product(option_names("loss"), ["all"], ["pk"], option_names("distance")))
    return sorted(filter(fit_together, names))


def usual():
    """Of these, each loss as it comes: they go through Lightning's trainer, the others through the same hooks without
    it.
    """
    return [(loss, "all", "pk", own_distance(loss)) for loss in option_names("loss")]


def assembled(names, backbone):
    """The module and the data of a combination."""
    loss, miner, sampling, distance = (deepcopy(part(group, name)) for group, name in zip(GROUPS, names, strict=True))
    module = SiameseModule(
        Twin(backbone, distance, Affine()),
        loss,
        miner,
        make_optimizers=lambda module: torch.optim.SGD(module.parameters(), lr=0.1),
    )
    samples = images()
    ids = samples.ids("train")
    return module, SiameseData(samples, ids, samples.labels[ids], sampling)


class Gradients(pl.callbacks.Checkpoint):
    """Keeps what the optimizer is given; in the place of Lightning's own checkpoints."""

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.seen = [p.grad.clone() if p.grad is not None else torch.zeros_like(p) for p in pl_module.parameters()]


def step(names, precision, backbone, accelerator="cpu"):
    """The gradients of one real step of Lightning's trainer, and the module after it."""
    module, data = assembled(names, backbone)
    loader, gradients = data.loader, Gradients()
    decided = Decided(accelerator, precision, "channels_first", "default", 1, collectives.world())
    experiment = Experiment(loader.samples, loader.ids, loader.labels, loader.sampling, module, {}, decided)
    made = build_trainer(CONFIG, Path("unused"), experiment, [Mining(loader, CHUNK), gradients])
    made.loggers = []
    made.fit(module, data)
    return torch.cat([g.flatten() for g in gradients.seen]), module


def gradient(names, precision):
    """The same gradients by the same hooks, called as the trainer calls them; a twentieth of the time."""
    module, data = assembled(names, mlp())
    if precision == "64-true":
        module = module.double()
    stand_in = SimpleNamespace(current_epoch=0, is_last_batch=False, global_step=0)
    module._trainer = stand_in
    Mining(data.loader, CHUNK).on_train_epoch_start(stand_in, module)
    batch = module.on_after_batch_transfer(next(iter(data.loader)), 0)
    module.training_step(batch, 0).backward()
    module.on_after_backward()
    return torch.cat([(p.grad if p.grad is not None else torch.zeros_like(p)).flatten() for p in module.parameters()])


def mlp():
    """A network without batch statistics, the same each time."""
    torch.manual_seed(0)
    return MLP(shape=(1, 16, 16), hidden=[32], dim=8)


def convolutions():
    """One with batch statistics."""
    torch.manual_seed(0)
    return Conv4(shape=(1, 16, 16), width=8, dim=8)


def figures():
    """Embeddings and all figures of the validation part, by an untrained network whose batch statistics the ranks do
    not agree on.
    """
    samples, backbone = images(), convolutions()
    for part in backbone.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean += collectives.rank()  # as training leaves them: each has seen its own slices
    twin = Twin(backbone, made("distance", "euclidean"), Affine(), views=2)
    protocols = {name: build(node) for name, node in CONFIG.protocol.items()}
    z = embed_ids(twin, samples, samples.ids("val")[:47], CHUNK)
    chosen = choose(twin, samples, protocols, CHUNK)
    return z, {
        name: figure.value for name, figure in evaluate_part(twin, samples, "val", protocols, chosen, CHUNK).items()
    }


def everything():
    """All of it, by name."""
    torch.set_num_threads(1)
    quiet()
    found = {
        ("gradients", *names, precision): gradient(names, precision) for names in cases() for precision in PRECISIONS
    }
    found |= {
        ("trainer", *names, precision): step(names, precision, mlp())[0]
        for names in usual()
        for precision in PRECISIONS
    }
    names = ("supcon", "all", "pk", "euclidean")
    backbone = with_sync_batchnorm(convolutions(), gpu=False) if collectives.world() > 1 else convolutions()
    gradients, module = step(names, "64-true", backbone)
    found["synchronised"] = (
        gradients,
        {name: value.clone() for name, value in module.twin.backbone.state_dict().items()},
    )
    found["alone"] = step(names, "64-true", convolutions())[0]
    found["figures"] = figures()
    return found


if __name__ == "__main__":
    rank, meeting, results = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    with collectives.process_group(meeting, rank, 2, gpu=False, threads=1):
        found = everything()
    torch.save(found, results / f"{rank}.pt")
