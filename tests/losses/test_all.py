"""Every loss of conf/loss: values by hand, references, and what holds for all of them."""

import math
from copy import deepcopy

import pytest
import torch
from pytorch_metric_learning import distances as pml_distances
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning import reducers as pml_reducers
from torch import nn

from siamese_lab.config.groups import option_names
from siamese_lab.distances.cosine import Cosine
from siamese_lab.distances.euclidean import Euclidean
from siamese_lab.distances.squared_euclidean import SquaredEuclidean
from siamese_lab.losses.bce import BCELoss
from siamese_lab.losses.contrastive import ContrastiveLoss
from siamese_lab.losses.supcon import SupConLoss
from siamese_lab.losses.triplet import TripletLoss
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Episode, Pairs, Triplets, as_episode, as_pairs, as_triplets
from tests._each import each
from tests.losses._references import GRID, LABELS, NONE, plain, points, problem, tolerance


@pytest.fixture(params=option_names("loss"))
def name(request):
    return request.param


@pytest.fixture
def loss(name, make):
    torch.manual_seed(0)
    return make("loss", name, {"classes": 8})


@pytest.fixture
def distance(name, make, own_distance):
    return make("distance", own_distance(name))


def tuples_of(loss):
    """Nothing, in the form that the loss consumes."""
    empty = {
        "pairs": Pairs(NONE, NONE, NONE.bool()),
        "triplets": Triplets(NONE, NONE, NONE),
        "episodes": Episode(NONE, NONE),
    }
    return empty.get(loss.consumes)


def implied(name, loss, e):
    """All that the labels imply, in the form that the loss consumes."""
    if name == "pytorch_metric_learning":  # its pairs have a first end
        positives, negatives = e.positives().nonzero(as_tuple=True), e.negatives().nonzero(as_tuple=True)
        left, right = map(torch.cat, zip(positives, negatives, strict=True))
        return Pairs(left, right, e.labels[left] == e.labels[right])
    return {"pairs": as_pairs, "triplets": as_triplets, "episodes": as_episode}[loss.consumes](e, None)


def classifies(loss):
    """Whether it owns class weights: then a single image is a tuple."""
    return loss.consumes == "labels" and not getattr(loss, "uses_memory", True)


def counts(facts):
    """The facts without the values of parts."""
    return {key: fact for key, fact in facts.items() if not key.startswith("loss/")}


# what holds for every loss


def test_value_gradient_and_facts(loss, distance):
    z = points()
    value, facts = loss(Embedded(z, LABELS, distance=distance))
    value.backward()
    assert (value.shape, value.dtype, set(counts(facts))) == ((), torch.float64, {"active", "tuples"})
    assert value.isfinite()
    assert z.grad.isfinite().all()
    assert z.grad.abs().sum() > 0
    assert all(not fact.is_floating_point() and fact.shape == () for fact in counts(facts).values())
    assert set(facts) - set(counts(facts)) == {f"loss/{part}" for part in getattr(loss, "parts", {})}
    assert all(not fact.requires_grad and fact.shape == () for fact in facts.values())
    assert 0 < facts["active"] <= facts["tuples"]
    single, _ = loss.float()(Embedded(z.detach().float(), LABELS, distance=distance.float()))
    assert single.dtype == torch.float32
    assert float(single.detach()) == pytest.approx(float(value.detach()), rel=1e-4)


def test_gradients_are_right(name, loss, distance):
    if name == "circle":
        pytest.skip("its weights carry no gradient: test_losses_of_labels.py checks it with these held")
    loss, distance = loss.double(), distance.double()

    def value(z, *_):
        return loss(Embedded(z, LABELS, distance=distance))[0]

    assert torch.autograd.gradcheck(value, (points(), *loss.parameters(), *distance.parameters()))


def test_steps_along_the_gradient_lower_it(loss, distance):
    z = points(dtype=torch.float32)
    optimizer = torch.optim.Adam([z, *loss.parameters(), *distance.parameters()], lr=0.03)
    values = []
    for _ in range(60):
        value, _ = loss(Embedded(z, LABELS, distance=distance))
        values.append(float(value.detach()))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    assert values[-1] < 0.6 * values[0]


@each("dtype", [torch.float32, torch.float64])
@each(
    "labels", [[0, 0, 0, 0, 1, 1, 2, 2], [0, 0, 0, 0, 0, 0, 0, 0], [0, 1, 2, 3, 4, 5, 6, 7], [0, 0, 0, 1, 1, 1, 1, 1]]
)
@each("kind", ["random", "duplicates", "all equal", "all zero", "far"])
def test_nothing_is_ever_nan(loss, distance, dtype, labels, kind):
    loss, distance = deepcopy(loss), deepcopy(distance)  # without the gradients of the case before
    z = points(dtype=dtype).detach()
    z = {
        "random": z,
        "duplicates": z[[0, 0, 1, 2, 0, 3, 3, 2]],
        "all equal": z[:1].repeat(8, 1),
        "all zero": 0 * z,
        "far": 1e4 * z,
    }[kind]
    z.requires_grad_()
    value, _ = loss(Embedded(z, torch.tensor(labels), distance=distance))
    value.backward()
    assert value.isfinite()
    assert z.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in [*loss.parameters(), *distance.parameters()])


@pytest.mark.parametrize("case", ["one image", "one image, shown thrice", "no tuples"])
def test_without_a_valid_tuple_it_is_a_zero_with_a_graph(loss, distance, case):
    if any(map(classifies, getattr(loss, "parts", {}).values())):
        pytest.skip("no batch that has an image is without a tuple: test_losses_of_episodes.py has another sum")
    n = {"one image": 1, "one image, shown thrice": 3, "no tuples": 8}[case]
    labels, ids = (LABELS, torch.arange(8)) if case == "no tuples" else (LABELS[:n], torch.zeros(n, dtype=torch.long))
    if case == "no tuples" and loss.consumes == "labels":
        labels = torch.arange(8)
    if classifies(loss):
        n, labels, ids = 0, LABELS[:0], ids[:0]
    z = points()[:n].detach().requires_grad_()
    value, facts = loss(Embedded(z, labels, ids, distance=distance), tuples_of(loss) if case == "no tuples" else None)
    value.backward()
    assert (float(value.detach()), int(facts["active"]), int(facts["tuples"])) == (0, 0, 0)
    assert z.grad.eq(0).all()


def test_autocast_changes_nothing(loss, distance):
    z = points(dtype=torch.float32).detach()
    value, _ = loss(Embedded(z, LABELS, distance=distance))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        autocast, _ = loss(Embedded(z, LABELS, distance=distance))
        half, _ = loss(Embedded(z.bfloat16().requires_grad_(), LABELS, distance=distance))
    assert autocast.dtype == half.dtype == torch.float32
    assert torch.equal(autocast, value)
    assert half.isfinite()
    half.backward()


def test_order_of_the_batch_does_not_matter(loss, distance):
    z, order = points().detach(), torch.tensor([7, 2, 5, 0, 3, 6, 1, 4])
    e = Embedded(z, LABELS, distance=distance)
    tuples = as_episode(e, None) if loss.consumes == "episodes" else None  # which image is the support does matter
    value, facts = loss(e, tuples)
    moved = Episode(*(order.argsort()[rows].flip(0) for rows in tuples)) if tuples else None
    other, other_facts = loss(Embedded(z[order], LABELS[order], distance=distance), moved)
    torch.testing.assert_close(other, value)
    torch.testing.assert_close(facts, other_facts)


def test_all_tuples_given_are_all_tuples_implied(name, loss, distance):
    if loss.consumes == "labels":
        pytest.skip("takes no tuples")
    e = Embedded(points(), LABELS, distance=distance)
    all_of_them, facts = loss(e)
    given, given_facts = loss(Embedded(points(), LABELS, distance=distance), implied(name, loss, e))
    torch.testing.assert_close(given, all_of_them)
    assert facts == given_facts


def test_pairs_are_refused_for_triplets_and_triplets_serve_as_pairs(loss, distance):
    e, one = Embedded(points(), LABELS, distance=distance), torch.tensor([1])
    if loss.consumes in ("triplets", "episodes"):
        with pytest.raises(ValueError, match=f"consumes {loss.consumes} got pairs"):
            loss(e, Pairs(one, one + 1, one == 1))
    if loss.consumes == "episodes":
        with pytest.raises(ValueError, match="consumes episodes got triplets"):
            loss(e, Triplets(one, one + 1, one + 4))
    if loss.consumes in ("pairs", "triplets"):
        with pytest.raises(ValueError, match=f"consumes {loss.consumes} got an episode"):
            loss(e, Episode(one, one + 1))
    if loss.consumes == "pairs":
        _, facts = loss(e, Triplets(one, one + 1, one + 4))
        assert int(facts["tuples"]) == 2


def test_memory_rows_count_but_only_beside_anchors(loss, distance):
    z = points().detach()
    if not getattr(loss, "uses_memory", True):
        alone, facts = loss(Embedded(z[:5], LABELS[:5], distance=distance))
        value, with_memory = loss(Embedded(z, LABELS, anchors=5, distance=distance))
        torch.testing.assert_close(value, alone)
        assert facts == with_memory
        return
    z[3:] = -9 * z[:3].mean(0)  # the memory of three anchors holds negatives only, far from them
    _, whole = loss(Embedded(z, LABELS, distance=distance))
    far, part = loss(Embedded(z, LABELS, anchors=3, distance=distance))
    assert 0 < part["tuples"] < whole["tuples"]
    z[3:] = z[0] + 0.01  # now beside one
    near, _ = loss(Embedded(z, LABELS, anchors=3, distance=distance))
    assert float(near.detach()) > float(far.detach())


# by hand, on points


def test_contrastive_by_hand():
    z = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    # distances: 5 (same), 1 and sqrt(18) (different), margin 2
    value, facts = ContrastiveLoss(margin=2.0)(Embedded(z, torch.tensor([0, 0, 1])))
    assert float(value) == pytest.approx(5**2 + ((2 - 1) ** 2 + 0) / 2)
    assert (int(facts["active"]), int(facts["tuples"])) == (2, 3)


def test_contrastive_by_hand_on_given_pairs():
    z = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    pairs = Pairs(torch.tensor([0, 0]), torch.tensor([1, 2]), torch.tensor([False, True]))  # whatever the labels say
    value, facts = ContrastiveLoss(margin=7.0)(Embedded(z, torch.tensor([0, 0, 1])), pairs)
    assert float(value) == pytest.approx(1**2 + (7 - 5) ** 2)
    assert (int(facts["active"]), int(facts["tuples"])) == (2, 2)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # d(0, 1) = 1, d(0, 2) = 3, d(1, 2) = 2: the triplets (0, 1, 2) and (1, 0, 2) have excess -2 and -1
        ({"margin": 1.5}, 0.5),
        ({"margin": 1.5, "average": "all"}, 0.5 / 2),
        ({"margin": 4.0}, (2 + 3) / 2),
        ({"margin": 0.5}, 0.0),
        ({"form": "soft"}, (math.log1p(math.exp(-2)) + math.log1p(math.exp(-1))) / 2),
    ],
)
def test_triplet_by_hand(options, expected):
    z = torch.tensor([[0.0], [1.0], [3.0]])
    value, facts = TripletLoss(**options)(Embedded(z, torch.tensor([0, 0, 1])))
    assert float(value) == pytest.approx(expected, rel=1e-6)
    assert int(facts["tuples"]) == 2
    assert int(facts["active"]) == {1.5: 1, 4.0: 2, 0.5: 0}.get(options.get("margin", 0.2), 0)


def test_triplet_on_squared_distances_is_schroffs():
    z = torch.tensor([[0.0], [1.0], [3.0]])  # squared: 1, 9, 4
    value, _ = TripletLoss(margin=6.0)(Embedded(z, torch.tensor([0, 0, 1]), distance=SquaredEuclidean()))
    assert float(value) == pytest.approx(((1 - 4 + 6) + 0) / 1)


def test_bce_by_hand():
    z = torch.tensor([[0.0], [2.0], [3.0]])
    # distances: 2 (same), 3 and 1 (different), bias 1: logits -1, -2, 0
    value, facts = BCELoss(bias=1.0)(Embedded(z, torch.tensor([0, 0, 1])))
    expected = (math.log1p(math.exp(1)) + (math.log1p(math.exp(-2)) + math.log(2)) / 2) / 2
    assert float(value.detach()) == pytest.approx(expected)
    assert (int(facts["active"]), int(facts["tuples"])) == (1, 3)  # the same-label pair is on the wrong side


def test_bce_costs_ln_2_at_chance_whatever_the_share_of_positives():
    value, _ = BCELoss(bias=0.0)(Embedded(torch.zeros(8, 2), LABELS))
    assert float(value.detach()) == pytest.approx(math.log(2))


def test_supcon_by_hand_on_the_circle():
    angles = torch.tensor([0.0, 60.0, 90.0, 180.0]).deg2rad()
    z = torch.stack([angles.cos(), angles.sin()], 1)
    value, facts = SupConLoss(temperature=0.5)(Embedded(z, torch.tensor([0, 0, 1, 0]), distance=Cosine()))
    e = math.exp
    # cosines: 0-1 .5, 0-2 0, 0-3 -1, 1-2 cos 30, 1-3 -.5, 2-3 0; the third has no positive
    c = math.cos(math.radians(30))
    sums = [e(1.0) + e(0.0) + e(-2.0), e(1.0) + e(2 * c) + e(-1.0), e(-2.0) + e(-1.0) + e(0.0)]
    means = [(1.0 - 2.0) / 2, (1.0 - 1.0) / 2, (-2.0 - 1.0) / 2]
    assert float(value) == pytest.approx(sum(math.log(s) - m for s, m in zip(sums, means, strict=True)) / 3)
    assert int(facts["tuples"]) == 3
    assert int(facts["active"]) == 2  # the nearest of 60 and of 180 degrees is the stranger at 90


# against independent references, over a grid


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("margin", [0.1, 1.0, 4.0])
@each("size", GRID)
def test_contrastive_is_the_written_out_one(size, margin, dtype):
    z, labels = problem(*size, dtype)
    pull, push = [], []
    for i in range(len(z)):
        for j in range(i + 1, len(z)):
            d = math.dist(z[i].double().tolist(), z[j].double().tolist())
            (pull if labels[i] == labels[j] else push).append(
                d**2 if labels[i] == labels[j] else max(0.0, margin - d) ** 2
            )
    expected = sum(pull) / max(1, len(pull)) + sum(push) / max(1, len(push))
    assert plain(ContrastiveLoss(margin)(Embedded(z, labels))[0]) == pytest.approx(expected, **tolerance(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bias", [-1.0, 2.0])
@each("size", GRID)
def test_bce_is_the_written_out_one(size, bias, dtype):
    z, labels = problem(*size, dtype)
    cost = {True: [], False: []}
    for i in range(len(z)):
        for j in range(i + 1, len(z)):
            p = 1 / (1 + math.exp(math.dist(z[i].double().tolist(), z[j].double().tolist()) - bias))
            same = bool(labels[i] == labels[j])
            cost[same].append(-math.log(p if same else 1 - p))
    expected = sum(sum(kind) / max(1, len(kind)) for kind in cost.values()) / 2
    assert plain(BCELoss(bias)(Embedded(z, labels))[0]) == pytest.approx(expected, **tolerance(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("margin", [0.05, 0.5, 3.0])
@each("size", GRID)
def test_triplet_is_pytorch_metric_learnings(size, margin, dtype):
    z, labels = problem(*size, dtype)
    for form, average, reducer in (
        ("hinge", "active", pml_reducers.AvgNonZeroReducer()),
        ("hinge", "all", pml_reducers.MeanReducer()),
        ("soft", "all", pml_reducers.MeanReducer()),
        ("soft", "active", pml_reducers.MeanReducer()),  # each has a cost
    ):
        theirs = pml_losses.TripletMarginLoss(
            margin=margin if form == "hinge" else 0.0,
            smooth_loss=form == "soft",
            distance=pml_distances.LpDistance(normalize_embeddings=False),
            reducer=reducer,
        )
        ours, _ = TripletLoss(margin, form, average)(Embedded(z, labels))
        assert plain(ours) == pytest.approx(plain(theirs(z, labels)), **tolerance(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [0.05, 0.5, 3.0])
@each("size", GRID)
def test_supcon_is_pytorch_metric_learnings(size, temperature, dtype):
    z, labels = problem(*size, dtype)
    ours, _ = SupConLoss(temperature)(Embedded(z, labels, distance=Cosine()))
    theirs = pml_losses.SupConLoss(temperature)(z, labels)
    assert plain(ours) == pytest.approx(plain(theirs), **tolerance(dtype))


# constructors


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan])
@pytest.mark.parametrize(
    ("kind", "key"), [(ContrastiveLoss, "margin"), (TripletLoss, "margin"), (SupConLoss, "temperature")]
)
def test_bad_ranges_are_refused(kind, key, bad):
    with pytest.raises(ValueError, match=f"{key} must be > 0, got {bad}"):
        kind(**{key: bad})


@pytest.mark.parametrize(("key", "bad"), [("form", "hard"), ("average", "mean")])
def test_bad_words_are_refused(key, bad):
    with pytest.raises(ValueError, match=f"{key} must be .*, got '{bad}'"):
        TripletLoss(**{key: bad})


def test_every_loss_says_what_it_eats(loss):
    assert isinstance(loss, nn.Module)
    assert loss.consumes in ("pairs", "triplets", "labels", "episodes")


def test_euclidean_is_the_default_distance():
    z, labels = problem(6, 2, 3, torch.float64)
    assert torch.equal(
        ContrastiveLoss()(Embedded(z, labels))[0], ContrastiveLoss()(Embedded(z, labels, distance=Euclidean()))[0]
    )
