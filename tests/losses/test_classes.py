"""Losses with class weights: by hand and against references; arcface at the ends of its angles."""

import math

import pytest
import torch
from pytorch_metric_learning import losses as pml_losses

from siamese_lab.losses._class_weights import add_angular_margin, cosines
from siamese_lab.losses.arcface import ArcFaceLoss
from siamese_lab.losses.cosface import CosFaceLoss
from siamese_lab.losses.norm_softmax import NormSoftmaxLoss
from siamese_lab.losses.proxy_anchor import ProxyAnchorLoss
from siamese_lab.losses.proxy_nca import ProxyNCALoss
from siamese_lab.losses.soft_triple import SoftTripleLoss, center_spread
from siamese_lab.losses.sub_center_arcface import SubCenterArcFaceLoss
from siamese_lab.structures.embedded import Embedded
from tests._each import each
from tests.losses._references import GRID, circle, plain, problem, tolerance

E = math.exp
KINDS = [NormSoftmaxLoss, CosFaceLoss, ArcFaceLoss, SubCenterArcFaceLoss, SoftTripleLoss, ProxyNCALoss, ProxyAnchorLoss]


def cos(degrees):
    return math.cos(math.radians(degrees))


def with_weights(loss, weights):
    """The loss with given weights (C, D) or (C, K, D), whatever it calls them."""
    loss.double()
    (parameter,) = loss.parameters()
    parameter.data = weights.double().clone()
    return loss


def two(kind, **values):
    """Two images at 20 and 80 degrees, of classes whose weights point to 0 and 90 (of any length)."""
    loss = with_weights(kind(dim=2, classes=2, **values), circle(0, 90) * torch.tensor([[3.0], [0.5]]))
    value, facts = loss(Embedded(circle(20, 80) * 7, torch.tensor([0, 0])))
    assert (int(facts["active"]), int(facts["tuples"])) == (1, 2)
    return plain(value)


def entropy(own, other):
    return -math.log(E(own) / (E(own) + E(other)))


# by hand, on points of the circle


def test_norm_softmax_by_hand():
    expected = (entropy(cos(20) / 0.5, cos(70) / 0.5) + entropy(cos(80) / 0.5, cos(10) / 0.5)) / 2
    assert two(NormSoftmaxLoss, temperature=0.5) == pytest.approx(expected)


def test_cosface_by_hand():
    expected = (entropy(4 * (cos(20) - 0.3), 4 * cos(70)) + entropy(4 * (cos(80) - 0.3), 4 * cos(10))) / 2
    assert two(CosFaceLoss, margin=0.3, scale=4.0) == pytest.approx(expected)


def test_arcface_by_hand():
    expected = (entropy(4 * cos(20 + 30), 4 * cos(70)) + entropy(4 * cos(80 + 30), 4 * cos(10))) / 2
    assert two(ArcFaceLoss, margin=math.radians(30), scale=4.0) == pytest.approx(expected)


def test_proxy_nca_by_hand():
    def squared(degrees):
        return 2 - 2 * cos(degrees)

    others = (
        3 * squared(20) - 3 * squared(70) + 3 * squared(80) - 3 * squared(10)
    ) / 2  # with two classes the sum is one term
    assert two(ProxyNCALoss, scale=3.0) == pytest.approx(others)
    everything = (entropy(-3 * squared(20), -3 * squared(70)) + entropy(-3 * squared(80), -3 * squared(10))) / 2
    assert two(ProxyNCALoss, scale=3.0, denominator="all") == pytest.approx(everything)


def test_proxy_anchor_by_hand():
    pull = math.log(1 + E(-4 * (cos(20) - 0.1)) + E(-4 * (cos(80) - 0.1)))  # of one class with images
    push = math.log(1 + E(4 * (cos(70) + 0.1)) + E(4 * (cos(10) + 0.1))) / 2  # the first proxy pushes nothing
    assert two(ProxyAnchorLoss, margin=0.1, scale=4.0) == pytest.approx(pull + push)


def test_sub_center_arcface_by_hand():
    # the image of class 0 at 80 is 20 from the class's second center
    weights = torch.stack([circle(0, 100), circle(90, 200)])
    loss = with_weights(SubCenterArcFaceLoss(dim=2, classes=2, centers=2, margin=math.radians(30), scale=4.0), weights)
    value, facts = loss(Embedded(circle(20, 80), torch.tensor([0, 0])))
    assert plain(value) == pytest.approx((entropy(4 * cos(50), 4 * cos(70)) + entropy(4 * cos(50), 4 * cos(10))) / 2)
    assert (int(facts["active"]), int(facts["tuples"])) == (1, 2)


def test_soft_triple_by_hand():
    weights = torch.stack([circle(0, 60), circle(90, 200)])
    loss = with_weights(SoftTripleLoss(dim=2, classes=2, centers=2, scale=4.0, gamma=0.5, margin=0.1, tau=0.3), weights)
    value, _ = loss(Embedded(circle(20), torch.tensor([0])))

    def relaxed(a, b):
        return (E(a / 0.5) * a + E(b / 0.5) * b) / (E(a / 0.5) + E(b / 0.5))

    # chords of 60 and of 110 degrees
    apart = (2 * math.sin(math.radians(30)) + 2 * math.sin(math.radians(55))) / (2 * 2 * 1)
    expected = entropy(4 * (relaxed(cos(20), cos(40)) - 0.1), 4 * relaxed(cos(70), cos(180))) + 0.3 * apart
    assert plain(value) == pytest.approx(expected)


# arcface at the ends


def test_arcfaces_margin_beyond_pi_minus_margin():
    margin = 0.5
    angle = torch.linspace(0.0, math.pi, 2001, dtype=torch.float64)
    turned = add_angular_margin(angle.cos(), margin)
    near = angle < math.pi - margin
    torch.testing.assert_close(turned[near], (angle[near] + margin).cos(), rtol=0, atol=1e-7)
    torch.testing.assert_close(turned[~near], angle[~near].cos() - margin * math.sin(margin))
    assert (turned.diff()[1:] < 0).all()  # it falls everywhere, at pi - margin by a jump
    assert float(turned[~near][0] - turned[near][-1]) == pytest.approx(
        1 - math.cos(margin) * 1 - margin * math.sin(margin), abs=2e-3
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("margin", [0.0, 0.5, math.pi / 2])
def test_arcfaces_gradient_is_finite_at_cosines_of_one(dtype, margin):
    cosine = torch.tensor([-1.0, -1.0 + 1e-7, 0.0, 1.0 - 1e-7, 1.0], dtype=dtype, requires_grad=True)
    add_angular_margin(cosine, margin).sum().backward()
    assert cosine.grad.isfinite().all()
    z = circle(0, 180, 90, dtype=dtype).requires_grad_()
    loss = ArcFaceLoss(dim=2, classes=2, margin=margin)
    loss.weight.data = circle(0, 180, dtype=torch.float32)
    value, _ = loss(Embedded(z, torch.tensor([0, 0, 1])))
    value.backward()
    assert z.grad.isfinite().all()
    assert loss.weight.grad.isfinite().all()


def test_cosines_never_exceed_one():
    z = torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
    assert cosines(z, 3 * z).abs().max() <= 1.0


# against independent references, over a grid


def built(kind, size, dtype, *shape, **values):
    """A problem, our loss and its weights as the library lays them out: (D, C x K)."""
    z, labels = problem(*size, dtype)
    torch.manual_seed(1)
    loss = kind(dim=size[2], classes=size[1], **values).to(dtype)
    (weight,) = loss.parameters()
    return z, labels, loss, weight.detach().reshape(-1, size[2]).T.clone()


def same(ours, theirs, name, weights, z, labels, dtype):
    getattr(theirs, name).data = weights.clone()
    assert plain(ours(Embedded(z, labels))[0]) == pytest.approx(plain(theirs(z, labels)), **tolerance(dtype))


DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
SIZES = each("size", GRID)


@DTYPES
@SIZES
@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_norm_softmax_is_pytorch_metric_learnings(size, temperature, dtype):
    z, labels, ours, weights = built(NormSoftmaxLoss, size, dtype, temperature=temperature)
    same(ours, pml_losses.NormalizedSoftmaxLoss(size[1], size[2], temperature), "W", weights, z, labels, dtype)


@DTYPES
@SIZES
@pytest.mark.parametrize(("margin", "scale"), [(0.35, 64.0), (0.0, 1.0), (1.2, 10.0)])
def test_cosface_is_pytorch_metric_learnings(size, margin, scale, dtype):
    z, labels, ours, weights = built(CosFaceLoss, size, dtype, margin=margin, scale=scale)
    theirs = pml_losses.CosFaceLoss(num_classes=size[1], embedding_size=size[2], margin=margin, scale=scale)
    same(ours, theirs, "W", weights, z, labels, dtype)


@DTYPES
@SIZES
@pytest.mark.parametrize(("margin", "scale"), [(0.5, 64.0), (0.1, 1.0), (1.5, 10.0)])
@pytest.mark.parametrize("centers", [None, 1, 3])
def test_arcface_is_pytorch_metric_learnings(size, centers, margin, scale, dtype):
    values = {"margin": margin, "scale": scale}
    theirs = {"num_classes": size[1], "embedding_size": size[2], "margin": math.degrees(margin), "scale": scale}
    if centers is None:
        z, labels, ours, weights = built(ArcFaceLoss, size, dtype, **values)
        same(ours, pml_losses.ArcFaceLoss(**theirs), "W", weights, z, labels, dtype)
    else:
        z, labels, ours, weights = built(SubCenterArcFaceLoss, size, dtype, centers=centers, **values)
        same(ours, pml_losses.SubCenterArcFaceLoss(**theirs, sub_centers=centers), "W", weights, z, labels, dtype)


@DTYPES
@SIZES
@pytest.mark.parametrize(("centers", "tau"), [(1, 0.2), (2, 0.0), (10, 0.2)])
def test_soft_triple_is_pytorch_metric_learnings_and_its_own_regulariser(size, centers, tau, dtype):
    z, labels, ours, weights = built(SoftTripleLoss, size, dtype, centers=centers, gamma=0.2, margin=0.05, tau=tau)
    theirs = pml_losses.SoftTripleLoss(size[1], size[2], centers, la=20, gamma=0.2, margin=0.05)
    theirs.fc.data = weights.clone()
    apart = 0.0  # the library leaves the regulariser out
    for one in torch.nn.functional.normalize(weights.T.double()).reshape(size[1], centers, size[2]).tolist():
        apart += sum(math.dist(one[i], one[j]) for i in range(centers) for j in range(i))
    expected = plain(theirs(z, labels)) + tau * apart / max(1, size[1] * centers * (centers - 1))
    assert plain(ours(Embedded(z, labels))[0]) == pytest.approx(expected, **tolerance(dtype))


@DTYPES
@SIZES
@pytest.mark.parametrize("scale", [1.0, 9.0])
@pytest.mark.parametrize("denominator", ["all", "others"])
def test_proxy_nca_is_pytorch_metric_learnings_or_the_papers(size, denominator, scale, dtype):
    z, labels, ours, weights = built(ProxyNCALoss, size, dtype, scale=scale, denominator=denominator)
    if denominator == "all":  # the library's, the paper leaves the own proxy out
        same(
            ours, pml_losses.ProxyNCALoss(size[1], size[2], softmax_scale=scale), "proxies", weights.T, z, labels, dtype
        )
        return
    expected = 0.0
    for x, label in zip(z.double(), labels.tolist(), strict=True):
        d = [math.dist((x / x.norm()).tolist(), (p / p.norm()).tolist()) ** 2 for p in weights.T.double()]
        expected -= math.log(E(-scale * d[label]) / sum(E(-scale * d[c]) for c in range(size[1]) if c != label)) / len(
            z
        )
    assert plain(ours(Embedded(z, labels))[0]) == pytest.approx(expected, **tolerance(dtype))


@DTYPES
@SIZES
@pytest.mark.parametrize(("margin", "scale"), [(0.1, 32.0), (0.0, 1.0)])
def test_proxy_anchor_is_pytorch_metric_learnings(size, margin, scale, dtype):
    z, labels, ours, weights = built(ProxyAnchorLoss, size, dtype, margin=margin, scale=scale)
    theirs = pml_losses.ProxyAnchorLoss(size[1], size[2], margin, scale)
    same(ours, theirs, "proxies", weights.T, z, labels, dtype)


# what they share


@pytest.mark.parametrize("kind", KINDS)
def test_weights_start_as_short_random_vectors_and_learn(kind):
    torch.manual_seed(0)
    loss = kind(dim=16, classes=7)
    (weight,) = loss.parameters()
    torch.testing.assert_close(weight.norm(dim=-1), torch.full(weight.shape[:-1], 0.1))
    z, labels = problem(24, 7, 16, torch.float32)
    loss(Embedded(z, labels))[0].backward()
    assert weight.grad.flatten(1).abs().sum(1).gt(0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_lengths_do_not_matter(kind):
    torch.manual_seed(0)
    z, labels = problem(9, 5, 3, torch.float64)
    loss = kind(dim=3, classes=5).double()
    value, _ = loss(Embedded(z, labels))
    (weight,) = loss.parameters()
    weight.data *= 7
    torch.testing.assert_close(loss(Embedded(0.1 * z, labels))[0], value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_that_is_not_there_is_an_error(kind):
    z, labels = problem(9, 5, 3, torch.float32)
    with pytest.raises((IndexError, ValueError)):
        kind(dim=3, classes=4)(Embedded(z, labels))


def test_coinciding_centers_have_a_finite_gradient():
    weight = torch.eye(5)[0].repeat(3, 4, 1).requires_grad_()  # their cosine is 1 to the last digit
    value = center_spread(weight)
    value.backward()
    assert float(value.detach()) < 1e-3
    assert weight.grad.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_one_class_is_refused(kind):
    with pytest.raises(ValueError, match="classes must be >= 2, got 1"):
        kind(dim=3, classes=1)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (NormSoftmaxLoss, {"temperature": 0.0}),
        (CosFaceLoss, {"margin": -0.1}),
        (CosFaceLoss, {"scale": math.nan}),
        (ArcFaceLoss, {"margin": 28.6}),  # degrees
        (ArcFaceLoss, {"margin": math.nan}),
        (ArcFaceLoss, {"scale": 0.0}),
        (SubCenterArcFaceLoss, {"margin": -0.5}),
        (SubCenterArcFaceLoss, {"centers": 0}),
        (SoftTripleLoss, {"gamma": 0.0}),
        (SoftTripleLoss, {"tau": -1.0}),
        (SoftTripleLoss, {"margin": 2.0}),
        (ProxyNCALoss, {"scale": -1.0}),
        (ProxyNCALoss, {"denominator": "own"}),
        (ProxyAnchorLoss, {"margin": 1.0}),
        (ProxyAnchorLoss, {"scale": 0.0}),
    ],
)
def test_bad_values_are_refused(kind, values):
    ((key, bad),) = values.items()
    with pytest.raises(ValueError, match=f"{key} must .*, got '?{bad}"):
        kind(dim=3, classes=4, **values)
