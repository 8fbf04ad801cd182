"""The batches that each sampling draws are those that were recorded: a change that draws others is noticed."""

import hashlib

import pytest
import torch

from siamese_lab.config.groups import option_names
from siamese_lab.distances.euclidean import Euclidean
from siamese_lab.structures.contracts import MinedSampling
from tests._parts import batch_of
from tests.sampling.test_all import LABELS, columns

DRAWN = {
    "balanced": "1bcb0d219e33642d",
    "episodes": "2a3cedc8030efaf6",
    "hard_pairs": "4265634b269fa561",
    "hard_triplets": "c2980415e5a6ff44",
    "hard_window": "e4e1ddb0a12a7b02",
    "hierarchical": "b9c53ef36f7a380d",
    "lap_pairs": "348ce339a36b9c04",
    "pk": "9fc367a36b348e05",
    "random_pairs": "4cefddc254b1b439",
    "random_triplets": "eb71af1e1a702ddd",
}
"""The first digits of a hash of the batches of two epochs, one for each option of sampling=.

A run is repeated, and a stopped run is resumed exactly, only by code that draws the same batches. A change that draws
others on purpose records the new hash here and is named in CHANGELOG.md. The numbers come from torch's generator on the
CPU: a version of torch that draws other numbers changes all of them."""


def hash_of_batches(sampling):
    """Of epoch 0 without a table, and of epoch 1 with the table mined before it, where the sampling mines."""
    table = None
    if isinstance(sampling, MinedSampling):
        # in float64, whose rounding decides no rank: the hash is the same on every processor
        z = torch.randn(len(LABELS), 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        table = sampling.mine(z, Euclidean(), 1)
    found = hashlib.sha256()
    for epoch, mined in ((0, None), (1, table)):
        for ids, tuples in sampling.batches(epoch, mined):
            for numbers in (ids, *columns(tuples)):
                found.update(repr(numbers.tolist()).encode())
    return found.hexdigest()[:16]


@pytest.mark.parametrize("name", option_names("sampling"))
def test_batches_are_the_recorded_ones(name, make):
    sampling = make("sampling", name, {"labels": LABELS, "seed": 1}, **batch_of(name, 24), steps=7)
    assert hash_of_batches(sampling) == DRAWN[name]
