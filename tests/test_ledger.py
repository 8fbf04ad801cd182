"""The mining ledger: its counts by hand, its lists on swapped labels and planted copies, and a killed run's."""

import csv
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import FEW, SMALL, run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_data_omniglot import DATA, real
from test_resume import lab as command
from test_resume import only, survives

from siamese_lab import config, ledger_lists, ledger_plots
from siamese_lab.assembly import assemble
from siamese_lab.batch import TRAIN, Embedded, Episode, Pairs, Samples, Triplets
from siamese_lab.binding import build
from siamese_lab.callbacks.ledger import Ledger, Notes, note
from siamese_lab.callbacks.speed import Speed
from siamese_lab.callbacks.stopping import Stopping
from siamese_lab.callbacks.validation import Validation
from siamese_lab.checkpoint import Start
from siamese_lab.distances.euclidean import Euclidean
from siamese_lab.fitting import fit, quiet

LEDGER = "callback=[doctor,ledger]"
LISTS = ("ledger.csv", "ledger_duplicates.csv")


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def swapped(lab, cfg, share=0.02):
    """The lab with the labels of some training images replaced by others, and the places of these."""
    n, classes = len(lab.labels), int(lab.labels.max()) + 1
    g = torch.Generator().manual_seed(cfg.seed)
    places = torch.randperm(n, generator=g)[: round(share * n)]
    labels = lab.labels.clone()
    labels[places] = (labels[places] + torch.randint(1, classes, places.shape, generator=g)) % classes
    return replace(lab, labels=labels, sampling=build(cfg.sampling, labels=labels, seed=cfg.seed)), places


def trained(path, words):
    """Trains with 2 % of the labels swapped; the places of the swapped ones, as shares of the list, and how many resemble their own."""
    quiet()
    cfg = config.compose([*words, LEDGER, "trainer.progress=false"])
    whole = assemble(cfg)
    lab, places = swapped(whole, cfg)
    fit(cfg, path, lab, Validation(lab.samples, lab.protocols, 1000, 500, None, Stopping()), Speed(), Stopping(), Start())
    rows = read(path / "ledger.csv")
    files = lab.samples.files
    names = [files[int(lab.samples.row[i])] if files else str(int(i)) for i in lab.ids]
    assert len(rows) == len(names)
    by_image = {row["image"].split("@")[0] + ("@" + row["image"].split("@")[1] if "@" in row["image"] else ""): row for row in rows}
    turns = [f"@{90 * int(lab.samples.turn[i])}" if lab.samples.turn[i] else "" for i in lab.ids]
    found = [by_image[names[place] + turns[place]] for place in places.tolist()]
    true = [lab.samples.classes[int(lab.samples.labels[lab.ids[place]])] for place in places.tolist()]
    ranks = torch.tensor([int(row["rank"]) for row in found]) / len(rows)
    return ranks, sum(row["resembles"] == name for row, name in zip(found, true, strict=True)) / len(true)


@pytest.mark.parametrize("words", [
    ["loss=supcon"],
    ["loss=triplet", "miner=batch_hard"],
    ["loss=contrastive", "sampling=random_pairs"],
], ids=" ".join)  # fmt: skip
def test_swapped_letters_stand_high(tmp_path, words):
    ranks, _ = trained(tmp_path, [*SMALL, "sampling.batch_size=96", "sampling.steps=15", "trainer.max_epochs=11", *words])
    print(len(ranks), sorted(ranks.tolist()))
    assert (ranks <= 0.2).float().mean() >= 0.5
