import numpy as np
import pytest
import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN
from torch import nn

from siamese_lab.core.errors import LabError
from siamese_lab.distances.euclidean import Euclidean
from siamese_lab.protocols.retrieval import Retrieval
from siamese_lab.structures.embedded_set import EmbeddedSet
from tests.protocols._data import Hamming, clusters, with_distance


class Table(nn.Module):
    """Distances from a table; an embedding is its row's number."""

    def __init__(self, table):
        super().__init__()
        self.table = table

    def matrix(self, a, b):
        return self.table[a[:, 0].long()][:, b[:, 0].long()]


def slow(embedded):
    """By the definitions, one query at a time; hits stand behind others at the same distance."""
    d = embedded.distance.matrix(embedded.z, embedded.z)
    out = []
    for q in range(len(embedded.z)):
        rest = [i for i in range(len(embedded.z)) if i != q]
        relevant = sum(int(embedded.labels[i] == embedded.labels[q]) for i in rest)
        if not relevant:
            continue
        rest.sort(key=lambda i: (float(d[q, i]), int(embedded.labels[i] == embedded.labels[q])))
        hit = np.array([int(embedded.labels[i] == embedded.labels[q]) for i in rest])
        precision = hit.cumsum() / np.arange(1, len(hit) + 1)
        first = hit.argmax() + 1
        top = slice(0, relevant)
        out.append(
            [*(first <= k for k in (1, 5, 10)), hit[top].mean(), (precision * hit)[top].sum() / relevant, 1 / first]
        )
    names = ["recall@1", "recall@5", "recall@10", "r_precision", "map@r", "mrr"]
    return dict(zip(names, np.mean(out, 0), strict=True))


@pytest.mark.parametrize("tile", [5, 40, 2048])
@pytest.mark.parametrize("kind", ["plain", "ties", "uneven", "large classes", "two images"])
def test_agrees_with_the_definitions(kind, tile):
    embedded = {
        "plain": lambda: clusters(identities=20, images=6),
        "ties": lambda: with_distance(clusters(identities=20, images=6), Hamming(), scale=2.0),
        "uneven": lambda: clusters(identities=25, images=8, uneven=True),
        "large classes": lambda: clusters(identities=3, images=40),
        "two images": lambda: clusters(identities=1, images=2),
    }[kind]()
    figures = Retrieval(tile=tile).evaluate(embedded, {})
    assert {name: f.value for name, f in figures.items()} == pytest.approx(slow(embedded), abs=1e-9)
    assert next(iter(figures)) == Retrieval.headline == "map@r"


def test_agrees_with_pytorch_metric_learning():
    embedded = clusters(identities=30, images=7, uneven=True)
    wanted = ("precision_at_1", "r_precision", "mean_average_precision_at_r", "mean_reciprocal_rank")
    given = {
        "include": wanted,
        "device": torch.device("cpu"),
        "knn_func": CustomKNN(LpDistance(normalize_embeddings=False)),
    }
    theirs = AccuracyCalculator(k="max_bin_count", **given).get_accuracy(embedded.z, embedded.labels)
    whole = AccuracyCalculator(k=len(embedded.z) - 1, **given).get_accuracy(embedded.z, embedded.labels)
    ours = Retrieval().evaluate(embedded, {})
    assert ours["recall@1"].value == pytest.approx(theirs["precision_at_1"], abs=1e-6)
    assert ours["r_precision"].value == pytest.approx(theirs["r_precision"], abs=1e-6)
    assert ours["map@r"].value == pytest.approx(theirs["mean_average_precision_at_r"], abs=1e-6)
    # its neighbours must reach the first hit
    assert ours["mrr"].value == pytest.approx(whole["mean_reciprocal_rank"], abs=1e-6)


@pytest.mark.parametrize(
    ("hits", "r_precision", "map_at_r"),
    [((1,), 0.10, 0.10), ((1, 10), 0.20, 0.12), ((1, 2), 0.20, 0.20), (range(1, 11), 1.0, 1.0)],
)
def test_musgrave_table_3(hits, r_precision, map_at_r):
    """One query with R = 10 whose hits stand at these positions among the first ten; the other hits come after all
    others.
    """
    labels = torch.tensor([0] * 11 + list(range(1, 41)))  # the rest are alone: no queries
    place = torch.full((51,), 0.0)
    inside, outside = [p for p in range(1, 11) if p not in hits], list(range(11, 51 - 10 + len(hits)))
    place[1 : 1 + len(hits)] = torch.tensor([float(p) for p in hits])
    place[1 + len(hits) : 11] = torch.arange(10 - len(hits)) + 1000.0
    place[11:] = torch.tensor([float(p) for p in inside + outside])[:40]
    table = torch.full((51, 51), 5000.0)
    table[0], table[1:11] = place, 5000.0
    for i in range(1, 11):
        table[i] = place  # every query of the identity sees the same picture: itself stands where the first image stood
        table[i, 0], table[i, i] = place[i], 0.0
    embedded = EmbeddedSet(torch.arange(51.0)[:, None], labels, tuple(f"{i}" for i in range(41)), Table(table))
    figures = Retrieval().evaluate(embedded, {})
    assert figures["r_precision"].value == pytest.approx(r_precision)
    assert figures["map@r"].value == pytest.approx(map_at_r)
    assert figures["recall@1"].value == 1
    assert figures["map@r"].n == 11


@pytest.mark.parametrize(("identities", "images"), [(14, 4), (4, 12)])
def test_leave_one_out_is_the_figure_without_the_identity(identities, images):
    embedded = clusters(identities=identities, images=images, spread=1.0)
    figures = Retrieval().evaluate(embedded, {})
    without = []
    for c in range(identities):
        kept = embedded.labels != c
        again = Retrieval().evaluate(
            EmbeddedSet(embedded.z[kept], embedded.labels[kept], embedded.classes, embedded.distance),
            {},
            influences=False,
        )
        without.append({name: f.value for name, f in again.items()})
    for name, figure in figures.items():
        values = np.array([w[name] for w in without])
        expected = (identities - 1) * (values.mean() - values)
        got = np.array(list(figure.influence.values()))
        shrunk = np.sqrt((got**2).sum() / (expected**2).sum()) if expected.any() else 1.0
        assert 0.70 < shrunk <= 1.01, name  # what two identities do to each other counts once, not twice
        assert got == pytest.approx(shrunk * expected, abs=0.03 if name == "mrr" else 1e-9), name


def test_collapse_counts_against_the_model():
    embedded = EmbeddedSet(torch.ones(40, 3), torch.arange(10).repeat_interleave(4), tuple("abcdefghij"), Euclidean())
    figures = Retrieval().evaluate(embedded, {})
    assert figures["map@r"].value == figures["recall@10"].value == 0
    assert figures["mrr"].value == pytest.approx(1 / 37)


def test_refuses_data_without_two_images():
    with pytest.raises(LabError, match="two images"):
        Retrieval().evaluate(EmbeddedSet(torch.rand(3, 2), torch.arange(3), ("a", "b", "c"), Euclidean()), {})
    with pytest.raises(ValueError, match="tile"):
        Retrieval(tile=-1)
