"""Softmax over the batch: nt_xent, supcon with the sum inside, multi_similarity, circle; by hand and against
references.
"""

import math

import pytest
import torch
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning import miners as pml_miners
from pytorch_metric_learning import reducers as pml_reducers

from siamese_lab.distances.cosine import Cosine
from siamese_lab.losses.circle import CircleLoss
from siamese_lab.losses.multi_similarity import MultiSimilarityLoss
from siamese_lab.losses.nt_xent import NTXentLoss
from siamese_lab.losses.supcon import SupConLoss
from siamese_lab.structures.embedded import Embedded
from tests._each import each
from tests.losses._references import GRID, LABELS, circle, plain, points, problem, tolerance

E = math.exp
C30 = math.cos(math.radians(30))
FOUR = circle(0, 60, 90, 180), torch.tensor([0, 0, 1, 0])  # cosines: 0-1 .5, 0-2 0, 0-3 -1, 1-2 cos 30, 1-3 -.5, 2-3 0


def on_cosines(z, labels):
    return Embedded(z, labels, distance=Cosine())


def cosine(z):
    z = z.double() / z.double().norm(dim=1, keepdim=True)
    return (z @ z.T).tolist()


def kinds(labels, i):
    others = [j for j in range(len(labels)) if j != i]
    return [j for j in others if labels[j] == labels[i]], [j for j in others if labels[j] != labels[i]]


# by hand, on points of the circle


def test_nt_xent_by_hand():
    value, facts = NTXentLoss(temperature=0.5)(on_cosines(*FOUR))
    # each ordered pair of the label 0 against its anchor's one negative, at 90 degrees: cosines 0, cos 30 and 0
    pairs = [(0.5, 0.0), (-1.0, 0.0), (0.5, C30), (-0.5, C30), (-1.0, 0.0), (-0.5, 0.0)]
    expected = sum(-math.log(E(p / 0.5) / (E(p / 0.5) + E(n / 0.5))) for p, n in pairs) / 6
    assert plain(value) == pytest.approx(expected)
    assert (int(facts["active"]), int(facts["tuples"])) == (5, 6)  # only 0-60 is nearer than the negative, seen from 0


def test_nt_xent_with_two_images_a_class_is_simclrs():
    z, labels = circle(0, 40, 100, 150), torch.tensor([0, 0, 1, 1])
    value, _ = NTXentLoss(temperature=0.3)(on_cosines(z, labels))
    s = [[E(c / 0.3) for c in row] for row in cosine(z)]
    shares = [s[i][i ^ 1] / sum(s[i][j] for j in range(4) if j != i) for i in range(4)]
    assert plain(value) == pytest.approx(-sum(map(math.log, shares)) / 4)


def test_supcon_with_the_sum_inside_by_hand():
    value, facts = SupConLoss(temperature=0.5, sum="in")(on_cosines(*FOUR))
    sums = [E(1.0) + E(0.0) + E(-2.0), E(1.0) + E(2 * C30) + E(-1.0), E(-2.0) + E(-1.0) + E(0.0)]
    means = [(E(1.0) + E(-2.0)) / 2, (E(1.0) + E(-1.0)) / 2, (E(-2.0) + E(-1.0)) / 2]
    assert plain(value) == pytest.approx(-sum(math.log(m / s) for m, s in zip(means, sums, strict=True)) / 3)
    assert (int(facts["active"]), int(facts["tuples"])) == (2, 3)


def test_multi_similarity_by_hand():
    value, facts = MultiSimilarityLoss(alpha=2.0, beta=10.0, base=0.5, epsilon=None)(on_cosines(*FOUR))
    positives = [[0.5, -1.0], [0.5, -0.5], [], [-1.0, -0.5]]
    negatives = [[0.0], [C30], [0.0, C30, 0.0], [0.0]]
    expected = [
        math.log(1 + sum(E(-2 * (s - 0.5)) for s in near)) / 2 + math.log(1 + sum(E(10 * (s - 0.5)) for s in far)) / 10
        for near, far in zip(positives, negatives, strict=True)
    ]
    assert plain(value) == pytest.approx(sum(expected) / 4)
    assert (int(facts["active"]), int(facts["tuples"])) == (12, 12)


def test_multi_similarity_mines_by_hand():
    value, facts = MultiSimilarityLoss(alpha=2.0, beta=10.0, base=0.5, epsilon=0.1)(on_cosines(*FOUR))
    # the anchor at 0: its negative (0) is above its worst positive (-1), of its positives (.5, -1) only -1 is below the
    # negative; at 60: the negative (cos 30) exceeds both positives; at 180: positives -1 and -.5, both below the
    # negative (0)
    left = [([-1.0], [0.0]), ([0.5, -0.5], [C30]), ([-1.0, -0.5], [0.0])]
    expected = [
        math.log(1 + sum(E(-2 * (s - 0.5)) for s in p)) / 2 + math.log(1 + sum(E(10 * (s - 0.5)) for s in n)) / 10
        for p, n in left
    ]
    assert plain(value) == pytest.approx(sum(expected) / 3)
    assert (int(facts["active"]), int(facts["tuples"])) == (8, 9)


def test_circle_by_hand():
    value, facts = CircleLoss(margin=0.25, scale=4.0)(on_cosines(*FOUR))
    expected = []
    for near, far in (([0.5, -1.0], [0.0]), ([0.5, -0.5], [C30]), ([-1.0, -0.5], [0.0])):
        pull = sum(E(-4 * max(0.0, 1.25 - s) * (s - 0.75)) for s in near)
        push = sum(E(4 * max(0.0, s + 0.25) * (s - 0.25)) for s in far)
        expected.append(math.log(1 + pull * push))
    assert plain(value) == pytest.approx(sum(expected) / 3)
    assert (int(facts["active"]), int(facts["tuples"])) == (3, 3)


def test_circle_is_at_rest_where_all_pairs_reach_their_aims():
    value, facts = CircleLoss(margin=0.25, scale=256.0)(on_cosines(circle(0, 1, 180, 181), torch.tensor([0, 0, 1, 1])))
    assert (plain(value), int(facts["active"]), int(facts["tuples"])) == (pytest.approx(0.0, abs=1e-6), 0, 4)


def test_circles_gradient_is_that_with_its_weights_held():
    """Eq. 8 of the paper: the weights a_p and a_n carry no gradient."""
    margin, scale = 0.4, 8.0
    held = 1.0 - Cosine().matrix(points().detach(), points().detach())
    positives, negatives = (LABELS[:, None] == LABELS) & ~torch.eye(8, dtype=torch.bool), LABELS[:, None] != LABELS

    def value(z):
        s = 1.0 - Cosine().matrix(z, z)
        pull = (-scale * (1 + margin - held).clamp(min=0) * (s - 1 + margin)).exp().mul(positives).sum(1)
        push = (scale * (held + margin).clamp(min=0) * (s - margin)).exp().mul(negatives).sum(1)
        return (1 + pull * push).log()[positives.any(1)].mean()

    z = points()
    assert torch.autograd.gradcheck(value, (z,))
    (expected,) = torch.autograd.grad(value(z), z)
    loss, _ = CircleLoss(margin, scale)(Embedded(z, LABELS, distance=Cosine()))
    (gradient,) = torch.autograd.grad(loss, z)
    torch.testing.assert_close(gradient, expected)


# against independent references, over a grid


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [0.05, 0.5, 3.0])
@each("size", GRID)
def test_nt_xent_is_pytorch_metric_learnings(size, temperature, dtype):
    z, labels = problem(*size, dtype)
    theirs = pml_losses.NTXentLoss(temperature)(z, labels)
    assert plain(NTXentLoss(temperature)(on_cosines(z, labels))[0]) == pytest.approx(plain(theirs), **tolerance(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [0.05, 0.5, 3.0])
@each("size", GRID)
def test_supcon_with_the_sum_inside_is_the_written_out_one(size, temperature, dtype):
    z, labels = problem(*size, dtype)
    s, expected = cosine(z), []
    for i in range(len(z)):
        near, far = kinds(labels, i)
        share = [E((s[i][j] - 1) / temperature) for j in near]
        if near:
            expected.append(
                -math.log(sum(share) / len(near) / (sum(share) + sum(E((s[i][j] - 1) / temperature) for j in far)))
            )
    ours = plain(SupConLoss(temperature, "in")(on_cosines(z, labels))[0])
    assert ours == pytest.approx(sum(expected) / max(1, len(expected)), **tolerance(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("base", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("epsilon", [None, 0.0, 0.1, 0.7])
@each("size", GRID)
def test_multi_similarity_is_pytorch_metric_learnings(size, epsilon, base, dtype):
    z, labels = problem(*size, dtype)
    miner = pml_miners.MultiSimilarityMiner(epsilon) if epsilon is not None else None
    theirs = pml_losses.MultiSimilarityLoss(alpha=2, beta=40, base=base)(z, labels, miner(z, labels) if miner else None)
    both = sum(all(kinds(labels, i)) for i in range(len(z))) if miner else len(z)  # they average over all anchors
    ours = plain(MultiSimilarityLoss(2.0, 40.0, base, epsilon)(on_cosines(z, labels))[0])
    assert ours == pytest.approx(plain(theirs) * len(z) / max(1, both), **tolerance(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("margin", "scale"), [(0.4, 80.0), (0.25, 256.0), (0.1, 1.0)])
@each("size", GRID)
def test_circle_is_pytorch_metric_learnings(size, margin, scale, dtype):
    z, labels = problem(*size, dtype)
    # by default without zeros by underflow
    theirs = pml_losses.CircleLoss(margin, scale, reducer=pml_reducers.MeanReducer())(z, labels)
    both = sum(all(kinds(labels, i)) for i in range(len(z)))  # they average over all anchors
    ours = plain(CircleLoss(margin, scale)(on_cosines(z, labels))[0])
    assert ours == pytest.approx(plain(theirs) * len(z) / max(1, both), **tolerance(dtype))


# other distances, constructors


@pytest.mark.parametrize("kind", [NTXentLoss, SupConLoss, MultiSimilarityLoss, CircleLoss])
def test_they_work_on_other_distances(kind):
    value, facts = kind()(Embedded(points(), LABELS))  # Euclidean
    value.backward()
    assert value.isfinite()
    assert int(facts["active"]) > 0


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan])
@pytest.mark.parametrize(
    ("kind", "key"),
    [(NTXentLoss, "temperature"), (MultiSimilarityLoss, "alpha"), (MultiSimilarityLoss, "beta"), (CircleLoss, "scale")],
)
def test_bad_ranges_are_refused(kind, key, bad):
    with pytest.raises(ValueError, match=f"{key} must be > 0, got {bad}"):
        kind(**{key: bad})


@pytest.mark.parametrize(
    ("kind", "key", "bad"),
    [
        (CircleLoss, "margin", 0.0),
        (CircleLoss, "margin", math.nan),
        (MultiSimilarityLoss, "epsilon", -0.1),
        (SupConLoss, "sum", "inside"),
    ],
)
def test_other_bad_values_are_refused(kind, key, bad):
    with pytest.raises(ValueError, match=f"{key} must .*, got '?{bad}"):
        kind(**{key: bad})
