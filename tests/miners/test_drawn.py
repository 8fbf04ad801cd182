"""The miners that draw at random, that look at angles, and that give pairs; and how much memory mining takes."""

import itertools
import math

import pytest
import torch
from pytorch_metric_learning import distances as pml_distances
from pytorch_metric_learning import miners as pml_miners
from scipy.stats import chisquare
from torch.nn import functional as F

from siamese_lab.distances.cosine import Cosine
from siamese_lab.memory.xbm import XBM
from siamese_lab.miners import _strips as strips
from siamese_lab.miners import angular, semi_hard
from siamese_lab.miners.angular import Angular
from siamese_lab.miners.batch_hard import BatchHard
from siamese_lab.miners.distance_weighted import DistanceWeighted
from siamese_lab.miners.easy_positive import EasyPositive
from siamese_lab.miners.multi_similarity import MultiSimilarity
from siamese_lab.miners.rank_window import RankWindow
from siamese_lab.miners.semi_hard import SemiHard
from siamese_lab.structures.embedded import Embedded
from tests.distances.test_learned import Largest
from tests.miners.test_all import SIZES, listed, problem, written_semi_hard

DRAWN = [DistanceWeighted, RankWindow]
EUCLIDEAN = pml_distances.LpDistance(normalize_embeddings=False)


def listed_pairs(pairs):
    return sorted(zip(*(column.tolist() for column in pairs), strict=True))


# in strips


@pytest.mark.parametrize("strip", [1, 100, 2**21])
@pytest.mark.parametrize(
    "kind", [BatchHard, SemiHard, EasyPositive, MultiSimilarity, Angular, DistanceWeighted, RankWindow]
)
def test_strips_change_nothing(kind, strip, monkeypatch):
    e = problem(40, 5, seed=1, anchors=30, ids=torch.arange(40) // 2)
    expected = kind()(e)
    monkeypatch.setattr(strips, "STRIP", strip)
    monkeypatch.setattr(angular, "PORTION", strip)
    assert all(map(torch.equal, kind()(e), expected))


@pytest.mark.parametrize("kind", [BatchHard, SemiHard, EasyPositive, Angular, DistanceWeighted, RankWindow])
def test_no_tensor_is_larger_than_a_strip(kind):
    e = Embedded(torch.randn(2048, 4, generator=torch.Generator().manual_seed(0)), torch.arange(2048) // 4)
    e.matrix()
    with Largest() as seen:
        mined = kind()(e)
    assert seen.numbers <= strips.STRIP < e.matrix().numel()
    assert len(mined.anchor) > 1000


@pytest.mark.parametrize("few", [0, 3, 100])
@pytest.mark.parametrize("size", SIZES)
def test_both_ways_to_semi_hard_are_the_written_out_one(size, few, monkeypatch):
    monkeypatch.setattr(semi_hard, "FEW", few)
    e = problem(*size, seed=5)
    assert listed(SemiHard()(e)) == sorted(written_semi_hard(e, size[0]))


# easy positive


@pytest.mark.parametrize(("negative", "theirs"), [("hard", "hard"), ("semi_hard", "semihard")])
@pytest.mark.parametrize("size", SIZES)
def test_easy_positive_is_pytorch_metric_learnings(size, negative, theirs):
    e = problem(*size)
    a, p, _, n = pml_miners.BatchEasyHardMiner(pos_strategy="easy", neg_strategy=theirs, distance=EUCLIDEAN)(
        e.z.detach(), e.labels
    )
    assert listed(EasyPositive(negative)(e)) == listed((a, p, n))


def test_easy_positive_by_hand():
    z = torch.tensor([[0.0], [1.0], [3.0], [0.5], [5.0]])
    e = Embedded(z, torch.tensor([0, 0, 0, 1, 1]))
    assert listed(EasyPositive("hard")(e)) == [(0, 1, 3), (1, 0, 3), (2, 1, 4), (3, 4, 0), (4, 3, 2)]
    # 0 to 1 is 1: the negative at 0.5 is nearer, so that at 5. 2 to 1 is 2: 4 lies at 2, which is not farther. 3 to 4
    # is 4.5: none is
    assert listed(EasyPositive("semi_hard")(e)) == [(0, 1, 4), (1, 0, 4), (2, 1, 3), (4, 3, 0)]


# multi-similarity


@pytest.mark.parametrize("epsilon", [-0.2, 0.0, 0.1, 1.0])
@pytest.mark.parametrize("size", SIZES)
def test_multi_similarity_is_pytorch_metric_learnings(size, epsilon):
    e = problem(*size, distance=Cosine())
    a, p, b, n = pml_miners.MultiSimilarityMiner(epsilon=epsilon)(e.z.detach(), e.labels)
    expected = [(*pair, True) for pair in zip(a.tolist(), p.tolist(), strict=True)]
    expected += [(*pair, False) for pair in zip(b.tolist(), n.tolist(), strict=True)]
    assert listed_pairs(MultiSimilarity(epsilon)(e)) == sorted(expected)


def test_multi_similarity_by_hand():
    z = torch.tensor([[0.0], [2.0], [1.0], [2.05], [9.0]])
    e = Embedded(z, torch.tensor([0, 0, 1, 1, 2]))
    found = [pair for pair in listed_pairs(MultiSimilarity(0.1)(e)) if pair[0] in (0, 4)]
    # anchor 0: its positive at 2, its negatives at 1, 2.05 (within 0.1 of 2) and 9; anchor 4 has no positive
    assert found == [(0, 1, True), (0, 2, False), (0, 3, False)]


# angular


@pytest.mark.parametrize("angle", [5.0, 20.0, 45.0])
@pytest.mark.parametrize("size", SIZES)
def test_angular_is_pytorch_metric_learnings(size, angle):
    e = problem(*size)
    theirs = pml_miners.AngularMiner(angle=angle)
    theirs.distance = (
        EUCLIDEAN  # its own divides the centre by its norm too: no longer midway, and another angle than the paper's
    )
    assert listed(Angular(angle, "all")(e)) == listed(theirs(F.normalize(e.z.detach(), dim=1), e.labels))


@pytest.mark.parametrize("anchors", [40, 20])
@pytest.mark.parametrize("angle", [5.0, 20.0, 60.0])
def test_angular_is_the_written_out_one(angle, anchors):
    e = problem(40, 5, seed=2, anchors=anchors)
    z, labels = F.normalize(e.z.detach(), dim=1), e.labels.tolist()
    every, hardest = [], []
    for a, p in itertools.product(range(anchors), range(40)):
        if a == p or labels[a] != labels[p]:
            continue
        seen = {
            n: math.degrees(math.atan(float((z[a] - z[p]).norm() / (2 * (z[n] - (z[a] + z[p]) / 2).norm()))))
            for n in range(40)
        }
        wide = {n: one for n, one in seen.items() if labels[n] != labels[a] and one > angle}
        every += [(a, p, n) for n in wide]
        hardest += [(a, p, max(wide, key=wide.get))] if wide else []
    assert listed(Angular(angle, "all")(e)) == sorted(every)
    assert listed(Angular(angle)(e)) == sorted(hardest)
    assert hardest


# what is drawn


@pytest.mark.parametrize("kind", DRAWN)
def test_draws_are_a_function_of_seed_epoch_and_step(kind):
    def mined(seed, where):
        e = problem(40, 5, dtype=torch.float32)
        e.where = where
        return listed(kind(seed=seed)(e))

    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = mined(1, (2, 3))
    assert torch.equal(torch.get_rng_state(), state)
    assert first == mined(1, (2, 3))
    assert all(first != mined(*other) for other in ((2, (2, 3)), (1, (3, 3)), (1, (2, 4)), (1, (3, 2))))


@pytest.mark.parametrize("kind", DRAWN)
@pytest.mark.parametrize("size", SIZES)
def test_each_pair_is_given_one_negative(kind, size):
    e = problem(*size)
    anchor, positive = (e.positives() & e.negatives().any(1, keepdim=True)).nonzero(as_tuple=True)
    mined = kind()(e)
    assert torch.equal(mined.anchor, anchor)
    assert torch.equal(mined.positive, positive)


def drawn_negatives(miner, e, epochs):
    """How often each row was drawn for anchor 0."""
    found = torch.zeros(len(e.z))
    for epoch in range(epochs):
        e.where = (epoch, 0)
        mined = miner(e)
        found += mined.negative[mined.anchor == 0].bincount(minlength=len(e.z))
    return found


@pytest.mark.parametrize(("dim", "nearest", "farthest"), [(3, 0.5, 1.4), (8, 0.5, 1.4), (8, 0.9, 2.0), (2, 0.5, 1.4)])
def test_distance_weighted_draws_by_the_papers_formula(dim, nearest, farthest):
    g = torch.Generator().manual_seed(dim)
    z = torch.randn(60, dim, generator=g, dtype=torch.float64) * 3  # norms do not matter
    labels = torch.tensor([0] * 10 + [1] * 50)
    found = drawn_negatives(DistanceWeighted(nearest, farthest, seed=4), Embedded(z, labels, distance=Cosine()), 400)
    d = (F.normalize(z, dim=1) - F.normalize(z, dim=1)[0]).norm(dim=1)

    def q(d):
        return d ** (dim - 2) * (1 - d**2 / 4) ** ((dim - 3) / 2)

    p = torch.where((labels == 1) & (d < farthest), (1 / q(d)).minimum(1 / q(torch.tensor(nearest))), 0.0)
    assert found[p == 0].eq(0).all()
    likely = p * 3600 / p.sum() >= 5
    expected = p * found.sum() / p.sum()
    observed = torch.cat([found[likely], found[~likely & (p > 0)].sum()[None]])
    wanted = torch.cat([expected[likely], expected[~likely & (p > 0)].sum()[None]])
    kept = wanted > 1
    assert kept.sum() > 4
    assert chisquare(observed[kept], wanted[kept] * observed[kept].sum() / wanted[kept].sum()).pvalue > 1e-3
    assert found.sum() == 3600


def test_distance_weighted_weighs_as_pytorch_metric_learning(monkeypatch):
    from pytorch_metric_learning.utils import loss_and_miner_utils

    e = problem(40, 5, dtype=torch.float64)
    theirs = []

    def draw(*labels, weights, **more):
        theirs.append(weights)

    monkeypatch.setattr(loss_and_miner_utils, "get_random_triplet_indices", draw)
    miner = pml_miners.DistanceWeightedMiner()
    miner.mine(e.z.detach(), e.labels, e.z.detach(), e.labels)
    (strip,) = strips.split_anchors(e)
    ours = DistanceWeighted().weights(F.normalize(e.z.detach(), dim=1), strip)
    torch.testing.assert_close(ours / ours.sum(1, keepdim=True), theirs[0])


def test_distance_weighted_draws_equally_where_all_are_too_far():
    z = torch.tensor([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0], [-1.0, 0.1], [-1.0, 0.2]])
    found = drawn_negatives(DistanceWeighted(), Embedded(z, torch.tensor([0, 0, 1, 1, 1])), 600)
    assert found[:2].eq(0).all()
    assert (found[2:] - 200).abs().max() < 50


def test_rank_window_draws_each_rank_of_it_equally():
    z = torch.arange(12.0)[:, None]
    e = Embedded(z, torch.tensor([0, 0] + [1] * 10))  # anchor 0: negatives at 2, 3, ... 11
    found = drawn_negatives(RankWindow(2, 5, seed=1), e, 800)
    assert found[[0, 1, 2, 7, 8, 9, 10, 11]].eq(0).all()
    assert (found[3:7] - 200).abs().max() < 50
    assert drawn_negatives(RankWindow(3, 3), e, 5)[4] == 5
    assert drawn_negatives(RankWindow(9, 30), e, 40)[10:].gt(0).all()
    assert drawn_negatives(RankWindow(11, 30), e, 5)[11] == 5  # fewer than eleven: the farthest
    assert drawn_negatives(RankWindow(1, 1), e, 5)[2] == 5


def test_rows_of_a_memory_are_drawn_too():
    memory = XBM(dim=3, size=24, warmup=0)
    memory(problem(24, 3, seed=8, dtype=torch.float32, ids=torch.arange(24)))
    for kind in DRAWN:
        e = memory(problem(24, 3, seed=9, dtype=torch.float32, ids=torch.arange(24, 48)))
        mined = kind()(e)
        assert mined.anchor.max() < 24 <= mined.negative.max()
        assert mined.positive.max() >= 24


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (EasyPositive, {"negative": "easy"}, "negative must be hard or semi_hard, got 'easy'"),
        (Angular, {"angle": 0.0}, r"angle must lie in \(0, 90\), got 0.0"),
        (Angular, {"angle": 90.0}, r"angle must lie in \(0, 90\)"),
        (Angular, {"angle": float("nan")}, r"angle must lie in \(0, 90\)"),
        (Angular, {"negatives": "some"}, "negatives must be hardest or all, got 'some'"),
        (DistanceWeighted, {"nearest": 0.0}, r"nearest must lie in \(0, sqrt\(2\)\], got 0.0"),
        (DistanceWeighted, {"nearest": 1.5}, "nearest must lie in"),
        (DistanceWeighted, {"farthest": 0.5}, r"farthest must lie in \(0.5, 2\], got 0.5"),
        (DistanceWeighted, {"farthest": 2.1}, "farthest must lie in"),
        (RankWindow, {"first": 0}, "first must be >= 1, got 0"),
        (RankWindow, {"last": 1}, "last must be >= first = 2, got 1"),
    ],
)
def test_miners_refuse(kind, values, message):
    with pytest.raises(ValueError, match=message):
        kind(**values)
