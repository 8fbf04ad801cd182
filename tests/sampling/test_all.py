"""Every sampling of conf/sampling: what a batch holds, how often what is drawn, and what is refused."""

import re
from collections import Counter

import pytest
import torch

from siamese_lab.config.groups import option_names
from siamese_lab.core.errors import LabError
from siamese_lab.core.random import generator
from siamese_lab.distances.euclidean import Euclidean
from siamese_lab.metrics.neighbours import nearest_others
from siamese_lab.sampling._class_index import ClassIndex, draw_distinct
from siamese_lab.sampling.hard_pairs import HardPairs
from siamese_lab.sampling.hard_triplets import HardTriplets
from siamese_lab.sampling.pk import PK
from siamese_lab.sampling.random_pairs import RandomPairs
from siamese_lab.sampling.random_triplets import RandomTriplets
from siamese_lab.structures.tuples import Episode, Pairs, Triplets
from tests._parts import batch_of

LABELS = torch.arange(20).repeat_interleave(torch.tensor([1, 2, 3, 10, 14] * 4))[
    torch.randperm(120, generator=torch.Generator().manual_seed(0))
]
UNITS = {"labels": 4, "pairs": 2, "triplets": 3}
UNIT = {"lap_pairs": 4}  # images: a pair of each kind
MOST = {"pk": 80, "balanced": 80, "hierarchical": 60}  # images of a batch: 20 classes of 4; a group
ROUNDS = {"lap_pairs": 4 * 116 / 120}  # how often an epoch holds an image; four images are alone in their class
UNEVEN = ("balanced", "lap_pairs", "episodes")  # do not mean to draw classes equally, or not all of them


@pytest.fixture(params=option_names("sampling"))
def name(request):
    return request.param


@pytest.fixture
def sampling(name, make):
    return make("sampling", name, {"labels": LABELS, "seed": 1}, **batch_of(name, 24), steps=7)


def table(sampling, seed=0):
    """A mined table where the sampling uses one."""
    if not hasattr(sampling, "mine"):
        return None
    z = torch.randn(len(LABELS), 3, generator=torch.Generator().manual_seed(seed))
    return sampling.mine(z, Euclidean())


def columns(tuples):
    return () if tuples is None else tuple(tuples)


def same_batches(a, b):
    return all(
        torch.equal(x.ids, y.ids) and all(map(torch.equal, columns(x.tuples), columns(y.tuples)))
        for x, y in zip(a, b, strict=True)
    )


def test_random_streams_depend_on_all_that_is_named():
    where = [(0, 1, 2, 3), (1, 1, 2, 3), (0, 2, 2, 3), (0, 1, 3, 3), (0, 1, 2, 4), (0, 1, 3, 2)]
    drawn = torch.stack([torch.rand(1000, generator=generator(*one)) for one in where])
    assert torch.equal(drawn[0], torch.rand(1000, generator=generator(0, 1, 2, 3)))
    assert (torch.corrcoef(drawn) - torch.eye(6)).abs().max() < 0.15  # neighbours have nothing to do with each other
    assert float(drawn.mean()) == pytest.approx(0.5, abs=0.02)


# what holds for every sampling


@pytest.mark.parametrize("mined", [False, True])
def test_batches_are_what_they_say(sampling, mined):
    batches = list(sampling.batches(3, table(sampling) if mined else None))
    assert len(batches) == len(sampling) == 7
    for ids, tuples in batches:
        assert (ids.shape, ids.dtype) == ((24,), torch.long)
        assert int(ids.min()) >= 0
        assert int(ids.max()) < len(LABELS)
        labels = LABELS[ids]
        assert (
            sampling.produces
            == {type(None): "labels", Pairs: "pairs", Triplets: "triplets", Episode: "episodes"}[type(tuples)]
        )
        if isinstance(tuples, Pairs):
            assert torch.equal(labels[tuples.left] == labels[tuples.right], tuples.same)
            assert (ids[tuples.left] != ids[tuples.right]).all()
            assert torch.cat([tuples.left, tuples.right]).unique().numel() == 24  # each image is of use
        if isinstance(tuples, Triplets):
            assert (labels[tuples.anchor] == labels[tuples.positive]).all()
            assert (labels[tuples.anchor] != labels[tuples.negative]).all()
            assert (ids[tuples.anchor] != ids[tuples.positive]).all()
            assert torch.cat(list(tuples)).unique().numel() == 24
        if isinstance(tuples, Episode):
            assert torch.cat(list(tuples)).sort().values.tolist() == list(range(24))
            assert not torch.isin(ids[tuples.query], ids[tuples.support]).any()
            assert set(labels[tuples.query].tolist()) == set(labels[tuples.support].tolist())


def test_batches_are_a_function_of_seed_epoch_and_table(name, sampling, make):
    again = make("sampling", name, {"labels": LABELS, "seed": 1}, **batch_of(name, 24), steps=7)
    other = make("sampling", name, {"labels": LABELS, "seed": 2}, **batch_of(name, 24), steps=7)
    torch.manual_seed(123)
    state = torch.get_rng_state()
    first = list(sampling.batches(0))
    assert torch.equal(torch.get_rng_state(), state)
    list(sampling.batches(5))  # holds no state
    assert same_batches(first, sampling.batches(0))
    assert same_batches(first, again.batches(0))
    assert not same_batches(first, other.batches(0))
    assert not same_batches(first, sampling.batches(1))
    epochs = [torch.cat([ids for ids, _ in sampling.batches(epoch)]) for epoch in (0, 1)]
    assert (epochs[0] == epochs[1]).float().mean() < 0.2
    batches = torch.stack([ids for ids, _ in first])
    assert len(batches.unique(dim=0)) == 7  # no two steps alike
    if table(sampling) is not None:
        assert same_batches(sampling.batches(0, table(sampling)), sampling.batches(0, table(sampling)))
        assert not same_batches(sampling.batches(0, table(sampling)), sampling.batches(0, table(sampling, seed=9)))


def test_an_epoch_holds_the_training_images_once(name, make):
    given = {"labels": LABELS}
    for images in (24, 60):
        assert len(make("sampling", name, given, **batch_of(name, images))) == int(120 * ROUNDS.get(name, 1) // images)


def test_every_class_is_drawn(name, make):
    sampling = make("sampling", name, {"labels": LABELS}, **batch_of(name, 60), steps=20)
    seen = torch.cat([LABELS[ids] for ids, _ in sampling.batches(0)])
    if name == "episodes":
        assert seen.unique().tolist() == (LABELS.bincount() >= 10).nonzero().flatten().tolist()
        return
    assert len(seen.unique()) == 20
    if name in UNEVEN:
        return
    drawn = seen.bincount()[LABELS.bincount() > 1]  # a class of one image may serve as a negative only
    assert drawn.max() < 3 * drawn.min()  # not in proportion to its images, 2 to 14


@pytest.mark.parametrize("batch_size", [25, 0, -24, 119, 121, 240, 1201])
def test_batches_that_cannot_be_are_refused_with_a_number_that_can(name, make, batch_size):
    if name == "episodes":
        pytest.skip("it has ways, shots and queries instead")
    unit = UNIT.get(name, UNITS[make("sampling", name, {"labels": LABELS}, batch_size=24).produces])
    with pytest.raises(
        LabError, match=f"batch_size must be a positive multiple of {unit} images, at most .* got {batch_size}:"
    ) as refused:
        make("sampling", name, {"labels": LABELS}, batch_size=batch_size)
    would_do = int(re.search(r"(\d+) would do", str(refused.value))[1])
    assert would_do == min({25: 24, 119: 120, 121: 120, 240: 120, 1201: 120}.get(batch_size, unit), MOST.get(name, 120))
    assert len(next(make("sampling", name, {"labels": LABELS}, batch_size=would_do).batches(0)).ids) == would_do


def test_steps_are_positive(name, make):
    with pytest.raises(LabError, match="steps must be > 0 or null, got 0"):
        make("sampling", name, {"labels": LABELS}, **batch_of(name, 24), steps=0)


@pytest.mark.parametrize("labels", [torch.zeros(48, dtype=torch.long), torch.arange(48)])
def test_data_that_hold_no_tuple_are_refused(name, make, labels):
    with pytest.raises(LabError, match="at least two classes and a class of two images"):
        make("sampling", name, {"labels": labels}, **batch_of(name, 24))


@pytest.mark.parametrize("key", ["share_same", "share_hard"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_shares_are_shares(key, value):
    with pytest.raises(ValueError, match=rf"{key} must lie in \[0, 1\]"):
        HardPairs(labels=LABELS, batch_size=24, **{key: value})


# pk


@pytest.mark.parametrize(("batch_size", "per_class"), [(24, 4), (24, 3), (40, 2), (80, 4), (24, 12)])
def test_pk_has_k_images_of_each_of_p_classes(batch_size, per_class):
    count = LABELS.bincount()
    for ids, tuples in PK(labels=LABELS, batch_size=batch_size, per_class=per_class).batches(2):
        assert tuples is None
        drawn = Counter(LABELS[ids].tolist())
        assert list(drawn.values()) == [per_class] * (batch_size // per_class)
        for label in drawn:  # all different, or where the class is small each as often as the others
            repeats = Counter(ids[LABELS[ids] == label].tolist()).values()
            assert len(repeats) == min(per_class, int(count[label]))
            assert max(repeats) - min(repeats) <= 1


def test_pk_draws_each_class_equally_often():
    # 5 of 20 classes a batch: 4 batches hold each once
    sampling = PK(labels=LABELS, batch_size=20, per_class=4, steps=8)
    for epoch in range(3):
        drawn = Counter(torch.cat([LABELS[ids] for ids, _ in sampling.batches(epoch)]).tolist())
        assert set(drawn.values()) == {2 * 4}
    # 6 of 20: two classes of each list are left out, ever others
    uneven = PK(labels=LABELS, batch_size=24, per_class=4, steps=300)
    drawn = Counter(torch.cat([LABELS[ids] for ids, _ in uneven.batches(0)]).tolist())
    assert set(drawn) == set(range(20))
    assert max(drawn.values()) < 1.25 * min(drawn.values())


def test_pk_draws_the_images_of_a_class_equally_often():
    ids = torch.cat([ids for ids, _ in PK(labels=LABELS, batch_size=40, per_class=4, steps=400).batches(0)])
    large = ids[LABELS[ids] == 4].bincount(minlength=120)[LABELS == 4]  # 14 images
    assert float(large.min()) > 0.6 * float(large.float().mean())


def test_pk_draws_other_images_each_epoch():
    even = PK(labels=torch.arange(20).repeat_interleave(10), batch_size=80, per_class=4)  # every class in each batch
    places = [torch.stack([ids % 10 for ids, _ in even.batches(epoch)]) for epoch in (0, 1)]
    assert (places[0] == places[1]).float().mean() < 0.2
    assert (places[0][0] == places[0][1]).float().mean() < 0.2


@pytest.mark.parametrize("per_class", [-1, 0, 1, 121])
def test_pk_refuses_a_class_without_a_pair(per_class):
    with pytest.raises(ValueError, match=rf"per_class must lie in \[2, 120\], got {per_class}"):
        PK(labels=LABELS, batch_size=24, per_class=per_class)


# pairs and triplets


@pytest.mark.parametrize("kind", [RandomPairs, HardPairs])
@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_pairs_have_their_share_of_same(kind, share):
    for _, pairs in kind(labels=LABELS, batch_size=24, share_same=share).batches(0):
        assert int(pairs.same.sum()) == round(12 * share)


@pytest.mark.parametrize("kind", [RandomPairs, RandomTriplets])
def test_classes_of_random_tuples_are_drawn_equally_often(kind):
    drawn = torch.cat([LABELS[ids] for ids, _ in kind(labels=LABELS, batch_size=120, steps=50).batches(0)]).bincount()
    paired = drawn[LABELS.bincount() > 1].float()
    assert float(paired.std()) < 0.1 * float(paired.mean())
    assert drawn.min() > 0  # a class of one image still serves as a negative


def test_pair_draws_each_ordered_pair_equally_often():
    classes = ClassIndex(torch.tensor([0, 0, 0, 1]))
    left, right = classes.draw_pairs(torch.zeros(6000, dtype=torch.long), torch.Generator().manual_seed(0))
    counts = Counter(zip(left.tolist(), right.tolist(), strict=True))
    assert set(counts) == {(a, b) for a in range(3) for b in range(3) if a != b}
    assert all(abs(count - 1000) < 150 for count in counts.values())


def test_distinct_numbers():
    drawn = draw_distinct(10, 3, 300, torch.Generator().manual_seed(0))
    assert drawn.shape == (300, 3)
    assert all(len(row) == 3 for row in map(set, drawn.tolist()))
    assert all(len(set(drawn[i : i + 3].flatten().tolist())) == 9 for i in range(0, 300, 3))
    assert max(drawn.flatten().bincount()) < 1.2 * 90


# mined tables


def test_too_many_neighbours_are_refused_before_anything_is_trained():
    labels = torch.tensor([0, 0, 0, 0, 1, 1])
    with pytest.raises(ValueError, match=r"neighbours must be at most 2, got 3"):
        nearest_others(torch.randn(6, 2), labels, Euclidean(), 3)
    for kind in (HardPairs, HardTriplets):
        with pytest.raises(ValueError, match=r"neighbours must lie in \[1, 2\], got 3"):
            kind(labels=labels, batch_size=6, neighbours=3)
        with pytest.raises(ValueError, match=r"neighbours must lie in \[1, 2\], got 0"):
            kind(labels=labels, batch_size=6, neighbours=0)


@pytest.mark.parametrize("kind", [HardPairs, HardTriplets])
def test_a_table_is_wanted_every_n_epochs_after_the_warm_up(kind):
    sampling = kind(labels=LABELS, batch_size=24, every=3, warmup=2)
    assert [epoch for epoch in range(10) if sampling.wants(epoch)] == [2, 5, 8]
    assert kind(labels=LABELS, batch_size=24, warmup=0).wants(0)
    assert [epoch for epoch in range(9) if kind(labels=LABELS, batch_size=24, every=2, warmup=4).wants(epoch)] == [
        4,
        6,
        8,
    ]
    for values, message in (({"every": 0}, "every must be > 0"), ({"warmup": -1}, "warmup must be >= 0")):
        with pytest.raises(ValueError, match=message):
            kind(labels=LABELS, batch_size=24, **values)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("kind", [HardPairs, HardTriplets])
def test_hard_negatives_come_from_the_table(kind, share):
    sampling = kind(labels=LABELS, batch_size=120, share_hard=share, neighbours=3, steps=20)
    mined = table(sampling)
    shares = {}
    for what, given in (("mined", mined), ("warm-up", None)):
        hard = []
        for ids, tuples in sampling.batches(0, given):
            if isinstance(tuples, Pairs):
                anchor, negative = ids[tuples.left[~tuples.same]], ids[tuples.right[~tuples.same]]
            else:
                anchor, negative = ids[tuples.anchor], ids[tuples.negative]
            hard.append((mined[anchor] == negative[:, None]).any(1))
        shares[what] = float(torch.cat(hard).float().mean())
    by_chance = 3 / 110
    assert shares["warm-up"] < 0.1
    assert shares["mined"] == pytest.approx(share + (1 - share) * by_chance, abs=0.06)
    if share == 1.0:
        assert shares["mined"] == 1.0
