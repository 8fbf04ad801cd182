"""The samplings that choose classes: hierarchical, episodes, balanced."""

from collections import Counter

import pytest
import torch

from siamese_lab.config.compose import compose
from siamese_lab.core.errors import LabError
from siamese_lab.sampling.balanced import Balanced
from siamese_lab.sampling.episodes import Episodes
from siamese_lab.sampling.hierarchical import Hierarchical
from siamese_lab.training.assemble import assemble
from tests.sampling.test_all import LABELS

# 4 x 5 classes, 2 x 10
GROUPS = {
    "alphabet": (LABELS // 5, ("a", "b", "c", "d")),
    "half": (LABELS % 2, ("even", "odd")),
}

# hierarchical


@pytest.mark.parametrize(("within", "per_class"), [(None, 4), ("alphabet", 2), ("alphabet", 3), ("half", 2)])
def test_each_batch_lies_within_one_group(within, per_class):
    sampling = Hierarchical(labels=LABELS, groups=GROUPS, batch_size=12, per_class=per_class, within=within, steps=40)
    codes, seen = GROUPS[within or "alphabet"][0], Counter()
    for ids, tuples in sampling.batches(0):
        assert tuples is None
        (group,) = codes[ids].unique().tolist()
        seen[group] += 1
        drawn = Counter(LABELS[ids].tolist())
        # six classes wanted, five there
        most = [3, 3, 2, 2, 2] if (within, per_class) == ("alphabet", 2) else [per_class] * (12 // per_class)
        assert sorted(drawn.values(), reverse=True) == most
        for label, times in drawn.items():
            assert len(ids[LABELS[ids] == label].unique()) == min(times, int((label == LABELS).sum()))
    assert set(seen.values()) == {40 // len(seen)}  # groups of as many classes come equally often


def test_a_small_group_gives_all_its_classes_with_more_images_each():
    groups = {"kind": (torch.where(LABELS < 3, 0, 1), ("small", "large"))}
    sizes = Counter()
    for ids, _ in Hierarchical(labels=LABELS, groups=groups, batch_size=20, per_class=2, steps=200).batches(1):
        drawn = Counter(LABELS[ids].tolist())
        assert len(ids) == 20
        sizes[len(drawn)] += 1
        if len(drawn) == 3:
            assert sorted(drawn.values()) == [6, 7, 7]
        else:
            assert list(drawn.values()) == [2] * 10
    assert sizes == {3: 30, 10: 170}  # in proportion to 3 and 17 classes


def test_each_class_is_drawn_equally_often():
    # 2 of the 5 classes of an alphabet
    sampling = Hierarchical(labels=LABELS, groups=GROUPS, batch_size=8, per_class=4, steps=600)
    drawn = Counter(torch.cat([LABELS[ids] for ids, _ in sampling.batches(0)]).tolist())
    assert set(drawn) == set(range(20))
    assert max(drawn.values()) < 1.5 * min(drawn.values())


def test_groups_with_nothing_to_tell_apart_are_never_drawn():
    """A single class, or classes of one image each."""
    labels = torch.tensor([0] * 6 + [1] * 6 + [2] * 6 + [3, 4, 5] + [6, 6, 7])
    codes = torch.tensor([0] * 6 + [1] * 12 + [2] * 3 + [3] * 3)
    sampling = Hierarchical(labels=labels, groups={"g": (codes, tuple("abcd"))}, batch_size=4, per_class=2, steps=30)
    assert {int(codes[ids[0]]) for ids, _ in sampling.batches(0)} == {1, 3}


def test_a_class_in_two_groups_is_two_classes():
    """Omniglot's drawers, say, with two images a drawer."""
    labels, drawer = torch.arange(6).repeat_interleave(8), (torch.arange(48) % 8) // 2
    sampling = Hierarchical(labels=labels, groups={"drawer": (drawer, tuple("abcd"))}, batch_size=8, per_class=2)
    for ids, _ in sampling.batches(0):
        assert len(drawer[ids].unique()) == 1
        assert set(Counter(labels[ids].tolist()).values()) == {2}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"groups": {}}, "these data have no groups of classes that a batch could come from: choose sampling=pk"),
        ({"within": "script"}, "within must be one of alphabet, half or null, got script"),
        ({"per_class": 1}, r"per_class must lie in \[2, 120\], got 1"),
        ({"groups": {"own": (LABELS, tuple(map(str, range(20))))}}, "no own holds two classes"),
        ({"batch_size": 36}, "batch_size must be a positive multiple of 4 images, at most 28 "),
    ],
)
def test_hierarchical_refuses(values, message):
    with pytest.raises(ValueError, match=message):
        Hierarchical(**{"labels": LABELS, "groups": GROUPS, "batch_size": 8} | values)


def test_groups_are_those_of_the_training_part():
    """The scripts of the glyphs."""
    words = [
        "data.size=16",
        "data.images_per_class=8",
        "data.train_scripts=[GREEK,COPTIC]",
        "data.val_scripts=[ARMENIAN]",
    ]
    words += ["data.test_scripts=[GEORGIAN]", "backbone.width=16", "protocol=[verification]", "sampling=hierarchical"]
    experiment = assemble(compose([*words, "sampling.batch_size=32"]))
    codes, names = experiment.samples.groups["script"]
    found = [{names[code] for code in codes[experiment.ids[ids]].tolist()} for ids, _ in experiment.sampling.batches(0)]
    assert all(len(one) == 1 for one in found)
    assert set.union(*found) == {"GREEK", "COPTIC"}
    with pytest.raises(LabError, match=r"sampling\.within: within must be one of script or null, got alphabet"):
        assemble(compose([*words, "sampling.within=alphabet"]), samples=experiment.samples)


# episodes


@pytest.mark.parametrize(("way", "shot", "queries"), [(5, 1, 1), (6, 3, 4), (2, 9, 1), (12, 1, 2)])
def test_an_episode_has_n_ways_and_k_shots(way, shot, queries):
    seen = Counter()
    for ids, (support, query) in Episodes(labels=LABELS, way=way, shot=shot, queries=queries, steps=12).batches(3):
        assert len(ids) == way * (shot + queries) == len(ids.unique())
        ways = Counter(LABELS[ids[support]].tolist())
        assert list(ways.values()) == [shot] * way
        assert Counter(LABELS[ids[query]].tolist()) == dict.fromkeys(ways, queries)
        assert sorted(torch.cat([support, query]).tolist()) == list(range(len(ids)))
        seen.update(ways.keys())
    assert max(seen.values()) - min(seen.values()) <= 12 // 2  # classes come from shuffled lists of all of them
    assert set(seen) <= set((LABELS.bincount() >= shot + queries).nonzero().flatten().tolist())


def test_episodes_draw_each_class_and_image_equally_often():
    sampling = Episodes(labels=LABELS, way=4, shot=1, queries=9, steps=200)
    ids = torch.cat([ids for ids, _ in sampling.batches(0)])
    assert LABELS[ids].bincount().unique().tolist() == [0, 1000]
    large = ids[LABELS[ids] == 4].bincount(minlength=120)[LABELS == 4]  # 14 images
    assert float(large.min()) > 0.7 * float(large.float().mean())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"way": 1}, "way must be >= 2, got 1"),
        ({"shot": 0}, "shot must be >= 1, got 0"),
        ({"queries": 0}, "queries must be >= 1, got 0"),
        (
            {"way": 13, "queries": 2},
            "way must be at most 12, got 13: so many classes of the training data have 3 images",
        ),
        ({"way": 2, "queries": 14}, "way must be at most 0, got 2"),
    ],
)
def test_episodes_refuse(values, message):
    with pytest.raises(ValueError, match=message):
        Episodes(labels=LABELS, **values)


# balanced

SIZES = torch.tensor([1, 2, 4, 8, 16, 64, 256])
UNLIKE = torch.arange(7).repeat_interleave(SIZES)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_classes_are_drawn_in_proportion_to_a_power_of_their_size(alpha):
    sampling = Balanced(labels=UNLIKE, batch_size=2, per_class=2, alpha=alpha, steps=3000)  # one class a batch
    drawn = UNLIKE[torch.cat([ids[:1] for ids, _ in sampling.batches(0)])].bincount(minlength=7)
    expected = SIZES.double() ** alpha
    expected = 3000 * expected / expected.sum()
    assert (drawn - expected).abs().max() < 4 * expected.max() ** 0.5


def test_images_of_a_class_come_all_before_one_comes_again():
    for epoch in range(3):
        ids = torch.cat(
            [ids for ids, _ in Balanced(labels=UNLIKE, batch_size=8, per_class=4, alpha=0.0, steps=100).batches(epoch)]
        )
        for label, size in enumerate(SIZES.tolist()):
            own = ids[UNLIKE[ids] == label]
            for turn in own.split(size):
                assert len(turn.unique()) == len(turn)
        assert len(ids) == 800


def test_each_turn_has_another_order():
    labels = torch.arange(2).repeat_interleave(8)
    ids = torch.cat([ids for ids, _ in Balanced(labels=labels, batch_size=8, per_class=4, steps=100).batches(0)])
    turns = ids[labels[ids] == 1].view(-1, 8)
    assert len(turns.unique(dim=0)) > 45
    assert turns[:, 0].bincount(minlength=16)[8:].min() > 0


@pytest.mark.parametrize(("per_class", "batch_size"), [(2, 12), (4, 24), (3, 21)])
def test_a_batch_has_k_images_of_each_of_p_classes(per_class, batch_size):
    for ids, tuples in Balanced(labels=UNLIKE, batch_size=batch_size, per_class=per_class).batches(1):
        assert tuples is None
        drawn = Counter(UNLIKE[ids].tolist())
        assert list(drawn.values()) == [per_class] * (batch_size // per_class)


@pytest.mark.parametrize(
    ("key", "value"), [("alpha", -0.1), ("alpha", 1.1), ("alpha", float("nan")), ("per_class", 1), ("per_class", 121)]
)
def test_balanced_refuses(key, value):
    with pytest.raises(ValueError, match=rf"{key} must lie in"):
        Balanced(labels=LABELS, batch_size=24, **{key: value})
