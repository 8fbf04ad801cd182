"""The doctor: illnesses of real trainings, and none where there is none."""

from dataclasses import replace

import pytest
import torch

from siamese_lab.callbacks._diagnoses import Look, diagnoses
from siamese_lab.callbacks.doctor import Doctor, share_in_order
from siamese_lab.cli import main
from siamese_lab.config.compose import compose
from siamese_lab.config.groups import option_names
from siamese_lab.model.checkpoint import Start
from siamese_lab.structures.embedded import Embedded
from siamese_lab.training.assemble import assemble
from siamese_lab.training.interruption import Interruption
from siamese_lab.training.throughput import Throughput
from siamese_lab.training.trainer import fit, quiet
from siamese_lab.training.validation import Validation
from tests.conftest import SMALL, mostly_slow

SHORT = ["sampling.batch_size=96", "sampling.steps=15", "trainer.max_epochs=11", "trainer.precision=32-true"]
FAST = ["loss=triplet", "miner=batch_hard", "optimizer.lr=0.3"]  # a hundred times the usual rate


def trained(path, *words, shuffled=False):
    """The doctor after a training on the small problem, with labels that say nothing if `shuffled`."""
    quiet()
    experiment = assemble(compose([*SMALL, *SHORT, *words]))
    cfg = compose([*SMALL, *SHORT, *words])
    if shuffled:
        order = torch.randperm(len(experiment.labels), generator=torch.Generator().manual_seed(0))
        labels = experiment.labels[order]
        experiment = replace(
            experiment, labels=labels, sampling=type(experiment.sampling)(labels=labels, batch_size=96, steps=15)
        )
    validation = Validation(experiment.samples, experiment.protocols, 1000, 500, None, Interruption())
    fit(cfg, path, experiment, validation, Throughput(), Interruption(), Start())
    return experiment.callbacks["doctor"]


@pytest.mark.parametrize(("words", "illness"), [
    (FAST, "collapse"),
    (["loss=contrastive", "loss.margin=100"], "margin too large"),
    (["loss=triplet", "loss.margin=100"], "margin too large"),
    (["loss=triplet", "sampling.per_class=96"], "no tuples"),
    (["loss=contrastive", "sampling.per_class=96"], "one class"),
], ids=lambda value: value if isinstance(value, str) else " ".join(value))  # fmt: skip
def test_an_illness_is_seen(tmp_path, caplog, words, illness):
    doctor = trained(tmp_path, *words)
    assert illness in doctor.reported
    err = caplog.text
    assert f"doctor, step {doctor.looks.maxlen * 10 + 10}" in err
    assert "Try " in err or "try " in err


@pytest.mark.parametrize("loss", ["supcon", "triplet", "contrastive", "bce"])
def test_labels_that_say_nothing_are_seen(tmp_path, caplog, loss):
    assert trained(tmp_path, f"loss={loss}", shuffled=True).reported == {"nothing learned"}
    assert "Look at the labels" in caplog.text


@pytest.mark.parametrize(
    "loss",
    mostly_slow(option_names("loss"), ("contrastive", "triplet", "supcon", "arcface", "prototypical", "smooth_ap")),
)
def test_a_sound_training_is_left_in_peace(tmp_path, caplog, loss):
    doctor = trained(tmp_path, f"loss={loss}")
    assert len(doctor.looks) == doctor.looks.maxlen
    assert doctor.reported == set(), caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("words", [[f"loss={loss}"] for loss in option_names("loss")], ids=str)
def test_the_main_job_is_left_in_peace(outputs, capsys, words):
    assert main(["train", "trainer.progress=false", "protocol=[verification]", *words]) == 0
    assert "doctor" not in capsys.readouterr().err


def test_it_ends_the_run_where_it_is_told_to(outputs, capsys):
    words = [*SMALL, *SHORT, *FAST, "callback.doctor.action=stop"]
    assert main(["train", *words]) == 1
    err = capsys.readouterr().err
    assert "the doctor ends the run at step 110: the embeddings collapse" in err
    assert "Traceback" not in err


def looks(**values):
    plain = {
        "loss": 0.3,
        "alike": 1.0,
        "gradient": 1.0,
        "active": 50,
        "tuples": 100,
        "spread": 0.5,
        "rank": 9.0,
        "largest": 0.1,
        "order": 0.9,
    }
    return [Look(step=step, **(plain | values)) for step in range(10)]


@pytest.mark.parametrize(("values", "illness"), [
    ({}, None),
    ({"tuples": 0, "active": 0}, "no tuples"),
    ({"largest": 0.6}, "one class"),
    ({"spread": 0.01}, "collapse"),
    ({"rank": 1.5}, "collapse"),
    ({"order": 0.5}, "nothing learned"),
    ({"active": 100, "loss": 0.99}, "margin too large"),
    ({"active": 0, "gradient": 0.0}, "too easy"),
    ({"active": 2}, "hardly active"),
    ({"gradient": 50.0, "loss": 0.5}, "exploding"),
    ({"gradient": 50.0, "loss": 0.2}, None),  # large, and it learns
], ids=str)  # fmt: skip
def test_signs(values, illness):
    assert list(diagnoses(looks(**values), looks())) == ([illness] if illness else [])


def test_order_by_hand():
    z = torch.tensor([[0.0], [1.0], [3.0], [3.5]])
    # same: 0-1 at 1, 2-3 at 0.5; others: 3, 3.5, 2, 2.5
    assert share_in_order(Embedded(z, torch.tensor([0, 0, 1, 1]))) == 1.0
    # same: 0-2 at 3, 1-3 at 2.5; others 0-1 at 1, 0-3 at 3.5, 1-2 at 2, 2-3 at 0.5
    assert share_in_order(Embedded(z, torch.tensor([0, 1, 0, 1]))) == 2 / 8
    assert share_in_order(Embedded(torch.zeros(4, 1), torch.tensor([0, 0, 1, 1]))) == 0.5
    assert share_in_order(Embedded(z, torch.tensor([0, 0, 0, 0]))) == 1.0


def test_what_was_said_is_not_said_again_by_a_resumed_run():
    doctor, other = Doctor(), Doctor()
    doctor.reported.add("collapse")
    doctor.looks.extend(looks())
    other.load_state_dict(doctor.state_dict())
    assert (other.reported, list(other.looks)) == (doctor.reported, looks())


@pytest.mark.parametrize(
    ("values", "words"), [({"action": "shout"}, "action must be"), ({"every": 0}, "every"), ({"window": 1}, "window")]
)
def test_bad_values(values, words):
    with pytest.raises(ValueError, match=words):
        Doctor(**values)
