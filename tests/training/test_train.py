"""`siamese-lab train` for real, on a small problem: what is written, what repeats, what beats the untrained network."""

import os

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from siamese_lab.cli import main
from siamese_lab.config.compose import compose
from siamese_lab.config.groups import option_names
from siamese_lab.core.errors import LabError
from siamese_lab.core.files import read_json
from siamese_lab.data.load import load_data
from siamese_lab.runs.influences import influences_file, read_influences
from siamese_lab.training.assemble import assemble
from tests import _commands
from tests import _parts as parts
from tests.conftest import FEW, SMALL, mostly_slow, run

LOSSES = ("contrastive", "bce", "triplet", "supcon", "circle", "arcface", "soft_triple", "prototypical", "weighted_sum")


@pytest.mark.parametrize("loss", mostly_slow(option_names("loss"), LOSSES))
def test_every_loss_beats_the_untrained_network_with_no_other_override(outputs, loss):
    _, metrics = run(*FEW, f"loss={loss}", "trainer.max_epochs=8", "trainer.validate_every=8")
    eer, start = metrics["test"]["verification/eer"]["value"], metrics["untrained"]["verification/eer"]["value"]
    assert eer < 0.9 * start


@pytest.mark.parametrize(
    "sampling",
    mostly_slow(
        [s for s in option_names("sampling") if s != "pk"], ("episodes", "hard_pairs", "hard_triplets", "random_pairs")
    ),
)
def test_every_sampling_trains(outputs, sampling):
    loss = "triplet" if "triplets" in sampling else "contrastive"
    loss = "prototypical" if sampling == "episodes" else loss
    batch = [f"sampling.{key}={value}" for key, value in parts.batch_of(sampling, 96).items()]
    _, metrics = run(
        *batch,
        "sampling.steps=30",
        f"sampling={sampling}",
        f"loss={loss}",
        "trainer.max_epochs=8",
        "trainer.validate_every=8",
    )
    assert metrics["test"]["verification/eer"]["value"] < 0.9 * metrics["untrained"]["verification/eer"]["value"]


def test_epochs_of_few_steps_leave_a_point_of_the_loss_each(outputs):
    folder, _ = run("sampling.batch_size=96", "sampling.steps=3", "trainer.max_epochs=4")
    events = EventAccumulator(str(folder.path)).Reload()
    assert [point.step for point in events.Scalars("train/loss")] == [2, 5, 8, 11]


def test_the_run_folder_is_whole(done):
    folder, metrics = done
    assert folder.state() == "ok"
    names = {path.name for path in folder.path.iterdir()}
    assert {
        "config.yaml",
        "run.json",
        "metrics.json",
        "history.json",
        "influences_val.npz",
        "influences_test.npz",
        "checkpoints",
    } <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    assert {path.name for path in (folder.path / "checkpoints").iterdir()} == {
        "best.ckpt",
        "last.ckpt",
        "previous.ckpt",
    }
    assert (folder.path.parent / "events.out.tfevents.columns").is_file()
    assert "loss.temperature" in folder.info()["hparams"]
    assert len(metrics["history"]) == 4
    assert metrics["epoch"] == 1 + min(range(4), key=lambda i: metrics["history"][i]["val/verification/eer"])
    for part, identities in (("test", 114), ("val", 59)):
        found = read_influences(influences_file(folder.path, part), "verification/eer")
        assert len(found) == identities
        assert abs(sum(found.values())) < 1e-9
    history = read_json(folder.path / "history.json")
    assert (history["monitor"], history["better"], history["max_epochs"]) == ("val/verification/eer", "low", 4)
    assert history["entries"] == metrics["history"]
    assert folder.info()["cost"]["parameters"] > 1000
    best = min(entry["val/verification/eer"] for entry in metrics["history"])
    assert metrics["val"]["verification/eer"]["value"] == pytest.approx(best, abs=1e-6)


def test_the_same_command_gives_the_same_figures_to_the_last_digit(outputs):
    common = [*FEW, "trainer.max_epochs=2", "trainer.ema=0.9", "evaluation.views=3"]
    first, a = run(*common)
    weights = torch.load(first.path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    _, b = run(*common, force=True)
    again = torch.load(first.path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert a["test"] == b["test"]
    assert a["history"] == b["history"]
    assert all(torch.equal(weights[name], again[name]) for name in weights)


def test_another_seed_is_another_run(outputs):
    first, a = run(*FEW, "trainer.max_epochs=1")
    second, b = run(*FEW, "trainer.max_epochs=1", "seed=1")
    assert first.path != second.path
    assert a["test"] != b["test"]


def test_no_two_epochs_draw_the_same_batches(outputs):
    from siamese_lab.training.mining import Mining

    seen = []

    class Ids(Mining):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            seen.append((batch.epoch, batch.step, tuple(batch.ids.tolist())))

    cfg = compose([*SMALL, *FEW, "trainer.max_epochs=2"])
    experiment = assemble(cfg)
    from siamese_lab.data.module import SiameseData
    from siamese_lab.training.trainer import build_trainer, quiet

    quiet()
    data = SiameseData(experiment.samples, experiment.ids, experiment.labels, experiment.sampling)
    outputs.mkdir()
    build_trainer(cfg, outputs, experiment, [Ids(data.loader, 500)]).fit(experiment.module, data)
    assert [(epoch, step) for epoch, step, _ in seen] == [(e, s) for e in range(2) for s in range(12)]
    assert len({ids for _, _, ids in seen}) == 24


def test_mining_changes_what_is_drawn_after_the_warm_up(outputs):
    cfg = compose([*SMALL, *FEW, "sampling=hard_triplets", "loss=triplet"])
    experiment = assemble(cfg)
    from siamese_lab.evaluation.evaluator import embed_ids

    table = experiment.sampling.mine(
        embed_ids(experiment.module.evaluated, experiment.samples, experiment.ids, 500), experiment.module.twin.distance
    )
    assert table.shape == (len(experiment.ids), 10)
    plain = torch.cat([ids for ids, _ in experiment.sampling.batches(1)])
    mined = torch.cat([ids for ids, _ in experiment.sampling.batches(1, table)])
    assert 0.1 < (plain != mined).float().mean() < 0.34  # of the negatives, a third of each batch, a half


def test_a_finished_run_is_shown_not_repeated(done, capsys):
    folder, metrics = done
    before = (folder.path / "metrics.json").stat().st_mtime_ns
    assert main(["train", *SMALL, *FEW]) == 0
    out = capsys.readouterr().out
    assert "--force" in out
    assert f"{100 * metrics['test']['verification/eer']['value']:.2f} %" in out
    assert (folder.path / "metrics.json").stat().st_mtime_ns == before


def test_early_stopping_and_max_time_end_a_run(outputs):
    _, metrics = run(*FEW, "trainer.max_epochs=30", "trainer.patience=1", "optimizer.lr=1e-9")
    assert len(metrics["history"]) < 10
    _, metrics = run(*FEW, "trainer.max_epochs=5000", "trainer.max_time=00:00:03")
    assert 1 <= len(metrics["history"]) < 200
    assert metrics["test"]["verification/eer"]["value"] < 0.5


def test_a_gradient_group_trains_at_its_own_rate(outputs):
    cfg = compose([*SMALL, *FEW, "optimizer.groups=[{match: 'backbone.trunk.*', lr: 1e-5}]"])
    made = assemble(cfg).module.configure_optimizers()["optimizer"]
    assert [group["initial_lr"] for group in made.param_groups] == [1e-5, 2e-3]
    wrong = compose([*SMALL, *FEW, "optimizer.groups=[{match: 'bakbone.*', lr: 1e-5}]"])
    with pytest.raises(LabError, match="matches no parameter"):
        assemble(wrong).module.configure_optimizers()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["sampling.batch_size=4096"], ["batch_size", "364"]),
        (["sampling.batch_size=90"], ["multiple of 4"]),
        (["loss=triplet", "sampling=random_pairs"], ["sampling=pk", "loss=contrastive"]),
        (["loss=supcon", "miner=batch_hard"], ["miner=all", "loss=triplet"]),
        (["miner=semi_hard", "sampling=random_triplets", "loss=triplet"], ["miner=all", "sampling=pk"]),
        (["loss=contrastive", "distance=weighted_l1"], ["distance=euclidean"]),
        (["backbone=koch"], ["105"]),
        (["loss.temperature=0"], ["temperature must be > 0"]),
        (["loss.temprature=1"], ["temperature"]),
        (["loss=tripplet"], ["triplet"]),
        (["loss.temperature=hot"], ["loss.temperature", "number"]),
        (["trainer.max_epochs=ten"], ["trainer.max_epochs"]),
        (["data=folder", "data.root=/no/such/folder"], ["/no/such/folder"]),
        (["protocol=[omniglot_runs]"], ["another"]),
        (["protocol=[]"], ["protocol"]),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(outputs, capsys, overrides, words):
    small = [
        word
        for word in SMALL
        if not word.startswith("protocol") or not any(o.startswith("protocol=") for o in overrides)
    ]
    if any(o.startswith("data=") for o in overrides):
        small = [word for word in small if not word.startswith("data.")]
    if "backbone=koch" in overrides:
        small = [word for word in small if not word.startswith("backbone.")]
    assert main(["train", *small, *overrides]) == 2
    err = capsys.readouterr().err
    for word in words:
        assert word in err
    assert "Traceback" not in err
    assert not list(outputs.glob("*/*/metrics.json"))


def test_outputs_that_cannot_be_written_are_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("SIAMESE_LAB_OUTPUTS", str(tmp_path / "file" / "outputs"))
    assert main(["train", *SMALL, *FEW]) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err


def test_overlapping_parts_are_refused():
    cfg = compose([*SMALL, *FEW])
    samples = load_data(cfg)
    split = samples.split.clone()
    split[samples.ids("train")[0]] = 2
    from dataclasses import replace
    from types import SimpleNamespace

    from siamese_lab.data import load

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load, "build", lambda *_, **__: SimpleNamespace(load=lambda: replace(samples, split=split)))
        with pytest.raises(LabError, match="stand both in train and in test"):
            load_data(cfg)


def test_the_command_prints_a_table_and_where_to_look_next(tmp_path):
    words = [
        "-m",
        "siamese_lab",
        "train",
        *SMALL,
        *FEW,
        "trainer.max_epochs=1",
        "trainer.progress=true",
    ]
    env = {name: value for name, value in os.environ.items() if name != "SIAMESE_LAB_OUTPUTS"}
    done = _commands.run(words, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    for word in (
        "verification/eer",
        "95 % interval",
        "untrained",
        "images/s",
        "precision",
        "outputs/single/",
        "next",
        "siamese-lab verify",
    ):
        assert word in done.stdout, word
    assert "Warning" not in done.stderr
    assert "epoch 1/1  loss" in done.stderr
