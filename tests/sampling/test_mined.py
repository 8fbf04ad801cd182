"""The samplings whose tables hold more than neighbours: hard_window and lap_pairs."""

import itertools

import pytest
import torch
from scipy.optimize import linear_sum_assignment

from siamese_lab.distances.cosine import Cosine
from siamese_lab.distances.euclidean import Euclidean
from siamese_lab.distances.weighted_l1 import WeightedL1
from siamese_lab.sampling.hard_window import HardWindow
from siamese_lab.sampling.lap_pairs import LAPPairs
from tests.sampling.test_all import LABELS, same_batches

EVEN = torch.arange(12).repeat_interleave(10)  # no image is alone
Z = torch.randn(120, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
HARD = {"noise": 0.0, "noise_end": 0.0}


@pytest.mark.parametrize("kind", [HardWindow, LAPPairs])
def test_a_table_depends_on_seed_and_epoch(kind):
    def mined(seed, epoch):
        return kind(labels=LABELS, seed=seed, batch_size=24).mine(Z, Euclidean(), epoch)

    torch.manual_seed(0)
    state = torch.get_rng_state()
    assert torch.equal(mined(1, 2), mined(1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(mined(1, 2), mined(2, 2))
    assert not torch.equal(mined(1, 2), mined(1, 3))
    assert mined(1, 2).dtype == torch.long


@pytest.mark.parametrize("kind", [HardWindow, LAPPairs])
def test_a_table_is_wanted_every_n_epochs_after_the_warm_up(kind):
    sampling = kind(labels=LABELS, batch_size=24, every=3, warmup=2)
    assert [epoch for epoch in range(10) if sampling.wants(epoch)] == [2, 5, 8]
    for values, message in (({"every": 0}, "every must be > 0"), ({"warmup": -1}, "warmup must be >= 0")):
        with pytest.raises(ValueError, match=message):
            kind(labels=LABELS, batch_size=24, **values)


# hard_window


@pytest.mark.parametrize(("first", "last"), [(1, 5), (3, 7), (4, 4)])
@pytest.mark.parametrize(("absolute", "relative"), [(None, None), (0.3, None), (-0.5, None), (None, 0.2), (0.1, -0.1)])
@pytest.mark.parametrize("distance", [Euclidean(), WeightedL1(dim=3, mean=0.0, std=1.0)])
def test_the_window_is_the_written_out_one(first, last, absolute, relative, distance):
    sampling = HardWindow(
        labels=LABELS, batch_size=24, first=first, last=last, absolute_margin=absolute, relative_distance=relative
    )
    mined, d = sampling.mine(Z, distance, 1).tolist(), distance.matrix(Z, Z).tolist()
    passed = 0
    for image, (positive, *negatives) in enumerate(mined):
        own = (LABELS[image] == LABELS).sum() > 1
        assert LABELS[positive] == LABELS[image]
        assert (positive != image) == own
        others = sorted((n for n in range(120) if LABELS[n] != LABELS[image]), key=lambda n: d[image][n])[
            first - 1 : last
        ]
        least = d[image][positive]
        floors = [least + absolute] if absolute is not None else []
        floors += [least + relative * abs(least)] if relative is not None else []
        expected = [n if all(d[image][n] >= floor for floor in floors) else -1 for n in others]
        assert negatives == expected
        passed += sum(n >= 0 for n in negatives)
    assert (
        passed == 120 * (last - first + 1)
        if (absolute, relative) == (None, None)
        else passed < 120 * (last - first + 1)
    )
    assert passed or isinstance(distance, WeightedL1)


def test_each_mining_gives_an_image_another_positive():
    sampling = HardWindow(labels=EVEN, batch_size=24)
    positives = torch.stack([sampling.mine(Z, Euclidean(), epoch)[:, 0] for epoch in range(40)])
    # nine others in the class
    assert [len(set(column.tolist())) for column in positives.T] == pytest.approx([9] * 120, abs=1)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_negatives_of_the_window_come_with_their_positive(share):
    z = Z[:20][LABELS] + 0.35 * Z  # classes lie together, so that some negatives pass and some do not
    sampling = HardWindow(
        labels=LABELS, batch_size=120, first=2, last=6, relative_distance=0.3, share_hard=share, steps=30
    )
    mined = sampling.mine(z, Euclidean(), 1)
    hard, own, rank = [], [], []
    for ids, (anchor, positive, negative) in sampling.batches(1, mined):
        row = mined[ids[anchor]]
        passing, found = row[:, 1:] >= 0, row[:, 1:] == ids[negative][:, None]
        hard.append(found.any(1)[passing.any(1)])
        own.append((row[:, 0] == ids[positive])[found.any(1)])
        rank.append(found[found.any(1) & passing.all(1)].float())
    by_chance = 4 / 110
    assert 0.1 < float((mined[:, 1:] < 0).float().mean()) < 0.9
    assert float(torch.cat(hard).float().mean()) == pytest.approx(share + (1 - share) * by_chance, abs=0.06)
    if share == 1.0:
        assert torch.cat(own).all()
        assert torch.cat(rank).mean(0).tolist() == pytest.approx([0.2] * 5, abs=0.06)  # each rank equally


def test_an_anchor_of_which_none_passes_gets_a_random_negative():
    sampling = HardWindow(labels=LABELS, batch_size=24, absolute_margin=1e6, share_hard=1.0, steps=5)
    mined = sampling.mine(Z, Euclidean(), 1)
    assert (mined[:, 1:] == -1).all()
    assert same_batches(sampling.batches(1, mined), sampling.batches(1))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"first": 0},
            "first and last must be ranks with 1 <= first <= last <= 106, got 0 and 20: the largest class leaves 106",
        ),
        ({"first": 21}, "got 21 and 20"),
        ({"last": 107}, "got 2 and 107"),
        ({"relative_distance": -1.0}, "relative_distance must be > -1 or null, got -1.0"),
        ({"relative_distance": float("nan")}, "relative_distance must be > -1"),
        ({"share_hard": 1.1}, r"share_hard must lie in \[0, 1\], got 1.1"),
    ],
)
def test_hard_window_refuses(values, message):
    with pytest.raises(ValueError, match=message):
        HardWindow(labels=LABELS, batch_size=24, **values)


# lap_pairs


def epoch_pairs(sampling, epoch, table=None):
    """All (left, right, same) of an epoch."""
    found = []
    for ids, (left, right, same) in sampling.batches(epoch, table):
        found += zip(ids[left].tolist(), ids[right].tolist(), same.tolist(), strict=True)
    return found


@pytest.mark.parametrize("mined", [False, True])
@pytest.mark.parametrize("partition", [20, 33, 512])
def test_each_image_stands_twice_in_pairs_of_each_kind(mined, partition):
    sampling = LAPPairs(labels=EVEN, batch_size=24, partition=partition, every=2)
    assert len(sampling) == 4 * 120 // 24
    for epoch in (1, 2):
        pairs = epoch_pairs(sampling, epoch, sampling.mine(Z, Euclidean(), 1) if mined else None)
        for kind in (True, False):
            for side in (0, 1):  # once left, once right
                assert sorted(pair[side] for pair in pairs if pair[2] == kind) == list(range(120))
        assert all((EVEN[left] == EVEN[right]) == same and left != right for left, right, same in pairs)
        for _, tuples in sampling.batches(epoch):
            assert int(tuples.same.sum()) == 6


def test_an_image_alone_in_its_class_stands_in_different_pairs_only():
    pairs = epoch_pairs(LAPPairs(labels=LABELS, batch_size=24, steps=20), 0)
    alone = (LABELS.bincount()[LABELS] == 1).nonzero().flatten().tolist()
    assert alone
    assert not any(same for left, right, same in pairs if left in alone)
    assert {left for left, _, same in pairs if not same} == set(range(120))
    counts = torch.tensor([left for left, _, same in pairs if same]).bincount()
    assert counts.max() <= 2


@pytest.mark.parametrize("distance", [Euclidean(), Cosine(), WeightedL1(dim=3, mean=0.0, std=1.0)])
def test_partners_are_the_best_assignment(distance):
    """One partition, no noise: no other one-to-one choice of partners has less distance in all."""
    sampling = LAPPairs(labels=EVEN, batch_size=24, **HARD)
    partner = sampling.mine(Z, distance, 1)[:, 0]
    d = distance.matrix(Z, Z).detach().masked_fill(EVEN[:, None] == EVEN, 1e6)
    rows, columns = linear_sum_assignment(d.numpy())
    assert sorted(partner.tolist()) == list(range(120))
    assert float(d[torch.arange(120), partner].sum()) == pytest.approx(float(d[rows, columns].sum()))
    random = LAPPairs(labels=EVEN, batch_size=24, noise=1e4).mine(Z, distance, 1)[:, 0]
    assert d[torch.arange(120), partner].mean() < d[torch.arange(120), random].mean() - 0.5 * d[d < 1e6].std()


def test_partners_of_a_few_images_by_hand():
    """All assignments of six images tried out."""
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    z = torch.randn(6, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    partner = LAPPairs(labels=labels, batch_size=4, **HARD).mine(z, Euclidean(), 1)[:, 0]
    d = torch.cdist(z, z)
    allowed = [p for p in itertools.permutations(range(6)) if all(labels[i] != labels[j] for i, j in enumerate(p))]
    best = min(allowed, key=lambda p: sum(float(d[i, j]) for i, j in enumerate(p)))
    assert sum(float(d[i, j]) for i, j in enumerate(partner.tolist())) == pytest.approx(
        sum(float(d[i, j]) for i, j in enumerate(best))
    )


def test_no_pair_comes_again_between_two_minings():
    sampling = LAPPairs(labels=EVEN, batch_size=24, every=5, warmup=1, **HARD)
    table = sampling.mine(Z, Euclidean(), 1)
    assert table.shape == (120, 5)
    seen = set()
    sums = []
    for epoch in range(1, 6):
        different = {frozenset(pair[:2]) for pair in epoch_pairs(sampling, epoch, table) if not pair[2]}
        assert not different & seen
        seen |= different
        left, right = torch.tensor([sorted(pair) for pair in different]).unbind(1)
        sums.append(float((Z[left] - Z[right]).norm(dim=1).mean()))
    assert sums == sorted(sums)  # the hardest first


def test_partitions_hold_all_classes_and_are_drawn_anew():
    sampling = LAPPairs(labels=EVEN, batch_size=24, partition=30, **HARD)
    whole = LAPPairs(labels=EVEN, batch_size=24, **HARD)
    d = torch.cdist(Z, Z)
    parts, best = (float(d[torch.arange(120), one.mine(Z, Euclidean(), 1)[:, 0]].mean()) for one in (sampling, whole))
    assert best < parts < float(d[EVEN[:, None] != EVEN].mean())
    met = [set(enumerate(sampling.mine(Z, Euclidean(), epoch)[:, 0].tolist())) for epoch in (1, 2)]
    assert len(met[0] & met[1]) < 60
    random = LAPPairs(labels=EVEN, batch_size=24, partition=30, noise=1e4).mine(Z, Euclidean(), 1)[:, 0]
    classes = [len(EVEN[random[label == EVEN]].unique()) for label in range(12)]
    assert min(classes) > 3  # ten images of a class lie in four partitions, each with all classes


def test_small_classes_meet_all_others():
    """Which classes share a partition changes from mining to mining."""
    labels = torch.arange(40).repeat_interleave(2)
    sampling = LAPPairs(labels=labels, batch_size=8, partition=20, **HARD)
    z = torch.randn(80, 3, generator=torch.Generator().manual_seed(1))
    met = {
        (int(labels[i]), int(labels[j]))
        for epoch in range(60)
        for i, j in enumerate(sampling.mine(z, Euclidean(), epoch)[:, 0].tolist())
    }
    assert len({b for a, b in met if a == 0}) > 12


def test_a_class_of_more_than_half_gets_random_partners_for_its_surplus():
    labels = torch.tensor([0] * 80 + [1] * 20 + [2] * 20)
    sampling = LAPPairs(labels=labels, batch_size=24, every=3, **HARD)
    for epoch, table in ((0, None), (1, sampling.mine(Z, Euclidean(), 1))):
        pairs = [pair for pair in epoch_pairs(sampling, epoch, table) if not pair[2]]
        assert len(pairs) == 120
        assert all(labels[left] != labels[right] for left, right, _ in pairs)


def test_the_noise_falls_in_equal_ratios():
    sampling = LAPPairs(labels=EVEN, batch_size=24, noise=100.0, noise_end=1.0, noise_epochs=4, warmup=2)
    found = [sampling.noise_at(epoch) for epoch in range(9)]
    assert found == pytest.approx([100, 100, 100, 10**1.5, 10, 10**0.5, 1, 1, 1])
    d = torch.cdist(Z, Z)
    hardness = [float(d[torch.arange(120), sampling.mine(Z, Euclidean(), epoch)[:, 0]].mean()) for epoch in (2, 4, 8)]
    assert hardness == sorted(hardness, reverse=True)
    scaled = [LAPPairs(labels=EVEN, batch_size=24).mine(scale * Z, Euclidean(), 6) for scale in (1, 8)]
    assert torch.equal(*scaled)  # in units of the distances' spread


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"partition": 1}, "partition must be >= 2, got 1"),
        ({"noise": -1.0}, "noise must fall to noise_end > 0, or both be 0, got -1.0 and 0.25"),
        ({"noise": 0.1}, "got 0.1 and 0.25"),
        ({"noise_end": 0.0}, "got 100.0 and 0.0"),
        ({"noise": float("nan")}, "noise must fall"),
        ({"noise_epochs": 0}, "noise_epochs must be >= 1, got 0"),
    ],
)
def test_lap_pairs_refuses(values, message):
    with pytest.raises(ValueError, match=message):
        LAPPairs(labels=LABELS, batch_size=24, **values)
