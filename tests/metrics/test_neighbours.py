"""The nearest images of other classes: exact, whatever the tiles, in the order of the run's distance."""

import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from siamese_lab.distances.cosine import Cosine
from siamese_lab.distances.euclidean import Euclidean
from siamese_lab.distances.l1 import L1
from siamese_lab.distances.squared_euclidean import SquaredEuclidean
from siamese_lab.distances.weighted_l1 import WeightedL1
from siamese_lab.metrics import neighbours
from siamese_lab.metrics.neighbours import nearest_others
from tests import _commands
from tests.conftest import ROOT
from tests.training.test_resume import ENV

TILES = [(7, 10), (64, 128), (256, 4096), (5, 320)]  # 128 and 320 are looked at in groups


def problem(n=700, classes=25, dtype=torch.float64):
    g = torch.Generator().manual_seed(0)
    return torch.randn(n, 3, generator=g, dtype=torch.float64).to(dtype), torch.randint(classes, (n,), generator=g)


@pytest.fixture(params=TILES, ids=str)
def _tiles(request, monkeypatch):
    monkeypatch.setattr(neighbours, "ROWS", request.param[0])
    monkeypatch.setattr(neighbours, "COLUMNS", request.param[1])


@pytest.mark.usefixtures("_tiles")
@pytest.mark.parametrize("k", [1, 4, 20])
def test_they_are_scikit_learns(k):
    z, labels = problem()
    found = nearest_others(z, labels, Euclidean(), k)
    assert found.shape == (700, k)
    for label in range(25):
        own, others = (label == labels).nonzero().flatten(), (label != labels).nonzero().flatten()
        expected = (
            NearestNeighbors(n_neighbors=k).fit(z[others].numpy()).kneighbors(z[own].numpy(), return_distance=False)
        )
        assert torch.equal(found[own], others[torch.from_numpy(expected)])


@pytest.mark.usefixtures("_tiles")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "distance",
    [Cosine(), Euclidean(), SquaredEuclidean(), L1(), WeightedL1(dim=3, mean=0.0, std=1.0)],
    ids=lambda d: type(d).__name__,
)
def test_they_are_so_in_the_runs_own_distance(distance, dtype):
    z, labels = problem(dtype=dtype)
    d = distance.matrix(z, z).detach().masked_fill(labels[:, None] == labels, torch.inf)
    found = nearest_others(z, labels, distance, 5)
    torch.testing.assert_close(d.gather(1, found), d.topk(5, largest=False).values, rtol=1e-4, atol=1e-4)
    assert not found.requires_grad


@pytest.mark.usefixtures("_tiles")
def test_some_queries_get_what_they_get_among_all():
    z, labels = problem()
    queries = torch.tensor([3, 699, 0, 350])
    assert torch.equal(nearest_others(z, labels, Cosine(), 6, queries), nearest_others(z, labels, Cosine(), 6)[queries])
    assert nearest_others(z, labels, Cosine(), 6, queries[:0]).shape == (0, 6)


@pytest.mark.usefixtures("_tiles")
def test_what_comes_nearer_and_nearer_is_found():
    z = torch.arange(700, 0, -1.0)[:, None] ** 1.5  # each row is nearer to the last one than all before it
    labels = torch.zeros(700, dtype=torch.long)
    labels[-1] = 1
    assert nearest_others(z, labels, Euclidean(), 1, torch.tensor([699])).item() == 698
    labels[690:] = 1
    assert nearest_others(z, labels, Euclidean(), 3, torch.tensor([699])).tolist() == [[689, 688, 687]]


def test_memory_is_that_of_a_tile():
    code = """
import resource, torch
from siamese_lab.distances.euclidean import Euclidean
from siamese_lab.metrics.neighbours import nearest_others
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
z, labels = torch.randn(100_000, 16), torch.arange(100_000) % 1000
nearest_others(z[:9000], labels[:9000], Euclidean(), 50, torch.arange(300))
before = peak()
nearest_others(z, labels, Euclidean(), 50, torch.arange(2000))
print(peak() - before)
"""
    done = _commands.run(["-c", code], cwd=ROOT, env=ENV)
    assert float(done.stdout) < 64, done.stderr  # a row of distances to all would be 800 MB for these queries
