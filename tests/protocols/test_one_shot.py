import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from siamese_lab.core.errors import LabError
from siamese_lab.distances.euclidean import Euclidean
from siamese_lab.metrics.episodes import draw_episodes
from siamese_lab.protocols.given_trials import GivenTrials
from siamese_lab.protocols.one_shot import OneShot
from siamese_lab.structures.embedded_set import EmbeddedSet
from siamese_lab.structures.samples import Episodes
from tests.protocols._data import clusters
from tests.protocols._hausdorff import ink, modified_hausdorff

DATA = Path(os.environ.get("SIAMESE_LAB_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("way", "shot", "queries"), [(2, 1, 1), (5, 1, 3), (7, 3, 2)])
@pytest.mark.parametrize("within", [False, True])
def test_episodes_keep_their_promises(way, shot, queries, within):
    labels = torch.randint(40, (600,), generator=generator())
    group = labels % 3
    drawn = draw_episodes(labels, 50, way, shot, queries, generator(1), (group, ("x", "y", "z")) if within else None)
    assert drawn.support.shape == (50, way, shot)
    assert drawn.query.shape == drawn.truth.shape == (50, way * queries)
    assert len(drawn.name) == 50
    for e in range(50):
        rows = torch.cat([drawn.support[e].flatten(), drawn.query[e]])
        assert len(rows.unique()) == len(rows)  # nothing twice, no query in its support
        ways = labels[drawn.support[e]]
        assert (ways == ways[:, :1]).all()
        assert len(ways[:, 0].unique()) == way
        assert (labels[drawn.query[e]] == ways[drawn.truth[e], 0]).all()
        if within:
            assert {"xyz"[g] for g in group[rows].tolist()} == {drawn.name[e]}
    again = draw_episodes(labels, 50, way, shot, queries, generator(1), (group, ("x", "y", "z")) if within else None)
    assert (again.support == drawn.support).all()
    assert (again.query == drawn.query).all()
    assert not (draw_episodes(labels, 50, way, shot, queries, generator(2)).query == drawn.query).all()


def test_episodes_draw_classes_and_images_evenly_and_leave_out_poor_classes():
    labels = torch.arange(10).repeat_interleave(torch.tensor([1] + [5] * 9))
    drawn = draw_episodes(labels, 9000, 3, 1, 1, generator())
    assert (drawn.support > 0).all()  # row 0 is alone in its class
    rows = torch.bincount(torch.cat([drawn.support.flatten(), drawn.query.flatten()]))[1:].double()
    assert (rows / rows.mean()).tolist() == pytest.approx([1.0] * 45, abs=0.12)


def test_too_few_classes_or_images_say_the_numbers_and_what_to_change():
    embedded = clusters(identities=10, images=3)
    with pytest.raises(
        LabError, match=r"20-way 1-shot episodes need 20 classes with 2 images each .* at most 10: lower way"
    ):
        OneShot().evaluate(embedded, {})
    with pytest.raises(LabError, match="at most 0"):
        OneShot(way=2, shot=3).evaluate(embedded, {})
    grouped = EmbeddedSet(
        embedded.z, embedded.labels, embedded.classes, embedded.distance, {"script": (embedded.labels % 2, ("a", "b"))}
    )
    with pytest.raises(LabError, match=r"in any one group, but there are at most 5: .*within=null"):
        OneShot(way=6, within="script").evaluate(grouped, {})
    with pytest.raises(LabError, match=r"no group 'alphabet' \(it has: script\)"):
        OneShot(way=6, within="alphabet").evaluate(grouped, {})
    with pytest.raises(LabError, match=r"no trials 'official' \(it has: none\)"):
        GivenTrials("official").evaluate(grouped, {})
    for bad in ({"way": 1}, {"shot": 0}, {"queries": 0}, {"episodes": 0}, {"compare": "best"}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            OneShot(**bad)


def by_hand(embedded, episodes, compare, without=None):
    """One query at a time; `without` leaves a class out, as query and as alternative."""
    wrong = []
    for support, query, truth in zip(*episodes[:3], strict=True):
        for q, t in zip(query.tolist(), truth.tolist(), strict=True):
            d = [[float((embedded.z[q] - embedded.z[s]).norm()) for s in shots] for shots in support.tolist()]
            d = [min(x) if compare == "nearest" else float(np.mean(x)) for x in d]
            ways = embedded.labels[support[:, 0]].tolist()
            if without is None or int(embedded.labels[q]) != without:
                wrong.append(any(d[w] <= d[t] for w in range(len(d)) if w != t and ways[w] != without))
    return float(np.mean(wrong))


@pytest.mark.parametrize("compare", ["nearest", "mean"])
@pytest.mark.parametrize("shot", [1, 3])
def test_error_and_influences_by_hand(compare, shot):
    embedded = clusters(identities=9, images=6, spread=0.9)
    protocol = OneShot(way=5, shot=shot, queries=2, episodes=30, compare=compare, seed=3)
    figure = protocol.evaluate(embedded, protocol.choose(embedded))["error"]
    drawn = draw_episodes(embedded.labels, 30, 5, shot, 2, generator(3))
    assert figure.value == pytest.approx(by_hand(embedded, drawn, compare))
    assert 0 < figure.value < 1
    assert (figure.n, figure.better, figure.low, figure.note) == (300, "low", None, "too few identities")
    without = np.array([by_hand(embedded, drawn, compare, c) for c in range(9)])
    assert list(figure.influence.values()) == pytest.approx(8 * (without.mean() - without))
    cheap = protocol.evaluate(embedded, {}, influences=False)["error"]
    assert (cheap.value, cheap.influence) == (figure.value, {})


def test_a_tie_counts_against_the_model_and_given_trials_get_wilson():
    z = torch.tensor([[0.0], [2.0], [1.0], [0.2]])
    trials = Episodes(torch.tensor([[[0], [1]]]), torch.tensor([[2, 3]]), torch.tensor([[0, 0]]), ("run01",))
    embedded = EmbeddedSet(z, torch.tensor([0, 1, 0, 0]), ("a", "b"), Euclidean(), trials={"official": trials})
    figure = GivenTrials("official").evaluate(embedded, {})["error"]
    assert figure.value == 0.5  # the first query stands half-way
    assert (figure.low, figure.high) == pytest.approx((0.0945, 0.9055), abs=1e-4)  # Wilson's for 1 of 2
    cheat = Episodes(trials.support, torch.tensor([[0, 3]]), trials.truth, trials.name)
    with pytest.raises(LabError, match="its own queries"):
        GivenTrials("official").evaluate(
            EmbeddedSet(z, embedded.labels, embedded.classes, embedded.distance, trials={"official": cheat}), {}
        )


def test_large_problems_are_worked_in_chunks(monkeypatch):
    embedded = clusters(identities=30, images=5)
    whole = OneShot(way=10, episodes=40).evaluate(embedded, {})
    monkeypatch.setattr("siamese_lab.metrics.recognition.ENTRIES", 1000)
    assert OneShot(way=10, episodes=40).evaluate(embedded, {}) == whole


def test_modified_hausdorff_by_hand():
    bar = torch.zeros(5, 5, dtype=torch.bool)
    bar[2, 1:4] = True  # centred: (0, -1) (0, 0) (0, 1)
    dot = torch.zeros(5, 5, dtype=torch.bool)
    dot[0, 0] = True  # centred: (0, 0)
    first, second = ink(bar), ink(dot)
    assert float(modified_hausdorff(first, second)) == pytest.approx(2 / 3)  # mean of 1, 0, 1 one way, 0 the other
    assert float(modified_hausdorff(second, first)) == pytest.approx(2 / 3)
    assert float(modified_hausdorff(first, first)) == 0
    wide = ink(torch.rand(30, 30, generator=generator()) < 0.5)  # more points than are compared at once
    assert len(wide) > 128
    d = torch.cdist(wide, first)
    assert float(modified_hausdorff(wide, first)) == pytest.approx(float(max(d.amin(1).mean(), d.amin(0).mean())))
    with pytest.raises(ValueError, match="this one has none"):
        ink(torch.zeros(5, 5, dtype=torch.bool))


class InkDistance(nn.Module):
    """An embedding is the number of a drawing."""

    def __init__(self, shapes):
        super().__init__()
        self.shapes = shapes

    def pairwise(self, a, b):
        rows = zip(a[:, 0].long().tolist(), b[:, 0].long().tolist(), strict=True)
        return torch.stack([modified_hausdorff(self.shapes[i], self.shapes[j]) for i, j in rows])


def test_modified_hausdorff_scores_388_on_the_official_runs():
    """The published baseline: 38.8 % (155 of 400), to the trial. Proves reader, distance and protocol at once."""
    path = DATA / "omniglot" / "all_runs.zip"
    if not path.exists():
        pytest.skip(f"no {path}: set SIAMESE_LAB_TEST_DATA to a folder that holds omniglot/all_runs.zip")
    drawings, support, query, truth = [], [], [], []

    with zipfile.ZipFile(path) as runs:
        root = next(n for n in runs.namelist() if n.endswith("run01/class_labels.txt")).removesuffix(
            "run01/class_labels.txt"
        )

        def row(name):
            drawings.append(
                torch.from_numpy(np.array(Image.open(io.BytesIO(runs.read(root + name))).convert("L")) == 0)
            )
            return len(drawings) - 1

        for r in range(1, 21):
            pairs = [
                line.split()
                for line in runs.read(f"{root}run{r:02}/class_labels.txt").decode().split("\n")
                if line.strip()
            ]
            ways = sorted(training for _, training in pairs)
            query.append([row(item) for item, _ in pairs])
            support.append([[row(way)] for way in ways])
            truth.append([ways.index(training) for _, training in pairs])
    episodes = Episodes(
        torch.tensor(support), torch.tensor(query), torch.tensor(truth), tuple(f"run{r:02}" for r in range(1, 21))
    )
    labels = torch.empty(len(drawings), dtype=torch.int64)
    for e in range(20):
        labels[episodes.support[e, :, 0]] = torch.arange(20) + 20 * e
        labels[episodes.query[e]] = episodes.truth[e] + 20 * e
    z = torch.arange(len(drawings), dtype=torch.float32)[:, None]
    names = tuple(f"run {c // 20 + 1} class {c % 20 + 1}" for c in range(400))
    figure = GivenTrials("official").evaluate(
        EmbeddedSet(
            z, labels, names, InkDistance([ink(drawing) for drawing in drawings]), trials={"official": episodes}
        ),
        {},
    )
    assert figure["error"].n == 400
    assert figure["error"].value == 155 / 400
    assert figure["error"].high - figure["error"].low == pytest.approx(2 * 1.96 * 0.0244, abs=0.03)
