"""Losses of triplets and of rankings: by hand on points of a circle or a line, and against references over a grid.

What holds for all: test_losses.py."""

import math

import pytest
import torch
from pytorch_metric_learning import distances as pml_distances
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning import reducers as pml_reducers
from sklearn.metrics import average_precision_score
from torch.nn import functional as F

from siamese_lab.distances.cosine import Cosine
from siamese_lab.losses.angular import AngularLoss
from siamese_lab.losses.fast_ap import FastAPLoss
from siamese_lab.losses.lifted import LiftedLoss
from siamese_lab.losses.n_pair import NPairLoss
from siamese_lab.losses.quadruplet import QuadrupletLoss
from siamese_lab.losses.smooth_ap import SmoothAPLoss
from siamese_lab.losses.triplet import TripletLoss
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Triplets, as_triplets
from tests._each import each
from tests.losses._references import DTYPES, GRID, chords, circle, cosines, facts, line, mean, plain, problem, tolerance

EACH = pml_reducers.DoNothingReducer()
LP = pml_distances.LpDistance(normalize_embeddings=False)
ANCHORS = [1.0, 0.5]  # share of the rows; the others are those of a memory


def split(rows, labels, a):
    """The positives and the negatives of an anchor."""
    return [j for j in rows if j != a and labels[j] == labels[a]], [j for j in rows if labels[j] != labels[a]]


def rows_of(z, share):
    """The anchors and all rows."""
    return range(max(2, int(share * len(z)))), range(len(z))


def theirs_of(loss, z, labels, name="loss"):
    """What a loss of pytorch-metric-learning finds for each of its elements."""
    return torch.as_tensor(loss(z, labels)[name]["losses"]).flatten().tolist()


# quadruplet


@pytest.mark.parametrize(
    ("options", "expected", "active"),
    [
        # triplets cost 1 - 3, 1 - 3.5, 1 - 2, 1 - 2.5 and the margin; 0 and 1 against 3 and 3.5, from either side, 1 -
        # 0.5 and the second
        ({"margin": 1.25, "second": 0.25}, 0.25 + 0.75, 1 + 4),
        ({"margin": 1.25, "second": 0.25, "average": "all"}, 0.25 / 4 + 0.75, 1 + 4),
        ({"margin": 2.25, "second": 4.0}, (0.25 + 1.25 + 0.75) / 3 + 4.5, 3 + 4),
        ({"margin": 0.5, "second": 0.25}, 0.75, 4),
    ],
)
def test_quadruplet_by_hand(options, expected, active):
    result = QuadrupletLoss(**options)(Embedded(line(0, 1, 3, 3.5), torch.tensor([0, 0, 1, 2])))
    assert plain(result) == pytest.approx(expected)
    assert facts(result) == (active, 4 + 4)


def test_quadruplet_costs_nothing_more_where_other_classes_are_far_apart():
    result = QuadrupletLoss(margin=0.5, second=1.0)(Embedded(line(0, 1, 4, -4), torch.tensor([0, 0, 1, 2])))
    assert plain(result) == 0
    assert facts(result) == (0, 8)


def test_quadruplet_needs_three_classes_for_its_second_part():
    z, labels = problem(9, 2, 2, torch.float64)
    e = Embedded(z, labels)
    assert plain(QuadrupletLoss(margin=0.7)(e)) == pytest.approx(plain(TripletLoss(margin=0.7)(e)))


def quadruplets(z, labels, share, triplets=None):
    """(first, second): what each triplet, and each quadruplet, exceeds; by going through all of them."""
    d, (anchors, rows) = chords(z), rows_of(z, share)
    if triplets is None:
        triplets = [
            (i, j, k)
            for i in anchors
            for positives, negatives in [split(rows, labels, i)]
            for j in positives
            for k in negatives
        ]
    second = [d[i][j] - d[m][k] for i, j, k in triplets for m in anchors if labels[m] not in (labels[i], labels[k])]
    return [d[i][j] - d[i][k] for i, j, k in triplets], second


def hinge(excess, margin, average):
    cost = [max(0.0, x + margin) for x in excess]
    return sum(cost) / max(1, sum(c > 0 for c in cost) if average == "active" else len(cost))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("share", ANCHORS)
@each("size", GRID)
def test_quadruplet_is_the_written_out_one(size, share, dtype):
    z, labels = problem(*size, dtype)
    e = Embedded(z, labels, anchors=len(rows_of(z, share)[0]))
    first, second = quadruplets(z, labels.tolist(), share)
    for margin, weaker in ((0.2, 0.1), (1.0, 0.5), (0.5, 3.0)):
        for average in ("active", "all"):
            result = QuadrupletLoss(margin, weaker, average)(e)
            expected = hinge(first, margin, average) + hinge(second, weaker, average)
            assert plain(result) == pytest.approx(expected, **tolerance(dtype))
            assert facts(result)[1] == len(first) + len(second)


@each("size", GRID)
def test_quadruplet_of_given_triplets_is_the_written_out_one(size):
    z, labels = problem(*size, torch.float64)
    triplets = Triplets(*(index[::3] for index in as_triplets(Embedded(z, labels), None)))
    first, second = quadruplets(
        z, labels.tolist(), 1.0, list(zip(*(index.tolist() for index in triplets), strict=True))
    )
    result = QuadrupletLoss(0.5, 0.3)(Embedded(z, labels), triplets)
    assert plain(result) == pytest.approx(hinge(first, 0.5, "active") + hinge(second, 0.3, "active"))
    assert facts(result)[1] == len(first) + len(second)


def test_quadruplet_counts_ties_once():
    z, labels = line(0, 1, 2, 3, 4, 5, 5, 5), torch.tensor([0, 0, 1, 1, 2, 2, 3, 4])  # whole distances
    first, second = quadruplets(z, labels.tolist(), 1.0)
    for margin in (1.0, 2.0):
        result = QuadrupletLoss(margin, margin)(Embedded(z, labels))
        assert facts(result)[0] == sum(x + margin > 0 for x in first + second)
        assert plain(result) == pytest.approx(hinge(first, margin, "active") + hinge(second, margin, "active"))


# angular


@pytest.mark.parametrize(
    ("degrees", "angle", "f", "active"),
    [
        ((0, 90, 180), 45.0, 4 * (-1 + 0) - 4 * 0, 0),
        ((0, 90, 45), 45.0, 4 * math.sqrt(2) - 4 * 0, 1),
        ((0, 90, 45), 60.0, 12 * math.sqrt(2) - 8 * 0, 1),
        ((0, 60, 180), 30.0, 4 / 3 * (-1 - 0.5) - 8 / 3 * 0.5, 0),
    ],
)
def test_angular_by_hand_on_the_circle(degrees, angle, f, active):
    result = AngularLoss(angle)(Embedded(circle(*degrees), torch.tensor([0, 0, 1]), distance=Cosine()))
    assert plain(result) == pytest.approx(math.log1p(math.exp(f)))
    assert facts(result) == (active, 1)


def test_angular_is_active_where_the_angle_at_the_negative_is_too_large():
    z = circle(*torch.rand(60, generator=torch.Generator().manual_seed(0)).mul(360).tolist()).view(20, 3, 2)
    for anchor, positive, negative in z:
        middle = (anchor + positive) / 2
        seen = math.degrees(math.atan((anchor - positive).norm() / 2 / (negative - middle).norm()))
        for angle in (seen - 0.1, seen + 0.1):
            e = Embedded(torch.stack([anchor, positive, negative]), torch.tensor([0, 0, 1]), distance=Cosine())
            assert facts(AngularLoss(angle)(e)) == (int(angle < seen), 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("angle", [20.0, 45.0, 70.0])
@each("size", GRID)
def test_angular_is_pytorch_metric_learnings(size, angle, dtype):
    z, labels = problem(*size, dtype)
    theirs = pml_losses.AngularLoss(angle)(F.normalize(z), labels)  # it does not normalise the negatives itself
    assert plain(AngularLoss(angle)(Embedded(z, labels, distance=Cosine()))) == pytest.approx(
        plain(theirs), **tolerance(dtype)
    )


@pytest.mark.parametrize("share", ANCHORS)
@each("size", GRID)
def test_angular_is_the_written_out_one(size, share):
    z, labels = problem(*size, torch.float64)
    (anchors, rows), unit, square = rows_of(z, share), F.normalize(z), math.tan(math.radians(40)) ** 2
    cost = []
    for a in anchors:
        positives, negatives = split(rows, labels, a)
        for p in set(positives) & set(anchors):  # rows of a memory are negatives only
            dots = [
                4 * square * (unit[a] + unit[p]) @ unit[n] - 2 * (1 + square) * unit[a] @ unit[p] for n in negatives
            ]
            cost.append(math.log(1 + sum(map(math.exp, dots))))
    result = AngularLoss(40.0)(Embedded(z, labels, anchors=len(anchors), distance=Cosine()))
    assert plain(result) == pytest.approx(mean(cost))
    assert facts(result)[1] == len(cost) // 2


# lifted


def test_lifted_by_hand_on_the_circle():
    z, labels = circle(0, 60, 180), torch.tensor([0, 0, 1])  # chords 1 (same), 2 and sqrt 3
    j = math.log(math.exp(1.5 - 2) + math.exp(1.5 - math.sqrt(3))) + 1
    result = LiftedLoss(margin=1.5)(Embedded(z, labels))
    assert plain(result) == pytest.approx(j**2 / 2)
    assert facts(result) == (1, 1)
    result = LiftedLoss(margin=0.9, form="generalised")(Embedded(z, labels))
    assert plain(result) == pytest.approx((0 + 1 + 0.9 - math.sqrt(3)) / 2)  # 1 + 0.9 - 2 costs nothing
    assert facts(result) == (1, 2)


def test_lifted_costs_nothing_where_all_negatives_are_far():
    for form, count in (("lifted", 1), ("generalised", 2)):
        result = LiftedLoss(margin=1.0, form=form)(Embedded(line(0, 1, 9), torch.tensor([0, 0, 1])))
        assert plain(result) == 0
        assert facts(result) == (0, count)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("margin", [0.2, 1.0, 4.0])
@each("size", GRID)
def test_lifted_is_pytorch_metric_learnings(size, margin, dtype):
    z, labels = problem(*size, dtype)
    e = Embedded(z, labels)
    theirs = pml_losses.LiftedStructureLoss(neg_margin=margin, distance=LP)(z, labels)
    assert plain(LiftedLoss(margin)(e)) == pytest.approx(plain(theirs), **tolerance(dtype))
    theirs = theirs_of(
        pml_losses.GeneralizedLiftedStructureLoss(neg_margin=margin, distance=LP, reducer=EACH), z, labels
    )
    counted = [cost for cost, a in zip(theirs, range(len(z)), strict=True) if all(split(range(len(z)), labels, a))]
    # it counts anchors without a positive, too
    assert plain(LiftedLoss(margin, "generalised")(e)) == pytest.approx(mean(counted), **tolerance(dtype))


@pytest.mark.parametrize("share", ANCHORS)
@each("size", GRID)
def test_lifted_is_the_written_out_one(size, share):
    z, labels = problem(*size, torch.float64)
    (anchors, rows), d = rows_of(z, share), chords(z)
    pairs, single = [], []
    for a in anchors:
        positives, negatives = split(rows, labels, a)
        push = sum(math.exp(1.0 - d[a][n]) for n in negatives)
        for p in set(positives) & set(anchors):
            other = sum(math.exp(1.0 - d[p][n]) for n in split(rows, labels, p)[1])
            pairs.append(max(0.0, math.log(push + other) + d[a][p]) ** 2 / 2)
        if positives:
            single.append(max(0.0, math.log(sum(math.exp(d[a][p]) for p in positives)) + math.log(push)))
    for form, cost, count in (("lifted", pairs, len(pairs) // 2), ("generalised", single, len(single))):
        result = LiftedLoss(1.0, form)(Embedded(z, labels, anchors=len(anchors)))
        assert plain(result) == pytest.approx(mean(cost))
        assert facts(result)[1] == count


# n pair


def test_n_pair_by_hand_on_the_circle():
    result = NPairLoss(temperature=0.5)(
        Embedded(circle(0, 60, 90, 180, 270), torch.tensor([0, 0, 1, 1, 2]), distance=Cosine())
    )
    # each anchor's negatives of a class as one: exp of twice the cosine, averaged
    e, c = math.exp, 2 * math.cos(math.radians(30))
    sums = [
        (e(0) + e(-2)) / 2 + e(0),
        (e(c) + e(-1)) / 2 + e(-c),
        (e(0) + e(c)) / 2 + e(-2),
        (e(-2) + e(-1)) / 2 + e(0),
    ]
    near = [e(1), e(1), e(0), e(0)]  # the cosines to the positives: 1/2, 1/2, 0, 0
    assert plain(result) == pytest.approx(mean([math.log(1 + s / n) for s, n in zip(sums, near, strict=True)]))
    # 60 is nearer to 90 than to 0, 90 nearer to 60 than to 180, 180 as near to 270 as to 90
    assert facts(result) == (
        3,
        4,
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [2, 5, 12])
def test_n_pair_is_pytorch_metric_learnings_on_one_pair_a_class(classes, dtype):
    z, _ = problem(2 * classes, classes, 16, dtype)
    labels, distance = torch.arange(classes).repeat(2), pml_distances.CosineSimilarity()
    theirs = theirs_of(pml_losses.NPairsLoss(distance=distance, reducer=EACH), z, labels)
    for i in range(classes):  # its negatives are the other classes' positives
        rows = [i, *range(classes, 2 * classes)]
        ours = NPairLoss(1.0)(Embedded(z[rows], labels[rows], anchors=1, distance=Cosine()))
        assert plain(ours) == pytest.approx(theirs[i], **tolerance(dtype))
        assert facts(ours)[1] == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("share", ANCHORS)
@pytest.mark.parametrize("temperature", [0.05, 0.5, 3.0])
@each("size", GRID)
def test_n_pair_is_the_written_out_one(size, temperature, share, dtype):
    z, labels = problem(*size, dtype)
    (anchors, rows), d, names = rows_of(z, share), cosines(z), labels.tolist()
    cost = []
    for a in anchors:
        positives, negatives = split(rows, names, a)
        others = [
            mean([math.exp(-d[a][n] / temperature) for n in negatives if names[n] == c])
            for c in set(names) - {names[a]}
        ]
        cost += [math.log(1 + math.exp(d[a][p] / temperature) * sum(others)) for p in positives]
    result = NPairLoss(temperature)(Embedded(z, labels, anchors=len(anchors), distance=Cosine()))
    assert plain(result) == pytest.approx(mean(cost), **tolerance(dtype))
    assert facts(result)[1] == len(cost)


# smooth AP and fast AP


def test_smooth_ap_by_hand():
    result = SmoothAPLoss(temperature=2.0)(Embedded(line(0, 1, 3, 2), torch.tensor([0, 0, 0, 1])))

    def s(x):
        return 1 / (1 + math.exp(-x / 2))

    # distances to the two positives, then to the negative; of 0: 1 3, 2; of 1: 1 2, 1; of 3: 3 2, 1
    precision = [
        (1 + s(p - q)) / (1 + s(p - q) + s(p - n))
        for p, q, n in [(1, 3, 2), (3, 1, 2), (1, 2, 1), (2, 1, 1), (3, 2, 1), (2, 3, 1)]
    ]
    assert plain(result) == pytest.approx(1 - mean(precision))
    assert facts(result) == (3, 3)


def test_fast_ap_by_hand_on_the_circle():
    result = FastAPLoss(bins=2)(Embedded(circle(0, 60, 120, 180), torch.tensor([0, 0, 1, 2]), distance=Cosine()))
    # bins at 0, 1, 2; from 0 degrees: positive at 1/2, others at 3/2 and 2; from 60: positive at 1/2, others at 1/2 and
    # 3/2
    first = 0.5 * 0.5 / 0.5 + 0.5 * 1 / (0.5 + 1)
    second = 0.5 * 0.5 / 1 + 0.5 * 1 / (1 + 0.5 + 0.5 + 0.5)
    assert plain(result) == pytest.approx(1 - (first + second) / 2)
    assert facts(result) == (1, 2)  # only 60 degrees has a stranger as near as its positive


def average_precision(z, labels, share):
    """The exact ones of the anchors that have a positive and a negative, by scikit-learn."""
    (anchors, rows), d, found = rows_of(z, share), cosines(z), []
    for a in anchors:
        if all(split(rows, labels, a)):
            others = [j for j in rows if j != a]
            found.append(
                average_precision_score([int(labels[j] == labels[a]) for j in others], [-d[a][j] for j in others])
            )
    return found


@pytest.mark.parametrize("share", ANCHORS)
@each("size", GRID)
def test_smooth_ap_comes_near_the_average_precision(size, share):
    z, labels = problem(*size, torch.float64)
    exact = average_precision(z, labels, share)
    e = Embedded(z, labels, anchors=len(rows_of(z, share)[0]), distance=Cosine())
    result = SmoothAPLoss(temperature=1e-7)(e)
    assert plain(result) == pytest.approx(1 - mean(exact) if exact else 0.0, abs=1e-6)
    assert facts(result) == facts(FastAPLoss()(e)) == (sum(value < 1 for value in exact), len(exact))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("temperature", [0.05, 0.5, 3.0])
@each("size", GRID)
def test_smooth_ap_is_the_written_out_one(size, temperature, dtype):
    z, labels = problem(*size, dtype)
    d, found = cosines(z), []
    for a in range(len(z)):
        positives, negatives = split(range(len(z)), labels, a)
        precision = []
        for p in positives:
            before = [1 / (1 + math.exp((d[a][q] - d[a][p]) / temperature)) for q in positives + negatives]
            among = sum(before[: len(positives)]) + 0.5  # the positive stands before itself by one half
            precision.append(among / (among + sum(before[len(positives) :])))
        if positives:
            found.append(1 - mean(precision))
    assert plain(SmoothAPLoss(temperature)(Embedded(z, labels, distance=Cosine()))) == pytest.approx(
        mean(found), **tolerance(dtype)
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("temperature", [0.05, 0.5])
@pytest.mark.parametrize("each", [2, 3, 5])
def test_smooth_ap_is_pytorch_metric_learnings(each, temperature, dtype):
    """It finds the query itself, too; is right only with as many images a class as there are classes, in order; and is
    float32.
    """
    z, _ = problem(each * each, 2, 5, dtype)
    labels = torch.arange(each).repeat_interleave(each)
    theirs = theirs_of(pml_losses.SmoothAPLoss(temperature, reducer=EACH), z, labels, "ap_loss")
    for i in range(len(z)):
        e = Embedded(torch.cat([z[i : i + 1], z]), torch.cat([labels[i : i + 1], labels]), anchors=1, distance=Cosine())
        assert plain(SmoothAPLoss(temperature)(e)) == pytest.approx(theirs[i], **tolerance(torch.float32))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bins", [1, 4, 10, 25])
@each("size", GRID)
def test_fast_ap_is_pytorch_metric_learnings(size, bins, dtype):
    z, labels = problem(*size, dtype)
    theirs = pml_losses.FastAPLoss(bins)(z, labels)
    assert plain(FastAPLoss(bins)(Embedded(z, labels, distance=Cosine()))) == pytest.approx(
        plain(theirs), **tolerance(dtype)
    )


# constructors


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        *(
            (QuadrupletLoss, {key: bad}, f"{key} must be > 0, got")
            for key in ("margin", "second")
            for bad in (0.0, -1.0, math.nan)
        ),
        (QuadrupletLoss, {"average": "mean"}, "average must be active or all, got 'mean'"),
        *((AngularLoss, {"angle": bad}, r"angle must lie in \(0, 90\), got") for bad in (0.0, -1.0, 90.0, math.nan)),
        *((LiftedLoss, {"margin": bad}, "margin must be > 0, got") for bad in (0.0, -1.0, math.nan)),
        (LiftedLoss, {"form": "general"}, "form must be lifted or generalised, got 'general'"),
        *(
            (kind, {"temperature": bad}, "temperature must be > 0, got")
            for kind in (NPairLoss, SmoothAPLoss)
            for bad in (0.0, -1.0, math.nan)
        ),
        *((FastAPLoss, {"bins": bad}, "bins must be >= 1, got") for bad in (0, -1)),
    ],
)
def test_bad_values_are_refused(kind, values, words):
    with pytest.raises(ValueError, match=words):
        kind(**values)
