"""prototypical and matching: by hand and against written-out references. And weighted_sum."""

import math

import pytest
import torch

from siamese_lab.config.compose import compose
from siamese_lab.distances.cosine import Cosine
from siamese_lab.distances.squared_euclidean import SquaredEuclidean
from siamese_lab.losses.contrastive import ContrastiveLoss
from siamese_lab.losses.matching import MatchingLoss
from siamese_lab.losses.norm_softmax import NormSoftmaxLoss
from siamese_lab.losses.prototypical import PrototypicalLoss
from siamese_lab.losses.supcon import SupConLoss
from siamese_lab.losses.triplet import TripletLoss
from siamese_lab.losses.weighted_sum import WeightedSum
from siamese_lab.structures.contracts import Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Episode
from tests.losses._references import LABELS, circle, plain, points, problem, tolerance

E = math.exp


def test_prototypical_by_hand():
    z = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 3.0], [1.0, 1.0], [0.0, 2.0]], dtype=torch.float64)
    labels = torch.tensor([5, 5, 2, 5, 5])
    # two images of label 5 have the mean (1, 0), label 2 stands at (0, 3); squared distances of the queries: 1 and 5; 5
    # and 1
    value, facts = PrototypicalLoss(temperature=2.0)(
        Embedded(z, labels, distance=SquaredEuclidean()), Episode(torch.tensor([0, 1, 2]), torch.tensor([3, 4]))
    )
    shares = [E(-0.5) / (E(-0.5) + E(-2.5)), E(-2.5) / (E(-0.5) + E(-2.5))]
    assert plain(value) == pytest.approx(-(math.log(shares[0]) + math.log(shares[1])) / 2)
    assert (int(facts["active"]), int(facts["tuples"])) == (1, 2)


def test_matching_by_hand():
    z, labels = circle(0, 90, 180, 60), torch.tensor([0, 1, 0, 0])
    value, facts = MatchingLoss(temperature=0.5)(
        Embedded(z, labels, distance=Cosine()), Episode(torch.tensor([0, 1, 2]), torch.tensor([3]))
    )
    a, b, c = E(2 * 0.5), E(2 * math.cos(math.radians(30))), E(2 * -0.5)
    assert plain(value) == pytest.approx(-math.log((a + c) / (a + b + c)))
    assert (int(facts["active"]), int(facts["tuples"])) == (1, 1)  # its nearest neighbour is the stranger at 90


@pytest.mark.parametrize("kind", [PrototypicalLoss, MatchingLoss])
def test_without_an_episode_the_first_of_each_class_is_the_support(kind):
    # the third row shows the first image again
    z, labels, ids = (
        points(),
        LABELS,
        torch.tensor([0, 1, 0, 3, 4, 5, 6, 7]),
    )
    value, facts = kind()(Embedded(z, labels, ids))
    expected, _ = kind()(Embedded(z, labels, ids), Episode(torch.tensor([0, 3, 5, 7]), torch.tensor([1, 4, 6])))
    assert torch.equal(value, expected)
    assert int(facts["tuples"]) == 3


@pytest.mark.parametrize("kind", [PrototypicalLoss, MatchingLoss])
def test_queries_of_a_class_without_support_do_not_count(kind):
    e = Embedded(points(), LABELS)
    value, facts = kind()(e, Episode(torch.tensor([0, 3]), torch.tensor([1, 4, 6, 7])))
    expected, _ = kind()(e, Episode(torch.tensor([0, 3]), torch.tensor([1, 4])))
    torch.testing.assert_close(value, expected)
    assert int(facts["tuples"]) == 2


@pytest.mark.parametrize("kind", [PrototypicalLoss, MatchingLoss])
def test_support_and_queries_both_get_gradients(kind):
    z = points()
    kind()(Embedded(z, LABELS), Episode(torch.tensor([0, 1, 3, 5]), torch.tensor([2, 4])))[0].backward()
    assert z.grad.abs().sum(1).gt(0).tolist() == [True] * 6 + [False] * 2


EPISODES = [(way, shot, dim) for way in (2, 5) for shot in (1, 3) for dim in (2, 16)]


def episode(way, shot, dim, dtype):
    """A random episode with two queries a class, in one random order."""
    z, labels = problem(way * (shot + 2), way, dim, dtype)
    return z, labels, Episode(torch.arange(way * shot), torch.arange(way * shot, way * (shot + 2)).flip(0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [0.2, 1.0])
@pytest.mark.parametrize("size", EPISODES)
def test_prototypical_is_the_written_out_one(size, temperature, dtype):
    z, labels, (support, query) = episode(*size, dtype)
    expected = 0.0
    for q in query.tolist():
        means = {c: z.double()[support][labels[support] == c].mean(0).tolist() for c in range(size[0])}
        near = {c: E(-(math.dist(z[q].double().tolist(), mean) ** 2) / temperature) for c, mean in means.items()}
        expected -= math.log(near[int(labels[q])] / sum(near.values())) / len(query)
    ours, _ = PrototypicalLoss(temperature)(Embedded(z, labels, distance=SquaredEuclidean()), Episode(support, query))
    assert plain(ours) == pytest.approx(expected, **tolerance(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
@pytest.mark.parametrize("size", EPISODES)
def test_matching_is_the_written_out_one(size, temperature, dtype):
    z, labels, (support, query) = episode(*size, dtype)
    expected = 0.0
    for q in query.tolist():
        a, b = z[q].double(), z[support].double()
        attention = [E(float(a @ one / (a.norm() * one.norm()) - 1) / temperature) for one in b]
        own = sum(weight for weight, label in zip(attention, labels[support], strict=True) if label == labels[q])
        expected -= math.log(own / sum(attention)) / len(query)
    ours, _ = MatchingLoss(temperature)(Embedded(z, labels, distance=Cosine()), Episode(support, query))
    assert plain(ours) == pytest.approx(expected, **tolerance(dtype))


def test_with_one_shot_the_two_are_the_same():
    z, labels, tuples = episode(5, 1, 4, torch.float64)
    e = Embedded(z, labels, distance=SquaredEuclidean())
    torch.testing.assert_close(PrototypicalLoss(0.3)(e, tuples)[0], MatchingLoss(0.3)(e, tuples)[0])


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan])
@pytest.mark.parametrize("kind", [PrototypicalLoss, MatchingLoss])
def test_bad_temperatures_are_refused(kind, bad):
    with pytest.raises(ValueError, match=f"temperature must be > 0, got {bad}"):
        kind(bad)


# weighted_sum


def test_a_weighted_sum_is_one():
    parts = {"near": SupConLoss(0.3), "far": ContrastiveLoss(2.0)}
    loss = WeightedSum(parts, {"near": 0.5, "far": 3.0})
    value, facts = loss(Embedded(points(), LABELS))
    (near, near_facts), (far, far_facts) = (part(Embedded(points(), LABELS)) for part in parts.values())
    torch.testing.assert_close(value, 0.5 * near + 3.0 * far)
    torch.testing.assert_close((facts["loss/near"], facts["loss/far"]), (near.detach(), far.detach()))
    assert facts["tuples"] == near_facts["tuples"] + far_facts["tuples"]
    assert facts["active"] == near_facts["active"] + far_facts["active"]


def test_a_weighted_sum_without_a_valid_tuple_is_a_zero_with_a_graph():
    z = points()[:1].detach().requires_grad_()
    loss = WeightedSum({"near": SupConLoss(0.3), "far": ContrastiveLoss(2.0)}, {"near": 1.0, "far": 1.0})
    value, facts = loss(Embedded(z, LABELS[:1]))
    value.backward()
    assert (plain(value), int(facts["tuples"]), z.grad.abs().sum()) == (0.0, 0, 0.0)


@pytest.mark.parametrize(
    ("parts", "consumes", "uses_memory"),
    [
        ([SupConLoss()], "labels", True),
        ([NormSoftmaxLoss(dim=2, classes=2)], "labels", False),
        ([NormSoftmaxLoss(dim=2, classes=2), SupConLoss()], "labels", True),
        ([SupConLoss(), ContrastiveLoss()], "pairs", True),
        ([TripletLoss(), ContrastiveLoss(), SupConLoss()], "triplets", True),
        ([PrototypicalLoss(), SupConLoss()], "episodes", True),
        ([PrototypicalLoss(), MatchingLoss()], "episodes", False),
    ],
)
def test_it_eats_what_its_most_demanding_part_eats(parts, consumes, uses_memory):
    named = {f"part{i}": part for i, part in enumerate(parts)}
    loss = WeightedSum(named, dict.fromkeys(named, 1.0))
    assert (loss.consumes, loss.uses_memory) == (consumes, uses_memory)
    assert (Property.NON_NEGATIVE in loss.requires) == any(isinstance(part, ContrastiveLoss) for part in parts)


def test_parts_that_do_not_go_together_are_refused():
    with pytest.raises(ValueError, match="parts do not go together: a consumes episodes, b consumes pairs"):
        WeightedSum({"a": PrototypicalLoss(), "b": ContrastiveLoss()}, {"a": 1.0, "b": 1.0})


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"a": 1.0}, "weights must name the same losses as parts, got weights for a: the parts are a, b"),
        ({"a": 1.0, "b": -1.0}, "weights.b must be >= 0, got -1.0"),
        ({"a": 1.0, "b": math.nan}, "weights.b must be >= 0, got nan"),
        ({"a": 0.0, "b": 0.0}, "weights are all 0"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights, words):
    with pytest.raises(ValueError, match=words):
        WeightedSum({"a": SupConLoss(), "b": ContrastiveLoss()}, weights)


@pytest.mark.parametrize("name", ["items", "two words", "a.b"])
def test_names_that_modules_cannot_have_are_refused(name):
    with pytest.raises(ValueError, match="choose another name"):
        WeightedSum({name: SupConLoss()}, {name: 1.0})


def test_a_part_is_added_on_the_command_line():
    cfg = compose(
        [
            "loss=weighted_sum",
            "+loss@loss.parts.triplet=triplet",
            "+loss.weights.triplet=2",
            "loss.parts.triplet.margin=0.5",
        ]
    )
    assert set(cfg.loss.parts) == {"supcon", "norm_softmax", "triplet"}
    assert (cfg.loss.parts.triplet.margin, cfg.loss.weights.triplet) == (0.5, 2.0)
    assert cfg.distance["_target_"].endswith("Cosine")
