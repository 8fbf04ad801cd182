"""The distances that own weights: what they compute, how they start, and that a matrix of them stays small."""

import pytest
import torch
from scipy.spatial.distance import cdist
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from siamese_lab.distances import _tiled as tiles
from siamese_lab.distances._tiled import tiled
from siamese_lab.distances.chi2 import Chi2
from siamese_lab.distances.hidden_l1 import HiddenL1
from siamese_lab.distances.mahalanobis import Mahalanobis
from siamese_lab.distances.pair_mlp import PairMLP

LEARNED = ["chi2", "hidden_l1", "mahalanobis", "pair_mlp", "weighted_l1"]
TILED = ["chi2", "hidden_l1", "pair_mlp"]


def points(n, seed, dim=5, dtype=torch.float64):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@pytest.fixture(params=LEARNED)
def learned(request, make):
    """With weights of both signs, as training may leave them."""
    made = make("distance", request.param).double()
    g = torch.Generator().manual_seed(1)
    for weight in made.parameters():
        weight.data = torch.randn(weight.shape, generator=g, dtype=torch.float64)
    return made


def all_pairs(distance, a, b):
    left, right = torch.cartesian_prod(torch.arange(len(a)), torch.arange(len(b))).unbind(1)
    return distance.pairwise(a[left], b[right]).view(len(a), len(b))


@pytest.mark.parametrize("tile", [1, 40, 700, 2**20])
def test_matrix_is_pairwise_of_all_pairs_whatever_the_tile(learned, monkeypatch, tile):
    monkeypatch.setattr(tiles.tiled, "__defaults__", (tile,))
    a, b = points(7, 0).requires_grad_(), points(9, 1).requires_grad_()
    found, expected = learned.matrix(a, b), all_pairs(learned, a, b)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)
    direction = points(7, 2, 9)
    inputs = (a, b, *learned.parameters())
    for one, other in zip(
        torch.autograd.grad((found * direction).sum(), inputs),
        torch.autograd.grad((expected * direction).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=0)
    with torch.no_grad():
        torch.testing.assert_close(learned.matrix(a, b), expected, atol=1e-10, rtol=0)


def test_learned_distances_are_symmetric(learned):
    a, b = points(6, 0), points(6, 1)
    torch.testing.assert_close(learned.pairwise(a, b), learned.pairwise(b, a), atol=1e-12, rtol=0)
    torch.testing.assert_close(learned.matrix(a, b), learned.matrix(b, a).T, atol=1e-10, rtol=0)


class Largest(TorchDispatchMode):
    """The size of the largest tensor that is made; a view of another is none."""

    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        given = {one.untyped_storage().data_ptr() for one in tree_leaves(args) if isinstance(one, torch.Tensor)}
        for one in tree_leaves(made):
            if isinstance(one, torch.Tensor) and one.untyped_storage().data_ptr() not in given:
                self.numbers = max(self.numbers, one.untyped_storage().nbytes() // one.element_size())
        return made


@pytest.mark.parametrize("name", TILED)
def test_no_tensor_is_larger_than_a_tile_or_the_matrix(make, name):
    a, b = (points(600, seed, dtype=torch.float32).requires_grad_() for seed in (0, 1))
    distance = make("distance", name)
    with Largest() as forward:
        d = distance.matrix(a, b)
    with Largest() as backward:
        d.sum().backward()
    assert forward.numbers <= max(tiles.TILE, d.numel())
    assert backward.numbers <= max(tiles.TILE, d.numel())
    if name == "pair_mlp":
        assert 5 * d.numel() > tiles.TILE  # there was something to save


@pytest.mark.parametrize("name", TILED)
def test_a_long_row_is_cut_too(make, name, monkeypatch):
    monkeypatch.setattr(tiles.tiled, "__defaults__", (2000,))
    a = points(50, 0, dtype=torch.float32)
    distance = make("distance", name, hidden=32) if name != "chi2" else make("distance", name)
    with Largest() as seen:
        distance.matrix(a, points(60, 1, dtype=torch.float32))
    assert seen.numbers <= 50 * 60
    if name == "pair_mlp":
        assert 60 * 5 * 36 > 2000  # one row is more than a tile


@pytest.mark.parametrize("name", [*TILED, "mahalanobis"])
def test_of_a_tile_only_what_goes_in_is_kept_for_the_gradient(make, name):
    kept = {}

    def keep(x):
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    a = points(900, 0, dtype=torch.float32).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        d = make("distance", name).matrix(a, a)
    # of a whole tensor of pairs and dimensions, one alone is 5
    assert sum(kept.values()) < 4 * d.untyped_storage().nbytes()


def test_tiled_keeps_the_order_of_rows_and_columns():
    a, b = torch.arange(5.0)[:, None], 10 * torch.arange(4.0)[:, None]
    for tile in (1, 3, 4, 8, 100):
        assert torch.equal(tiled(lambda x, y: (x + y).squeeze(-1), a, b, 1, tile), a + b.T)


# hidden_l1


def test_hidden_l1_by_hand():
    distance = HiddenL1(dim=2, hidden=2)
    distance.weight.data, distance.bias.data = torch.tensor([[1.0, 2.0], [-1.0, 1.0]]), torch.tensor([1.0, 0.0])
    distance.out.data = torch.tensor([0.5, -3.0])
    a, b = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, -4.0], [2.0, 1.0]])
    # |a - b| = (3, 4) and (2, 1): units 3 + 8 + 1, -3 + 4 and 2 + 2 + 1, relu(-2 + 1)
    assert distance.matrix(a, b).tolist() == [[12 / 2 - 3, 5 / 2]]


def test_hidden_l1_starts_near_the_l1_distance():
    torch.manual_seed(0)
    a, b = (F.normalize(points(50, seed, 64, torch.float32), dim=1) for seed in (0, 1))
    found, l1 = HiddenL1(dim=64).matrix(a, b), torch.cdist(a, b, p=1.0)
    assert (found / l1 - 1).abs().max() < 0.15


# chi2


def test_chi2_by_hand():
    distance = Chi2(dim=3)
    distance.weight.data = torch.tensor([2.0, 1.0, 5.0])
    a, b = torch.tensor([[1.0, -4.0, 0.0]]), torch.tensor([[3.0, 2.0, -1.0]])
    # clamped: (1, 0, 0) and (3, 2, 0)
    assert distance.pairwise(a, b).tolist() == [2 * 4 / 4 + 4 / 2]
    squares = Chi2(dim=3, features="square")
    # (1, 16, 0) and (9, 4, 1)
    assert squares.pairwise(a, b).tolist() == pytest.approx([64 / 10 + 144 / 20 + 1])


def test_chi2_of_histograms_is_the_textbooks():
    f, g = (points(6, seed).abs() for seed in (0, 1))
    f, g = f / f.sum(1, keepdim=True), g / g.sum(1, keepdim=True)
    expected = ((f - g) ** 2 / (f + g)).sum(1)
    torch.testing.assert_close(Chi2(dim=5).pairwise(f, g), expected)
    torch.testing.assert_close(Chi2(dim=5, features="square").pairwise(f.sqrt(), -g.sqrt()), expected)
    assert (expected <= 2).all()


@pytest.mark.parametrize(
    ("features", "scale"), [(one, scale) for one in ("relu", "square") for scale in (0.0, 1e-45, 1e-38, 1e-20, 1e15)]
)
def test_chi2_has_bounded_gradients_at_any_scale(features, scale):
    a = (scale * points(4, 0, dtype=torch.float32)).requires_grad_()
    distance = Chi2(dim=5, features=features)
    distance.pairwise(a, scale * points(4, 1, dtype=torch.float32).abs()).sum().backward()
    assert a.grad.isfinite().all()
    steepest = 3.0 if features == "relu" else 3.0 * 2 * float(a.detach().abs().max())  # |d/df (f - g)^2 / (f + g)| <= 3
    assert a.grad.abs().max() <= 1.001 * steepest


# pair_mlp


def test_pair_mlp_by_hand():
    distance = PairMLP(dim=2, hidden=2)
    distance.weight.data = torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, -1.0, 0.0]])
    distance.bias.data, distance.out.data, distance.dimensions.data = (
        torch.tensor([0.0, 1.0]),
        torch.tensor([1.0, 2.0]),
        torch.tensor([1.0, -1.0]),
    )
    a, b = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, -1.0]])
    # dimension 1: product 3, sum 4, gap 2, square 4: units 7 and 4 - 2 + 1; dimension 2: -2, 1, 3, 9: 7 and relu(1 - 3
    # + 1)
    assert distance.pairwise(a, b).tolist() == [(7 + 2 * 3) - 7]


def test_pair_mlp_starts_as_a_distance():
    """Each of its units rises with the difference."""
    torch.manual_seed(0)
    middle, gaps = points(20, 0, 1, torch.float32), torch.linspace(0, 3, 30)[:, None, None]
    distance = PairMLP(dim=1, hidden=32)
    for unit in torch.eye(32):
        distance.out.data = unit
        d = torch.stack([distance.pairwise(middle - gap / 2, middle + gap / 2) for gap in gaps])  # (30, 20)
        assert (d.diff(dim=0) >= -1e-5).all()
        assert (d[-1] >= d[0]).all()
    assert (PairMLP(dim=1).out > 0).all()


# mahalanobis


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("rank", [1, 3, 5])
def test_mahalanobis_is_scipys(rank, squared):
    distance = Mahalanobis(dim=5, rank=rank, squared=squared).double()
    distance.map.data = points(rank, 3)
    a, b = points(6, 0), points(4, 1)
    expected = torch.from_numpy(cdist(a, b, "mahalanobis", VI=(distance.map.T @ distance.map).detach().numpy()))
    torch.testing.assert_close(distance.matrix(a, b).detach(), expected.square() if squared else expected)


def test_mahalanobis_starts_near_the_euclidean_distance():
    a, b = points(40, 0, 64, torch.float32), points(40, 1, 64, torch.float32)
    torch.testing.assert_close(Mahalanobis(dim=64, rank=64).matrix(a, b), torch.cdist(a, b))
    low = Mahalanobis(dim=64, rank=16)
    torch.testing.assert_close(low.map @ low.map.T, 4.0 * torch.eye(16), atol=1e-5, rtol=0)
    ratio = low.matrix(a, b).detach() / torch.cdist(a, b)
    assert float(ratio.square().mean()) == pytest.approx(1, abs=0.1)
    assert float(ratio.std()) < 0.3


def test_mahalanobis_to_itself_is_exactly_zero():
    z = points(50, 0, dtype=torch.float32).requires_grad_()
    distance = Mahalanobis(dim=5)
    assert distance.matrix(z[:20], z).diagonal().eq(0).all()
    fixed = distance.matrix(z.detach(), z)  # one side has no gradient, and gets none of the other's
    (gradient,) = torch.autograd.grad(fixed[0, 1:].sum(), z)
    assert gradient[0].eq(0).all()


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (HiddenL1, {"hidden": 0}, "hidden must be > 0, got 0"),
        (PairMLP, {"hidden": -1}, "hidden must be > 0, got -1"),
        (Chi2, {"features": "abs"}, "features must be relu or square, got 'abs'"),
        (Mahalanobis, {"rank": 0}, r"rank must lie in \[1, 4\], got 0"),
        (Mahalanobis, {"rank": 5}, r"rank must lie in \[1, 4\], got 5"),
    ],
)
def test_learned_distances_refuse(kind, values, message):
    with pytest.raises(ValueError, match=message):
        kind(dim=4, **values)
