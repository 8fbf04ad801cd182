"""The mining ledger: its counts by hand, its list of swapped labels, and a killed run's lists."""

import csv
from dataclasses import replace

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from siamese_lab.callbacks.ledger import Ledger, Notes, note
from siamese_lab.cli import main
from siamese_lab.config.compose import compose
from siamese_lab.config.instantiate import build
from siamese_lab.model.checkpoint import Start
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Episode, Pairs, Triplets
from siamese_lab.training.assemble import assemble
from siamese_lab.training.interruption import Interruption
from siamese_lab.training.throughput import Throughput
from siamese_lab.training.trainer import fit, quiet
from siamese_lab.training.validation import Validation
from tests.conftest import FEW, SMALL, run
from tests.datasets.test_omniglot import DATA, real
from tests.training.test_resume import only, same, survives

LEDGER = "callback=[doctor,ledger]"
LISTS = ("ledger.csv", "ledger_duplicates.csv")


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def swapped(experiment, cfg, share=0.02):
    """The experiment with the labels of some training images replaced by others, and the places of these."""
    n, classes = len(experiment.labels), int(experiment.labels.max()) + 1
    g = torch.Generator().manual_seed(cfg.seed)
    places = torch.randperm(n, generator=g)[: round(share * n)]
    labels = experiment.labels.clone()
    labels[places] = (labels[places] + torch.randint(1, classes, places.shape, generator=g)) % classes
    return replace(experiment, labels=labels, sampling=build(cfg.sampling, labels=labels, seed=cfg.seed)), places


def trained(path, words):
    """Trains with 2 % of the labels swapped; the places of the swapped ones, as shares of the list, and how many
    resemble their own.
    """
    quiet()
    cfg = compose([*words, LEDGER, "trainer.progress=false"])
    whole = assemble(cfg)
    experiment, places = swapped(whole, cfg)
    fit(
        cfg,
        path,
        experiment,
        Validation(experiment.samples, experiment.protocols, 1000, 500, None, Interruption()),
        Throughput(),
        Interruption(),
        Start(),
    )
    rows = {row["image"]: row for row in read(path / "ledger.csv")}
    assert len(rows) == len(experiment.ids)
    samples, found = experiment.samples, []
    for sample in experiment.ids[places].tolist():
        name = samples.files[samples.row[sample]] if samples.files else str(sample)
        found.append(rows[name + (f"@{90 * samples.turn[sample]}" if samples.turn[sample] else "")])
    own = [samples.classes[label] for label in samples.labels[experiment.ids[places]].tolist()]
    right = sum(row["resembles"] == name for row, name in zip(found, own, strict=True)) / len(own)
    return torch.tensor([int(row["rank"]) for row in found]) / len(rows), right


@pytest.mark.parametrize("words", [
    ["loss=supcon"],
    ["loss=triplet", "miner=semi_hard"],
    ["loss=contrastive", "sampling=random_pairs"],
], ids=" ".join)  # fmt: skip
def test_swapped_letters_stand_high(tmp_path, words):
    ranks, _ = trained(
        tmp_path, [*SMALL, "sampling.batch_size=96", "sampling.steps=15", "trainer.max_epochs=11", *words]
    )
    assert (ranks <= 0.1).double().mean() >= 0.5  # by chance a tenth would


@pytest.mark.slow
@real
@pytest.mark.parametrize("turns", ["none", "train"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_swapped_labels_of_omniglot_stand_in_the_top_five_percent(tmp_path, seed, turns):
    epochs = {"none": 6, "train": 10}[turns]  # epochs of 180 steps: every image is drawn seven times, or three
    words = [
        "experiment=omniglot_official",
        f"data.root={DATA}",
        f"data.quarter_turns={turns}",
        f"trainer.max_epochs={epochs}",
        f"seed={seed}",
    ]
    ranks, right = trained(tmp_path, words)
    five, two = ((ranks <= share).double().mean().item() for share in (0.05, 0.02))
    print(
        f"seed {seed}, turns {turns}: {100 * five:.1f} % in the top 5 %, {100 * two:.1f} % in the top 2 %; "
        f"{100 * right:.1f} % named right"
    )
    assert five >= 0.5
    assert right >= 0.5
    # Braille's single dots, some of which have the same pixels; turned, they are not among the 20,000 looked up
    if turns == "none":
        assert "0.0" in {row["grey_levels_apart"] for row in read(tmp_path / "ledger_duplicates.csv")}


def test_counts_by_hand():
    z = torch.tensor([[0.0], [1.0], [3.0], [7.0], [7.5], [2.0]])
    labels = torch.tensor([0, 0, 0, 1, 1, 0])  # 5 shows the same image as 2
    at = torch.tensor([2, 0, 1, 3, 4, 1])
    notes = Notes.blank(6)
    note(notes, at, Embedded(z, labels, at), None)
    assert notes.drawn.tolist() == [1, 2, 1, 1, 1, 0]
    # farthest positives of rows 0-5: 2 (image 1), 2, 0, 4, 3, 0; nearest negatives: 3, 3, 3, 2, 2, 3
    assert notes.hard_positive.tolist() == [0, 2, 2, 1, 1, 0]
    assert notes.hard_negative.tolist() == [0, 2, 0, 4, 0, 0]
    assert notes.asked.tolist() == [1, 2, 1, 1, 1, 0]
    assert notes.negatives_nearer().tolist() == [0, 0, 0, 0, 0, -1]
    # row 4 comes to lie among the negatives: rows 0 and 1 now have one of two nearer than their nearest positive at 1,
    # row 3 three of four nearer than its positive at 6.8, row 4 all
    z[4] = 0.2
    note(notes, at, Embedded(z, labels, at), None)
    assert notes.negatives_nearer().tolist() == pytest.approx([1 / 4, 0, 1 / 4, 3 / 8, 1 / 2, -1])


@pytest.mark.parametrize(("tuples", "positive", "negative"), [
    (Triplets(torch.tensor([0, 0, 3]), torch.tensor([1, 1, 2]), torch.tensor([2, 3, 0])), [0, 1, 1, 0], [1, 0, 1, 0]),
    (
        Pairs(torch.tensor([0, 2, 1]), torch.tensor([1, 3, 3]), torch.tensor([True, True, False])),
        [1, 1, 1, 1],
        [0, 1, 0, 1],
    ),
    (Episode(torch.tensor([0, 2]), torch.tensor([1, 3])), [1, 0, 1, 0], [1, 0, 1, 0]),
    (None, [1, 1, 1, 1], [0, 2, 2, 0]),
], ids=["triplets", "pairs", "episode", "none"])  # fmt: skip
def test_only_what_the_sampling_formed_counts(tuples, positive, negative):
    z = torch.tensor([[0.0], [2.0], [3.0], [9.0]])
    notes, at = Notes.blank(4), torch.arange(4)
    note(notes, at, Embedded(z, torch.tensor([0, 0, 1, 1])), tuples)
    assert notes.hard_positive.tolist() == positive
    assert notes.hard_negative.tolist() == negative


def test_a_batch_without_positives_or_negatives_is_counted_as_drawn_only():
    for labels in (torch.tensor([0, 1, 2]), torch.tensor([0, 0, 0])):
        notes = Notes.blank(3)
        note(notes, torch.arange(3), Embedded(torch.randn(3, 2), labels))
        assert notes.drawn.tolist() == [1, 1, 1]
        assert notes.negatives_nearer().tolist() == [-1, -1, -1]
        assert notes.hard_positive.sum() == (3 if labels[1] == 0 else 0)


def test_a_run_with_a_ledger_is_the_run_without_it(outputs):
    """The same id, figures and weights; beside them the lists and, in TensorBoard, the pictures."""
    plain, figures = run(*FEW)
    weights = torch.load(plain.path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    folder, with_ledger = run(*FEW, LEDGER, force=True)
    assert folder.run_id == plain.run_id
    for metrics in (figures, with_ledger):
        del metrics["training"]
    assert with_ledger == figures
    assert same(torch.load(folder.path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"], weights)
    rows = read(folder.path / "ledger.csv")
    assert [int(row["rank"]) for row in rows] == list(range(1, len(rows) + 1))
    assert sum(int(row["drawn"]) for row in rows) == 4 * 12 * 96
    assert (
        sum(int(row["hard_positive"]) for row in rows) == sum(int(row["hard_negative"]) for row in rows) == 4 * 12 * 96
    )
    events = EventAccumulator(str(folder.path), size_guidance={"images": 0})
    events.Reload()
    assert "ledger/suspects" in events.Tags()["images"]


@pytest.mark.parametrize("words", [
    ["sampling=hard_triplets", "sampling.neighbours=5", "loss=triplet"],
    ["sampling=random_pairs", "loss=bce"],
    ["memory=xbm"],
    ["trainer.max_time=0.05", "trainer.max_epochs=1000"],
], ids=" ".join)  # fmt: skip
def test_any_run_can_have_one(outputs, capsys, words):
    folder, _ = run(*FEW, LEDGER, "callback.ledger.every=2", *words)
    assert folder.state() == ("timeout" if "trainer.max_epochs=1000" in words else "ok")
    rows = read(folder.path / "ledger.csv")
    assert len(rows) == len(assemble(compose([*SMALL])).ids)
    assert {row["resembles"] for row in rows} - {""}


@pytest.mark.slow
@pytest.mark.parametrize(("words", "kills"), [
    (["trainer.ema=0.9"], ["step@19", "step@13"]),
    (["trainer.devices=2"], ["step@19"]),
], ids=["one process", "two processes"])  # fmt: skip
def test_a_killed_runs_lists_are_those_of_the_uninterrupted_one(tmp_path, words, kills):
    survives(tmp_path, [LEDGER, *words], kills)
    whole, killed = (only(tmp_path / name).path for name in ("whole", "killed"))
    for name in LISTS:
        assert (whole / name).read_bytes() == (killed / name).read_bytes()


def test_a_run_killed_after_training_still_gets_its_lists(outputs, capsys):
    """Nothing is left to train then: the notes are those of the checkpoint."""
    folder, _ = run(*FEW, LEDGER)
    before = {name: (folder.path / name).read_bytes() for name in LISTS}
    for name in LISTS:
        (folder.path / name).unlink()
    folder.update(state="killed")
    assert main(["resume", folder.run_id]) == 0
    assert {name: (folder.path / name).read_bytes() for name in LISTS} == before


@pytest.mark.parametrize(("values", "words"), [({"every": 0}, "every"), ({"top": 0}, "top")])
def test_bad_values(values, words):
    with pytest.raises(ValueError, match=words):
        Ledger(**values)
