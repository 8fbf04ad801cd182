"""What `test_together.py` compares: computed by one process, or as `python parity.py RANK MEETING RESULTS` by one of two."""

import itertools
import sys
from pathlib import Path

import pytorch_lightning as pl
import torch
from parts import batch_of, made, own_distance
from torch import nn

from siamese_lab import together
from siamese_lab.assembly import Lab
from siamese_lab.augment import Affine
from siamese_lab.backbones.conv4 import Conv4
from siamese_lab.backbones.mlp import MLP
from siamese_lab.batch import Samples
from siamese_lab.binding import build
from siamese_lab.callbacks.mining import Mining
from siamese_lab.catalogue import options
from siamese_lab.combination import refuse_misfits
from siamese_lab.config import compose
from siamese_lab.data.module import SiameseData
from siamese_lab.errors import LabError
from siamese_lab.fitting import quiet, trainer
from siamese_lab.hardware import Decided
from siamese_lab.judging import choose, embed, judge
from siamese_lab.model import SiameseModule
from siamese_lab.sync_norm import synchronised

GROUPS = ("loss", "miner", "sampling", "distance")
CLASSES, EACH, BATCH, CHUNK = 8, 6, 24, 5
PRECISIONS = ("32-true", "64-true")
CONFIG = compose(["trainer.max_epochs=1", "trainer.gradient_clip_val=null", "trainer.progress=false", "protocol=[verification,retrieval]"])
MINED = {  # from the first epoch on, and what is drawn at random lies close to what was mined
    "hard_pairs": {"warmup": 0, "share_hard": 1.0, "neighbours": 5},
    "hard_triplets": {"warmup": 0, "share_hard": 1.0, "neighbours": 5},
    "hard_window": {"warmup": 0, "share_hard": 1.0, "first": 1, "last": 5},
    "lap_pairs": {"warmup": 0, "noise": 0.5, "partition": 20},
}


def images():
    """Random images of eight classes, and as many of eight others to judge on; the count of chunks is odd, and the last one is short."""
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


def chosen(names, samples):
    """The four parts of a combination; None where it is refused."""
    labels = samples.labels[samples.ids("train")]
    values = batch_of(names[2], BATCH) | {"steps": 1} | MINED.get(names[2], {})
    given = {"labels": labels, "dim": 8, "classes": CLASSES, "seed": 0}
    torch.manual_seed(1)
    loss, miner, sampling, distance = (
        made(group, name, given, **(values if group == "sampling" else {})) for group, name in zip(GROUPS, names, strict=True)
    )
    try:
        refuse_misfits(loss, miner, sampling, distance)
    except LabError:
        return None
    return loss, miner, sampling, distance


def cases():
    """Every allowed loss x miner x sampling at the loss's own distance, and every loss with every distance."""
    names = {(*three, own_distance(three[0])) for three in itertools.product(*map(options, GROUPS[:3]))}
    names |= set(itertools.product(options("loss"), ["all"], ["pk"], options("distance")))
    samples = images()
    return sorted(case for case in names if chosen(case, samples))


class Gradients(pl.callbacks.Checkpoint):
    """Keeps what the optimizer is given; in the place of Lightning's own checkpoints."""

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.seen = [p.grad.clone() if p.grad is not None else torch.zeros_like(p) for p in pl_module.parameters()]


def step(names, precision, backbone, accelerator="cpu"):
    """The gradients of one real step of Lightning's trainer, and the module after it."""
    samples = images()
    ids = samples.ids("train")
    loss, miner, sampling, distance = chosen(names, samples)
    module = SiameseModule(
        backbone, distance, loss, miner, Affine(), make_optimizers=lambda module: torch.optim.SGD(module.parameters(), lr=0.1)
    )
    decided = Decided(accelerator, precision, "channels_first", "default", 1, together.world())
    lab = Lab(samples, ids, samples.labels[ids], sampling, module, {}, decided)
    data, gradients = SiameseData(samples, ids, samples.labels[ids], sampling), Gradients()
    made = trainer(CONFIG, Path("unused"), lab, [Mining(data.loader, CHUNK), gradients])
    made.loggers = []
    made.fit(module, data)
    return torch.cat([g.flatten() for g in gradients.seen]), module


def mlp():
    """A network without batch statistics, the same each time."""
    torch.manual_seed(0)
    return MLP(shape=(1, 16, 16), hidden=[32], dim=8)


def convolutions():
    """One with batch statistics."""
    torch.manual_seed(0)
    return Conv4(shape=(1, 16, 16), width=8, dim=8)


def figures():
    """Embeddings and all figures of the validation part, by an untrained network whose batch statistics the ranks do not agree on."""
    samples, backbone = images(), convolutions()
    for part in backbone.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean += together.rank()  # as training leaves them: each has seen its own slices
    module = SiameseModule(backbone, made("distance", "euclidean"), made("loss", "supcon"), made("miner", "all"), Affine(), views=2)
    protocols = {name: build(node) for name, node in CONFIG.protocol.items()}
    z = embed(module, samples, samples.ids("val")[:47], CHUNK)
    chosen = choose(module, samples, protocols, CHUNK)
    return z, {name: figure.value for name, figure in judge(module, samples, "val", protocols, chosen, CHUNK).items()}


def everything():
    """All of it, by name."""
    torch.set_num_threads(1)
    quiet()
    found = {("gradients", *names, precision): step(names, precision, mlp())[0] for names in cases() for precision in PRECISIONS}
    names = ("supcon", "all", "pk", "euclidean")
    backbone = synchronised(convolutions(), gpu=False) if together.world() > 1 else convolutions()
    gradients, module = step(names, "64-true", backbone)
    found["synchronised"] = (gradients, {name: value.clone() for name, value in module.backbone.state_dict().items()})
    found["alone"] = step(names, "64-true", convolutions())[0]
    found["figures"] = figures()
    return found


if __name__ == "__main__":
    rank, meeting, results = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    with together.joined(meeting, rank, 2, gpu=False, threads=1):
        found = everything()
    torch.save(found, results / f"{rank}.pt")
