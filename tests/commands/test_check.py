"""`siamese-lab check`: what it says of a run, and what it refuses."""

import pytest
import torch

from siamese_lab.cli import main
from siamese_lab.config.compose import compose
from siamese_lab.core.errors import LabError
from siamese_lab.model.cost import multiply_adds
from siamese_lab.training.assemble import assemble
from siamese_lab.training.dry_run import describe, never_drawn
from tests.conftest import SMALL


def test_it_says_what_a_run_would_do(outputs, capsys):
    assert main(["check", *SMALL, "sampling.batch_size=96", "sampling.steps=12"]) == 0
    out = capsys.readouterr().out
    # 24 classes x 4 images: 24 * 6 positive pairs, 96 * 95 / 2 - 144 negative ones
    for word in (
        "728 images of 91 classes",
        "144 positive and 4,416 negative pairs",
        "0 of 91 would never be drawn",
        "multiply-adds",
    ):
        assert word in out, out
    assert not outputs.exists()


def test_multiply_adds_by_hand():
    layer = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.Flatten(), torch.nn.Linear(8 * 16, 5))
    assert multiply_adds(layer, (1, 4, 4)) == 4 * 4 * 9 * 8 + 8 * 16 * 5


def test_mined_samplings_are_judged_on_their_warm_up_or_after_one_pass(outputs, capsys):
    common = ["check", *SMALL, "loss=contrastive", "sampling=hard_pairs", "sampling.batch_size=64", "sampling.steps=4"]
    assert main(common) == 0
    assert "warm-up" in capsys.readouterr().out
    assert main([*common, "sampling.warmup=0"]) == 0
    assert "mined with the untrained network" in capsys.readouterr().out


def test_classes_never_drawn_are_counted_over_the_planned_epochs():
    few = ["sampling.batch_size=16", "sampling.steps=2", "trainer.max_epochs=3"]
    experiment = assemble(compose([*SMALL, *few]))
    drawn = torch.cat([ids for epoch in range(3) for ids, _ in experiment.sampling.batches(epoch)])
    missed = never_drawn(experiment, 3)
    assert len(missed) == 91 - len(experiment.labels[drawn].unique())
    assert len(missed) >= 91 - 3 * 2 * 4  # epochs x batches x classes a batch


def test_what_would_train_nothing_is_refused():
    cfg = compose([*SMALL, "loss=contrastive", "loss.margin=1e-30", "sampling=random_pairs", "sampling.share_same=0.0"])
    experiment = assemble(cfg)
    with pytest.raises(LabError, match=r"none of .* batches gives a gradient"):
        describe(cfg, experiment)


def test_chunks_that_would_change_the_result_are_refused(capsys):
    assert main(["check", *SMALL, "trainer.chunk=32"]) == 2
    assert "trainer.chunk=32 would give 4 batch normalisations the statistics of chunks" in capsys.readouterr().err
    assert main(["check", *[word for word in SMALL if "width" not in word], "backbone=lenet", "trainer.chunk=32"]) == 0
