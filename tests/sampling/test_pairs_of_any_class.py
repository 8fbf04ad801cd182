"""Classes of one image stand in different-class pairs as often as the others."""

from functools import partial

import pytest
import torch

from siamese_lab.distances.euclidean import Euclidean
from siamese_lab.sampling.hard_pairs import HardPairs
from siamese_lab.sampling.random_pairs import RandomPairs

LABELS = torch.tensor([0] * 6 + [1] * 3 + [2] * 2 + [3, 4, 5])  # three classes of one image


@pytest.mark.parametrize("kind", [RandomPairs, partial(HardPairs, neighbours=4)])
def test_every_class_stands_in_different_class_pairs_equally_often(kind):
    sampling = kind(labels=LABELS, batch_size=14, share_same=0.0, steps=2000)
    ids = torch.stack([batch.ids for batch in sampling.batches(0)])  # (2000, 14), left then right
    for side in (ids[:, :7], ids[:, 7:]):
        share = LABELS[side].flatten().bincount().double() / side.numel()
        assert share.tolist() == pytest.approx([1 / 6] * 6, abs=0.012)  # 4 standard errors of 14,000 draws


def test_same_class_pairs_are_of_classes_with_two_images():
    sampling = RandomPairs(labels=LABELS, batch_size=14, share_same=1.0, steps=200)
    for batch in sampling.batches(0):
        left, right = batch.ids[batch.tuples.left], batch.ids[batch.tuples.right]
        assert (left != right).all()
        assert (LABELS[left] == LABELS[right]).all()


def test_hard_negatives_are_drawn_for_classes_of_one_image_too():
    sampling = HardPairs(labels=LABELS, batch_size=14, share_same=0.0, neighbours=4, steps=50)
    table = sampling.mine(torch.randn(len(LABELS), 3, generator=torch.Generator().manual_seed(0)), Euclidean())
    for batch in sampling.batches(5, table):
        left, right = batch.ids[batch.tuples.left], batch.ids[batch.tuples.right]
        assert (LABELS[left] != LABELS[right]).all()
