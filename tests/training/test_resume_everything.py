"""Every loss, miner, sampling, distance and memory: a training that goes on from a checkpoint ends as the uninterrupted
one.
"""

import pytest
import pytorch_lightning as pl
import torch

from siamese_lab.config.compose import compose
from siamese_lab.config.groups import option_names
from siamese_lab.core.errors import Stopped
from siamese_lab.model.checkpoint import newest_checkpoint
from siamese_lab.training.assemble import assemble
from siamese_lab.training.interruption import Interruption
from siamese_lab.training.throughput import Throughput
from siamese_lab.training.trainer import fit, quiet
from siamese_lab.training.validation import Validation
from tests._parts import batch_of
from tests.conftest import SMALL
from tests.training.test_resume import same

TINY = [
    *(word for word in SMALL if "width" not in word),
    "backbone=mlp",
    "backbone.hidden=[32]",
    "trainer.max_epochs=2",
]
STEPS, KILLED = 4, 7  # of an epoch; in the second one
TRIPLETS = {"angular", "batch_hard", "distance_weighted", "easy_positive", "rank_window", "semi_hard"}
CASES = [f"loss={name}" for name in option_names("loss")]
CASES += [
    f"miner={name} loss={'triplet' if name in TRIPLETS else 'contrastive'}"
    for name in option_names("miner")
    if name != "all"
]
CASES += [
    f"sampling={name} loss={'prototypical' if name == 'episodes' else 'supcon'}"
    for name in option_names("sampling")
    if name != "hierarchical"
]
CASES += [f"distance={name} loss=bce" for name in option_names("distance")]
CASES += [
    "memory=xbm memory.size=70 memory.warmup=2 loss=triplet",
    "trainer.ema=0.9 optimizer=sgd optimizer.momentum=0.9",
]


class Dies(pl.Callback):
    """As a kill does: nothing more is written."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == KILLED:
            raise Stopped("SIGKILL", KILLED)


def trained(path, cfg, start, dies=False):
    """The module and the states of its optimizers after a training from `start` on."""
    experiment = assemble(cfg)
    if dies:
        experiment.callbacks["dies"] = Dies()
    validation = Validation(experiment.samples, experiment.protocols, 1, 500, None, Interruption())
    try:
        fit(cfg, path, experiment, validation, Throughput(), Interruption(), start)
    except Stopped:
        assert dies
    return newest_checkpoint(path / "checkpoints")


@pytest.mark.parametrize("words", CASES)
def test_it_ends_as_the_uninterrupted_one(tmp_path, words):
    quiet()
    name = next((word.removeprefix("sampling=") for word in words.split() if word.startswith("sampling=")), "pk")
    batch = [f"sampling.{key}={value}" for key, value in (batch_of(name, 48) | {"steps": STEPS}).items()]
    mined = ["sampling.warmup=0"] if name in ("hard_pairs", "hard_triplets", "hard_window", "lap_pairs") else []
    cfg = compose([*TINY, *batch, *mined, "trainer.checkpoint_every=3", *words.split()])
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    nothing = newest_checkpoint(tmp_path)
    whole = trained(tmp_path / "whole", cfg, nothing)
    killed = trained(tmp_path / "killed", cfg, nothing, dies=True)
    assert (whole.step, killed.step) == (2 * STEPS, 6)  # the seventh step is done again
    again = trained(tmp_path / "killed", cfg, killed)
    a, b = (torch.load(end.path, weights_only=True) for end in (whole, again))
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch"):
        assert same(a[key], b[key]), key
