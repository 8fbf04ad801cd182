import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score, roc_curve

from siamese_lab.core.errors import LabError
from siamese_lab.distances.euclidean import Euclidean
from siamese_lab.metrics.pairs import draw_different, draw_same
from siamese_lab.metrics.verification import tar_name
from siamese_lab.protocols.verification import Verification
from siamese_lab.structures.embedded_set import EmbeddedSet
from tests.protocols._data import Hamming, clusters, with_distance


def flat(embedded):
    """All pairs i < j: (same, distance) as numpy arrays."""
    i, j = torch.triu_indices(len(embedded.z), len(embedded.z), 1)
    return (embedded.labels[i] == embedded.labels[j]).numpy(), embedded.distance.matrix(embedded.z, embedded.z)[
        i, j
    ].numpy()


def reference(same, d, limits):
    """AUC, EER, TAR@FAR by scikit-learn's curve."""
    fpr, tpr, _ = roc_curve(same, -d, drop_intermediate=False)
    k = int((fpr + tpr < 1).sum())
    a, b = (fpr + tpr - 1)[[k - 1, k]]
    eer = fpr[k - 1] - a / (b - a) * (fpr[k] - fpr[k - 1])
    return {"auc": roc_auc_score(same, -d), "eer": eer} | {tar_name(f): tpr[fpr <= f].max() for f in limits}


@pytest.mark.parametrize("tile", [7, 64, 2048])
@pytest.mark.parametrize("kind", ["plain", "ties", "uneven", "one wide identity"])
def test_agrees_with_scikit_learn(kind, tile):
    embedded = {
        "plain": lambda: clusters(),
        "ties": lambda: with_distance(clusters(), Hamming(), scale=3.0),
        "uneven": lambda: clusters(uneven=True),
        "one wide identity": lambda: clusters(identities=2, images=60),
    }[kind]()
    figures = Verification(tile=tile).evaluate(embedded, {})
    for name, value in reference(*flat(embedded), (1e-1, 1e-2, 1e-3, 1e-4)).items():
        assert figures[name].value == pytest.approx(value, abs=1e-12), name
    assert figures["eer"].n == len(embedded.z) * (len(embedded.z) - 1) // 2
    assert (figures["eer"].better, figures["auc"].better, Verification.headline) == ("low", "high", "eer")


def test_perfect_and_useless_embeddings():
    labels = torch.arange(5).repeat_interleave(4)
    names = tuple("abcde")
    perfect = Verification().evaluate(
        EmbeddedSet(labels[:, None].float() * 10, labels, names, Euclidean()), {"threshold": 5.0}
    )
    assert (perfect["eer"].value, perfect["auc"].value, perfect["accuracy"].value) == (0, 1, 1)
    collapsed = Verification().evaluate(EmbeddedSet(torch.ones(20, 3), labels, names, Euclidean()), {"threshold": 5.0})
    assert (collapsed["eer"].value, collapsed["auc"].value, collapsed["accuracy"].value) == (0.5, 0.5, 0.5)


def test_threshold_maximises_balanced_accuracy_and_splits_a_gap_in_the_middle():
    embedded = clusters()
    same, d = flat(embedded)
    protocol = Verification()
    chosen = protocol.choose(embedded)
    every = [(np.mean(d[same] <= t) + np.mean(d[~same] > t)) / 2 for t in d]
    figures = protocol.evaluate(embedded, chosen)
    assert figures["accuracy"].value == pytest.approx(max(every), abs=1e-12)
    assert figures["false_accept"].value == pytest.approx(np.mean(d[~same] <= chosen["threshold"]), abs=1e-12)
    assert figures["false_reject"].value == pytest.approx(np.mean(d[same] > chosen["threshold"]), abs=1e-12)
    apart = EmbeddedSet(torch.tensor([[0.0], [1.0], [5.0], [6.0]]), torch.tensor([0, 0, 1, 1]), ("a", "b"), Euclidean())
    assert protocol.choose(apart)["threshold"] == pytest.approx(2.5)  # same pairs at 1, the nearest different one at 4


def test_leave_one_out_is_the_figure_without_the_identity():
    embedded = clusters(identities=12, images=5)
    chosen = {"threshold": 1.6}
    protocol = Verification()
    figures = protocol.evaluate(embedded, chosen)
    without = {name: [] for name in ("eer", "auc", "accuracy", "false_accept", "false_reject", "tar@far=1e-1")}
    for c in range(12):
        kept = embedded.labels != c
        again = protocol.evaluate(
            EmbeddedSet(embedded.z[kept], embedded.labels[kept], embedded.classes, embedded.distance), chosen
        )
        for name, values in without.items():
            values.append(again[name].value)
    for name, values in without.items():
        expected = 11 * (np.mean(values) - np.array(values))
        got = np.array([figures[name].influence[f"id{c}"] for c in range(12)])
        # the figure takes vertices, the influences straight lines between
        assert np.corrcoef(expected, got)[0, 1] > 0.97, name
        if name in ("auc", "accuracy", "false_accept", "false_reject"):
            assert got == pytest.approx(expected, abs=0.02), name


def test_drawn_pairs_are_distinct_of_their_kind_and_half_and_half():
    sizes = torch.tensor([1, 4, 7, 2, 9])
    identity = torch.arange(5).repeat_interleave(sizes)
    start = torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)])
    for draw, wanted in ((draw_same, identity[:, None] == identity), (draw_different, identity[:, None] != identity)):
        every = set(map(tuple, wanted.triu(1).nonzero().tolist()))
        left, right = draw(start, 10**6, torch.Generator().manual_seed(0))
        assert sorted(zip(left.tolist(), right.tolist(), strict=True)) == sorted(every)
        left, right = draw(start, 8, torch.Generator().manual_seed(0))
        some = set(zip(left.tolist(), right.tolist(), strict=True))
        assert len(some) == 8
        assert some <= every
    embedded = clusters(identities=40, images=10)
    figures = Verification(pairs=1000).evaluate(embedded, {"threshold": 1.5})
    assert (figures["false_accept"].n, figures["false_reject"].n, figures["eer"].n) == (500, 500, 1000)
    assert figures["tar@far=1e-2"].note == "too few negatives"
    assert figures["tar@far=1e-2"].low is None
    exact = Verification().evaluate(embedded, {})
    assert figures["eer"].value == pytest.approx(exact["eer"].value, abs=0.06)
    same = Verification(pairs=10**7).evaluate(embedded, {})  # more than there are: all of them
    assert same["eer"].value == pytest.approx(exact["eer"].value, abs=1e-4)
    assert same["auc"].value == pytest.approx(exact["auc"].value, abs=1e-6)


def test_drawn_pairs_of_many_are_uniform():
    start = torch.tensor([0, 100, 150, 400])
    left, right = draw_same(start, 20_000, torch.Generator().manual_seed(1))
    owner = torch.bucketize(left, start[1:], right=True)
    share = torch.bincount(owner).double() / len(owner)
    pairs = torch.tensor([100 * 99, 50 * 49, 250 * 249]).double()
    assert share.tolist() == pytest.approx((pairs / pairs.sum()).tolist(), abs=0.01)
    assert ((start[owner] <= left) & (left < right) & (right < start[owner + 1])).all()


def test_curves_are_the_curve():
    embedded = clusters(identities=60, images=10)
    same, d = flat(embedded)
    curves = Verification().curves(embedded)
    assert len(curves.far) <= 2000
    assert curves.same_histogram.sum() == same.sum()
    assert curves.different_histogram.sum() == (~same).sum()
    expected = np.histogram(d[same], np.r_[-np.inf, curves.bins.astype(np.float32)[1:-1], np.inf])[0]
    assert (curves.same_histogram == expected).all()
    for k in range(0, len(curves.far), 97):
        assert curves.tar[k] == pytest.approx(np.mean(d[same] <= curves.threshold[k]))
        assert curves.false_accepts[k] == (d[~same] <= curves.threshold[k]).sum()
    exact = Verification().evaluate(embedded, {}, influences=False)["auc"].value
    assert np.trapezoid(np.r_[0, curves.tar, 1], np.r_[0, curves.far, 1]) == pytest.approx(exact, abs=1e-3)


def test_values_alone_are_the_same_values_and_twice_is_the_same():
    embedded = clusters(identities=60, images=10)
    chosen = Verification().choose(embedded)
    full, cheap, again = (Verification().evaluate(embedded, chosen, influences=flag) for flag in (True, False, True))
    assert {k: f.value for k, f in full.items()} == {k: f.value for k, f in cheap.items()}
    assert not any(f.influence for f in cheap.values())
    assert full == again
    assert full["eer"].low < full["eer"].value < full["eer"].high
    assert set(full["eer"].influence) == set(embedded.classes)


def test_double_precision_stays_and_half_is_widened():
    embedded = clusters()
    double = EmbeddedSet(embedded.z.double(), embedded.labels, embedded.classes, embedded.distance)
    assert Verification().evaluate(double, {})["eer"].value == pytest.approx(
        Verification().evaluate(embedded, {})["eer"].value, abs=1e-3
    )
    half = EmbeddedSet(embedded.z.half(), embedded.labels, embedded.classes, embedded.distance)
    assert Verification().evaluate(half, {})["eer"].value == pytest.approx(
        Verification().evaluate(embedded, {})["eer"].value, abs=1e-2
    )


@pytest.mark.parametrize(
    ("labels", "message"),
    [([0, 0, 0], "identities give 3 and 0"), ([0, 1, 2], "identities give 0 and 3"), ([0], "0 and 0")],
)
@pytest.mark.parametrize("pairs", ["all", 100])
def test_refuses_data_without_both_kinds_of_pairs(labels, message, pairs):
    embedded = EmbeddedSet(torch.rand(len(labels), 2), torch.tensor(labels), ("a", "b", "c"), Euclidean())
    with pytest.raises(LabError, match=message):
        Verification(pairs=pairs).evaluate(embedded, {})


def test_refuses_what_is_not_finite_and_bad_ranges():
    embedded = clusters()
    embedded.z[3, 0] = float("nan")
    with pytest.raises(LabError, match="1 of 180 hold NaN"):
        Verification().evaluate(embedded, {})
    for bad in ({"pairs": "some"}, {"pairs": 1}, {"far": [0.0]}, {"far": [1.5]}, {"tile": 0}, {"grid": 3}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            Verification(**bad)


def test_too_many_same_pairs_are_refused_before_memory_is():
    embedded = EmbeddedSet(torch.zeros(10_000, 1), (torch.arange(10_000) > 9_000).long(), ("a", "b"), Euclidean())
    with pytest.raises(LabError, match="pairs=1000000"):
        Verification().evaluate(embedded, {})


@pytest.mark.slow
def test_all_pairs_of_omniglot_in_bounded_memory():
    import resource
    import time

    embedded = clusters(identities=1623, images=20, dim=64, spread=0.8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    figures = Verification().evaluate(embedded, {"threshold": 10.0})
    took, grown = time.process_time() - start, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert figures["eer"].n == 526_809_570
    assert took < 240
    assert grown < 800  # MB; measured 490
    assert figures["tar@far=1e-4"].low is not None
