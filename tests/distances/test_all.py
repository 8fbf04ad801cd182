"""Every distance of conf/distance, and the known ones against scipy."""

import pytest
import torch
from scipy.spatial.distance import cdist

from siamese_lab.config.groups import option_names
from siamese_lab.distances.euclidean import Euclidean, squared_matrix
from siamese_lab.distances.weighted_l1 import WeightedL1

SCIPY = {"euclidean": "euclidean", "squared_euclidean": "sqeuclidean", "cosine": "cosine", "l1": "cityblock"}


@pytest.fixture(params=option_names("distance"))
def distance(request, make):
    made = make("distance", request.param)
    for weight in made.parameters():  # a learned head is tested with weights of both signs
        weight.data = torch.linspace(-1.0, 2.0, weight.numel(), dtype=torch.float64).view_as(weight)
    return made


def points(n, seed, dtype=torch.float64):
    return torch.randn(n, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pairwise_is_the_diagonal_of_the_matrix(distance, dtype):
    a, b = points(7, 0, dtype), points(7, 1, dtype)
    matrix, pairwise = distance.matrix(a, b), distance.pairwise(a, b)
    assert (matrix.shape, pairwise.shape, matrix.dtype, pairwise.dtype) == ((7, 7), (7,), dtype, dtype)
    torch.testing.assert_close(matrix.diagonal(), pairwise, atol=1e-5 if dtype == torch.float32 else 1e-12, rtol=1e-5)
    assert distance.matrix(a[:3], b).shape == (3, 7)
    torch.testing.assert_close(distance.matrix(b, a), matrix.T)  # symmetric


@pytest.mark.parametrize("name", SCIPY)
def test_matrix_is_scipys(name, make):
    a, b = points(9, 0), points(4, 1)
    expected = torch.from_numpy(cdist(a, b, metric=SCIPY[name]))
    torch.testing.assert_close(make("distance", name).matrix(a, b), expected)
    torch.testing.assert_close(
        make("distance", name).matrix(a.float(), b.float()).double(), expected, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("how", ["pairwise", "matrix"])
def test_gradients_are_right(distance, how):
    a, b = points(4, 0).requires_grad_(), points(4, 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b, *_: getattr(distance, how)(a, b), (a, b, *distance.parameters()))


@pytest.mark.parametrize("how", ["pairwise", "matrix"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_at_equal_points(distance, how, dtype):
    a = points(4, 0, dtype).requires_grad_()
    b = a.detach().clone().requires_grad_()
    d = getattr(distance, how)(a, b)
    d.sum().backward()
    assert d.isfinite().all()
    for tensor in (a, b, *distance.parameters()):
        assert tensor.grad.isfinite().all()
    same = torch.zeros(3, 5, dtype=dtype, requires_grad=True)  # and at the origin, against itself
    getattr(distance, how)(same, same).sum().backward()
    assert same.grad.isfinite().all()


def test_range_is_kept(distance):
    a = torch.cat(
        [points(200, 0, torch.float32), points(200, 1, torch.float32) * 1e-4, points(200, 2, torch.float32) * 1e4]
    )
    with torch.no_grad():
        found = [distance.matrix(a, a.clone()), distance.matrix(a, a), distance.matrix(a, -a)]
        found += [distance.pairwise(a, b) for b in (a.clone(), -a, a.flip(0))]
    for d in found:
        assert distance.low <= float(d.min())
        assert float(d.max()) <= distance.high
    if distance.low == 0:
        torch.testing.assert_close(distance.pairwise(a, a.clone()), torch.zeros(600), atol=1e-6, rtol=0)


def test_euclidean_to_itself_is_exactly_zero():
    z = points(50, 0, torch.float32)
    assert Euclidean().matrix(z, z).diagonal().eq(0).all()
    assert Euclidean().matrix(z[:20], z).diagonal().eq(0).all()
    view = z[::2]  # begins where z begins, but its rows are others
    torch.testing.assert_close(squared_matrix(z[:25], view), torch.cdist(z[:25], view) ** 2, atol=1e-4, rtol=1e-4)


def test_euclidean_gradient_is_zero_at_equal_points():
    z = torch.ones(3, 4, requires_grad=True)
    (Euclidean().matrix(z, z).sum() + Euclidean().pairwise(z, z).sum()).backward()
    assert z.grad.eq(0).all()


def test_weighted_l1_by_hand():
    distance = WeightedL1(dim=2)
    distance.weight.data = torch.tensor([2.0, -1.0])
    a, b = torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([[3.0, 5.0], [1.0, 0.0]])
    assert distance.matrix(a, b).tolist() == [[1.0, 2.0], [0.0, -1.0]]
    assert distance.pairwise(a, b).tolist() == [1.0, -1.0]


@pytest.mark.parametrize(("values", "message"), [({"std": -0.1}, "std must be >= 0"), ({"mean": 0.0}, "both 0")])
def test_weighted_l1_refuses(values, message):
    with pytest.raises(ValueError, match=message):
        WeightedL1(dim=4, **values)


def test_weighted_l1_starts_as_kochs():
    torch.manual_seed(0)
    weight = WeightedL1(dim=4096, mean=0.0, std=0.2).weight
    assert float(weight.data.mean()) == pytest.approx(0, abs=0.01)
    assert float(weight.data.std()) == pytest.approx(0.2, abs=0.01)
