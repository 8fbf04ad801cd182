"""Losses of pairs: by hand on points of a circle or a line, and against references over a grid. What holds for all:
test_losses.py.
"""

import math
from types import SimpleNamespace

import pytest
import torch
from pytorch_metric_learning import distances as pml_distances
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning import reducers as pml_reducers

from siamese_lab.config.compatibility import refuse_misfits
from siamese_lab.core.errors import LabError
from siamese_lab.distances.cosine import Cosine
from siamese_lab.distances.euclidean import Euclidean
from siamese_lab.distances.l1 import L1
from siamese_lab.distances.weighted_l1 import WeightedL1
from siamese_lab.losses._reductions import sum_of_means
from siamese_lab.losses.bromley import BromleyLoss
from siamese_lab.losses.chopra import ChopraLoss
from siamese_lab.losses.contrastive import ContrastiveLoss
from siamese_lab.losses.double_margin import DoubleMarginLoss
from siamese_lab.losses.margin import MarginLoss
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Pairs, Triplets, as_pairs, as_triplets
from tests._each import each
from tests.losses._references import DTYPES, GRID, chords, circle, cosines, facts, line, mean, plain, problem, tolerance

LP = pml_distances.LpDistance(normalize_embeddings=False)


def written_out(d, labels, pull, push):
    """The mean of pull(d) over same-label pairs plus that of push(d, i, j) over the others."""
    same, other = [], []
    for i in range(len(labels)):
        for j in range(i + 1, len(labels)):
            if labels[i] == labels[j]:
                same.append(pull(d[i][j], i, j))
            else:
                other.append(push(d[i][j], i, j))
    return mean(same) + mean(other)


def test_each_kind_is_averaged_on_its_own():
    cost, same = torch.tensor([1.0, 2.0, 40.0, 5.0]), torch.tensor([True, True, False, True])
    pairs = torch.tensor([True, True, True, False])
    assert float(sum_of_means(cost, same, pairs)) == 1.5 + 40
    assert float(sum_of_means(cost, same | ~same, pairs)) == pytest.approx(43 / 3)
    assert float(sum_of_means(cost, same & ~same, pairs)) == pytest.approx(43 / 3)
    assert float(sum_of_means(cost, same, pairs & ~pairs)) == 0


# chopra


def test_chopra_by_hand():
    result = ChopraLoss(bound=10.0)(Embedded(line(0, 6, -1, 9), torch.tensor([0, 0, 1, 1]), distance=L1()))
    # Q = 10, L1: 6 and 10 (same), 1, 9, 7 and 3 (different)
    push = [20 * math.exp(-0.277 * d) for d in (1, 9, 7, 3)]
    assert plain(result) == pytest.approx(0.2 * (36 + 100) / 2 + sum(push) / 4)
    assert facts(result) == (4, 6)  # on the wrong side of Q / 2: 6, 10, 1 and 3


def test_chopra_takes_the_energy_of_all_dimensions():
    z = torch.tensor([[0.0, 0.0], [1.0, -2.0]])
    assert plain(ChopraLoss(bound=4.0)(Embedded(z, torch.tensor([7, 7]), distance=L1()))) == pytest.approx(2 / 4 * 3**2)


def test_chopra_costs_the_same_for_both_kinds_at_half_the_bound():
    one = torch.tensor([0])
    for bound in (1.0, 16.0, 100.0):
        e = Embedded(line(0, bound / 2), torch.tensor([0, 0]), distance=L1())
        pull, push = (plain(ChopraLoss(bound)(e, Pairs(one, one + 1, torch.tensor([same])))) for same in (True, False))
        assert pull == pytest.approx(bound / 2)
        assert push == pytest.approx(bound / 2, rel=2e-3)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bound", [0.5, 4.0, 30.0])
@each("size", GRID)
def test_chopra_is_the_written_out_one(size, bound, dtype):
    z, labels = problem(*size, dtype)
    d = [[sum(abs(a - b) for a, b in zip(x, y, strict=True)) for y in z.double().tolist()] for x in z.double().tolist()]
    expected = written_out(
        d, labels, lambda d, *_: 2 / bound * d**2, lambda d, *_: 2 * bound * math.exp(-2.77 * d / bound)
    )
    assert plain(ChopraLoss(bound)(Embedded(z, labels, distance=L1()))) == pytest.approx(expected, **tolerance(dtype))


# bromley


def test_bromley_by_hand_on_the_circle():
    result = BromleyLoss(same=1.0, different=-0.9)(
        Embedded(circle(0, 60, 90, 180), torch.tensor([0, 0, 1, 0]), distance=Cosine())
    )
    # cosines of one label: 0-60 1/2, 0-180 -1, 60-180 -1/2; of two: 0-90 0, 60-90 cos 30, 90-180 0
    c = math.cos(math.radians(30))
    assert plain(result) == pytest.approx((0.5**2 + 2**2 + 1.5**2) / 3 + (0.9**2 + (c + 0.9) ** 2 + 0.9**2) / 3)
    assert facts(result) == (3, 6)  # halfway lies at 0.05: 0-180, 60-180 and 60-90 are beyond it


def test_bromley_costs_nothing_at_its_targets():
    z = circle(0, 0, 180, 180)
    assert plain(
        BromleyLoss(different=-1.0)(Embedded(z, torch.tensor([0, 0, 1, 1]), distance=Cosine()))
    ) == pytest.approx(0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("same", "different"), [(1.0, -0.9), (1.0, -1.0), (0.5, 0.0)])
@each("size", GRID)
def test_bromley_is_the_written_out_one(size, same, different, dtype):
    z, labels = problem(*size, dtype)
    expected = written_out(
        cosines(z), labels, lambda d, *_: (1 - d - same) ** 2, lambda d, *_: (1 - d - different) ** 2
    )
    assert plain(BromleyLoss(same, different)(Embedded(z, labels, distance=Cosine()))) == pytest.approx(
        expected, **tolerance(dtype)
    )


def test_bromley_is_refused_with_another_distance():
    sampling, miner = SimpleNamespace(produces="labels"), SimpleNamespace(produces="all")
    refuse_misfits(BromleyLoss(), miner, sampling, Cosine())
    with pytest.raises(
        LabError, match=r"BromleyLoss needs the cosine distance, and Euclidean is another: choose distance=cosine$"
    ):
        refuse_misfits(BromleyLoss(), miner, sampling, Euclidean())
    with pytest.raises(
        LabError, match=r"ChopraLoss needs .*, and WeightedL1 may turn negative: choose distance=cosine, distance=euc"
    ):
        refuse_misfits(ChopraLoss(), miner, sampling, WeightedL1(dim=2))


# double margin


def test_double_margin_by_hand_on_the_circle():
    result = DoubleMarginLoss(inner=0.5, outer=1.5)(Embedded(circle(0, 60, 90, 180), torch.tensor([0, 0, 1, 1])))
    # chords: 0-60 1, 90-180 sqrt 2 (same); 0-90 sqrt 2, 60-90 2 sin 15 (within 1.5), 0-180 2, 60-180 sqrt 3
    root, short = math.sqrt(2), 2 * math.sin(math.radians(15))
    assert plain(result) == pytest.approx(
        (0.5**2 + (root - 0.5) ** 2) / 2 + ((1.5 - root) ** 2 + (1.5 - short) ** 2) / 4
    )
    assert facts(result) == (4, 6)


def test_double_margin_lets_positives_be_within_the_inner_margin():
    result = DoubleMarginLoss(inner=1.1, outer=1.2)(Embedded(circle(0, 60, 180), torch.tensor([0, 0, 1])))
    assert plain(result) == 0
    assert facts(result) == (0, 3)


@each("size", GRID)
def test_double_margin_without_an_inner_one_is_contrastive(size):
    z, labels = problem(*size, torch.float64)
    e = Embedded(z, labels)
    assert plain(DoubleMarginLoss(inner=0.0, outer=1.3)(e)) == pytest.approx(plain(ContrastiveLoss(1.3)(e)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("inner", "outer"), [(0.1, 0.5), (1.0, 2.0), (2.0, 6.0)])
@each("size", GRID)
def test_double_margin_is_the_squares_of_pytorch_metric_learnings(size, inner, outer, dtype):
    z, labels = problem(*size, dtype)
    theirs = pml_losses.ContrastiveLoss(
        pos_margin=inner, neg_margin=outer, distance=LP, reducer=pml_reducers.DoNothingReducer()
    )(z, labels)
    expected = sum(
        float(torch.as_tensor(theirs[kind]["losses"], dtype=torch.float64).square().mean())
        for kind in ("pos_loss", "neg_loss")
    )
    assert plain(DoubleMarginLoss(inner, outer)(Embedded(z, labels))) == pytest.approx(expected, **tolerance(dtype))


# margin


def test_margin_by_hand_on_the_circle():
    result = MarginLoss(margin=0.5, boundary=1.2)(Embedded(circle(0, 60, 90, 180), torch.tensor([0, 0, 1, 1])))
    # chords as above; positives cost d - 0.7, negatives 1.7 - d
    root, short = math.sqrt(2), 2 * math.sin(math.radians(15))
    assert plain(result) == pytest.approx((0.3 + root - 0.7) / 2 + (1.7 - root + 1.7 - short) / 4)
    assert facts(result) == (4, 6)


def test_margin_with_a_boundary_for_each_class_by_hand():
    loss = MarginLoss(margin=0.5, boundary=1.2, learned="per_class", classes=3)
    loss.boundary.data = torch.tensor([1.0, 1.6, 99.0])
    result = loss(Embedded(circle(0, 60, 90, 180), torch.tensor([0, 0, 1, 1])))
    root, short = math.sqrt(2), 2 * math.sin(math.radians(15))
    positives = [1 - 0.5, root - 1.1]
    # from either end
    negatives = [
        [1.5 - root, 2.1 - root],
        [1.5 - short, 2.1 - short],
        [0, 0.1],
        [0, 2.1 - math.sqrt(3)],
    ]
    assert plain(result) == pytest.approx(sum(positives) / 2 + sum(map(sum, negatives)) / 2 / 4, rel=1e-6)
    result[0].backward()
    assert loss.boundary.grad.tolist() == pytest.approx([-1 / 2 + 2 / 8, -1 / 2 + 4 / 8, 0])
    assert facts(result) == (6, 6)


def test_margin_moves_the_boundary_to_where_both_kinds_violate_it_alike():
    z, labels = line(0, 2, 1, 1.5), torch.tensor([0, 0, 1, 2])  # 2 (same); 1, 1, 1.5, 0.5 and 0.5 (different)
    for boundary, share in [(0.2, 2 / 5), (1.2, 1.0)]:  # of the negatives
        loss = MarginLoss(margin=0.4, boundary=boundary)
        loss(Embedded(z, labels))[0].backward()
        assert float(loss.boundary.grad) == pytest.approx(share - 1, abs=1e-6)
    assert not list(MarginLoss(learned="fixed").parameters())
    assert MarginLoss(learned="per_class", classes=7).boundary.shape == (7,)


def test_margin_prices_its_boundary():
    z, labels = problem(9, 5, 2, torch.float64)
    e = Embedded(z, labels)
    for learned in ("shared", "per_class"):
        free, priced = (MarginLoss(boundary=1.5, learned=learned, nu=nu, classes=5) for nu in (0.0, 0.1))
        assert plain(priced(e)) == pytest.approx(plain(free(e)) + 0.15)
    none = torch.zeros(0, dtype=torch.long)
    assert plain(MarginLoss(nu=0.1)(e, Pairs(none, none, none.bool()))) == 0


def test_margin_does_not_ask_which_of_a_pair_is_the_anchor():
    z, labels = problem(9, 3, 2, torch.float64)
    loss = MarginLoss(learned="per_class", classes=3)
    loss.boundary.data = torch.tensor([1.0, 2.0, 3.0])
    left, right, same = as_pairs(Embedded(z, labels), None)
    assert plain(loss(Embedded(z, labels), Pairs(right, left, same))) == pytest.approx(plain(loss(Embedded(z, labels))))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("margin", "boundary"), [(0.2, 1.2), (1.0, 3.0), (0.1, 4.0)])
@each("size", GRID)
def test_margin_is_the_written_out_one(size, margin, boundary, dtype):
    z, labels = problem(*size, dtype)
    loss = MarginLoss(margin, boundary, "per_class", classes=5)
    b = [boundary + 0.3 * c for c in range(5)]
    loss.boundary.data = torch.tensor(b, dtype=torch.float64)
    expected = written_out(
        chords(z),
        labels,
        lambda d, i, _: max(0.0, margin + d - b[labels[i]]),
        lambda d, i, j: mean([max(0.0, margin + b[labels[end]] - d) for end in (i, j)]),
    )
    assert plain(loss(Embedded(z, labels))) == pytest.approx(expected, **tolerance(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("margin", "boundary"), [(0.2, 1.2), (1.0, 3.0), (0.1, 4.0)])
@each("size", GRID)
def test_margin_adds_up_as_pytorch_metric_learnings(size, margin, boundary, dtype):
    """It divides the sum over triplets by the violations of both kinds together."""
    z, labels = problem(*size, dtype)
    e = Embedded(z, labels)
    anchor, positive, negative = as_triplets(e, None)
    yes = torch.ones_like(anchor, dtype=torch.bool)
    kinds = [
        MarginLoss(margin, boundary)(e, pairs)
        for pairs in (Pairs(anchor, positive, yes), Pairs(anchor, negative, ~yes))
    ]
    active = sum(facts(kind)[0] for kind in kinds)
    theirs = pml_losses.MarginLoss(margin=margin, beta=boundary, distance=LP)(z, labels)
    assert sum(map(plain, kinds)) * len(anchor) / max(1, active) == pytest.approx(plain(theirs), **tolerance(dtype))
    both = MarginLoss(margin, boundary)(e, Triplets(anchor, positive, negative))
    assert plain(both) == pytest.approx(sum(map(plain, kinds)), **tolerance(dtype))


# constructors


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        *((ChopraLoss, {"bound": bad}, "bound must be > 0, got") for bad in (0.0, -1.0, math.nan)),
        *((BromleyLoss, {"same": bad}, r"same must lie in \[-1, 1\], got") for bad in (1.1, -1.1, math.nan)),
        *((BromleyLoss, {"different": bad}, r"different must lie in \[-1, 1\], got") for bad in (1.1, -1.1, math.nan)),
        (BromleyLoss, {"same": 0.0, "different": 0.0}, "different must be < same, got 0.0 and 0.0"),
        *((DoubleMarginLoss, {"inner": bad}, "inner must be >= 0, got") for bad in (-0.1, math.nan)),
        *(
            (DoubleMarginLoss, {"inner": 0.5, "outer": bad}, "outer must be > inner, got")
            for bad in (0.5, 0.1, math.nan)
        ),
        *((MarginLoss, {"margin": bad}, "margin must be > 0, got") for bad in (0.0, -1.0, math.nan)),
        *((MarginLoss, {"boundary": bad}, "boundary must be > 0, got") for bad in (0.0, -1.0, math.nan)),
        *((MarginLoss, {"nu": bad}, "nu must be >= 0, got") for bad in (-1.0, math.nan)),
        (MarginLoss, {"learned": "class"}, "learned must be shared, per_class or fixed, got 'class'"),
        (MarginLoss, {"learned": "per_class"}, "needs classes, got None"),
    ],
)
def test_bad_values_are_refused(kind, values, words):
    with pytest.raises(ValueError, match=words):
        kind(**values)
