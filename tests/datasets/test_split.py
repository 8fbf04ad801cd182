"""Splits by identity: seeded, disjoint, stable."""

import pytest
import torch

from siamese_lab.core.errors import LabError
from siamese_lab.datasets._split import refuse_overlap, shuffle_names, split_by
from siamese_lab.structures.samples import TEST, TRAIN, UNUSED, VAL


def test_a_key_falls_to_one_part_and_the_shares_hold():
    keys = [f"person{i % 100}" for i in range(1000)]
    split = split_by(keys, val=0.2, test=0.3, seed=0)
    parts = {}
    for key, part in zip(keys, split.tolist(), strict=True):
        assert parts.setdefault(key, part) == part
    counts = [list(parts.values()).count(part) for part in (TRAIN, VAL, TEST)]
    assert counts == [50, 20, 30]
    assert torch.equal(split, split_by(keys, 0.2, 0.3, 0))
    assert not torch.equal(split, split_by(keys, 0.2, 0.3, 1))


def test_order_does_not_depend_on_where_a_name_stands():
    names = [f"n{i}" for i in range(50)]
    order = shuffle_names(names, 3)
    assert order == shuffle_names(names[::-1], 3)
    assert [n for n in shuffle_names([*names, "another"], 3) if n != "another"] == order
    assert order != names


def test_no_part_for_a_share_of_zero():
    assert split_by(["a", "b"], 0, 0, 0).tolist() == [TRAIN, TRAIN]
    assert VAL not in split_by(list("abcdefgh"), 0, 0.25, 0)


@pytest.mark.parametrize(
    ("val", "test", "match"), [(0.2, 0.2, "more than there are: 5"), (0.5, 0.5, "leave something"), (-0.1, 0, "val")]
)
def test_impossible_shares(val, test, match):
    with pytest.raises(ValueError, match=match):
        split_by(list("abcde"), val, test, 0)


def test_overlap_is_refused_and_named():
    labels, split = torch.tensor([0, 0, 1, 1, 2]), torch.tensor([TRAIN, TEST, TRAIN, UNUSED, VAL])
    with pytest.raises(LabError, match="ann in train and test"):
        refuse_overlap(labels, split, ["ann", "bob", "cy"])
    refuse_overlap(labels[2:], split[2:], ["ann", "bob", "cy"])
