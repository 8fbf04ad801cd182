"""The figures as torchmetrics classes: against the protocols, torchmetrics, scikit-learn and brute force."""

import doctest
import pickle

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from sklearn.metrics import roc_curve
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MetricCollection
from torchmetrics.functional.classification import binary_roc
from torchmetrics.retrieval import RetrievalRecall

from siamese_lab.core.errors import LabError
from siamese_lab.metrics import modules
from siamese_lab.metrics.modules import (
    EqualErrorRate,
    MeanAveragePrecisionAtR,
    OneShotError,
    RecallAtK,
    TrueAcceptRate,
)
from siamese_lab.protocols.one_shot import OneShot
from siamese_lab.protocols.retrieval import Retrieval
from siamese_lab.protocols.verification import Verification
from tests.metrics._processes import METRICS, evaluate_share
from tests.protocols._data import Hamming, clusters, with_distance

PROTOCOLS = {
    "eer": (Verification(), "eer"),
    "eer of drawn pairs": (Verification(pairs=400, seed=3), "eer"),
    "tar": (Verification(far=[0.05]), "tar@far=5e-2"),
    "recall@1": (Retrieval(), "recall@1"),
    "recall@5": (Retrieval(), "recall@5"),
    "map@r": (Retrieval(), "map@r"),
    "one shot": (OneShot(way=5, shot=2, episodes=50, seed=4), "error"),
}
DATA = {
    "plain": lambda: clusters(),
    "ties": lambda: with_distance(clusters(), Hamming(), scale=3.0),
    "uneven": lambda: clusters(uneven=True),
}


@pytest.fixture(params=METRICS)
def name(request):
    return request.param


def filled(name, embedded, batch=37, **given):
    metric = METRICS[name](distance=embedded.distance, **given)
    for z, labels in zip(embedded.z.split(batch), embedded.labels.split(batch), strict=True):
        metric.update(z, labels)
    return metric


def test_every_class_of_the_module_is_tested():
    there = {one for one in vars(modules).values() if isinstance(one, type) and one.__module__ == modules.__name__}
    assert there == {type(make()) for make in METRICS.values()}


@pytest.mark.parametrize("data", DATA)
def test_the_number_is_the_protocols(name, data):
    embedded = DATA[data]()
    protocol, figure = PROTOCOLS[name]
    value = filled(name, embedded).compute()
    assert float(value) == protocol.evaluate(embedded, {}, influences=False)[figure].value
    assert (value.dtype, value.shape) == (torch.float64, ())


def pairs(embedded):
    """All pairs i < j in float64: (same, distance)."""
    z = embedded.z.double()
    i, j = torch.triu_indices(len(z), len(z), 1)
    return embedded.labels[i] == embedded.labels[j], embedded.distance.pairwise(z[i], z[j])


def eer_of(far, tar):
    k = int((far + tar < 1).sum())
    a, b = far[k - 1] + tar[k - 1] - 1, far[k] + tar[k] - 1
    return float(far[k - 1] - a / (b - a) * (far[k] - far[k - 1]))


@pytest.mark.parametrize("data", DATA)
def test_eer_and_tar_agree_with_torchmetrics_and_scikit_learn(data):
    embedded = DATA[data]()
    same, d = pairs(embedded)
    scores = 1 - d / d.max()  # float64 in [0, 1]: others torchmetrics would push through a float32 sigmoid
    theirs = [x.double() for x in binary_roc(scores, same.long())[:2]]
    sklearn = [torch.from_numpy(x) for x in roc_curve(same, -d, drop_intermediate=False)[:2]]
    for far, tar in (theirs, sklearn):
        assert float(filled("eer", embedded).compute()) == pytest.approx(eer_of(far, tar), abs=1e-6)
        accepted = tar[far <= 0.05 + 1e-8]  # torchmetrics' rates are float32: 783 / 15,660 comes out above 0.05
        assert float(filled("tar", embedded).compute()) == pytest.approx(float(accepted.max()), abs=1e-6)


@pytest.mark.parametrize("k", [1, 3, 5, 200])
@pytest.mark.parametrize("data", ["plain", "uneven"])  # torchmetrics breaks ties by the order of the rows
def test_recall_at_k_agrees_with_torchmetrics(data, k):
    embedded = DATA[data]()
    n = len(embedded.z)
    d = torch.cdist(embedded.z.double(), embedded.z.double())
    others = ~torch.eye(n, dtype=torch.bool)
    query = torch.arange(n)[:, None].expand(n, n)[others]
    hit = (embedded.labels[:, None] == embedded.labels)[others]
    score = (2 - d / d.max())[others]  # above 0, since torchmetrics counts a score <= 0 as irrelevant
    found = torch.stack(
        [
            (RetrievalRecall(top_k=min(k, n - 1))(score[query == q], hit[query == q], query[query == q]) > 0).double()
            for q in range(n)
            if hit[query == q].any()
        ]
    )
    metric = RecallAtK(k=k)
    metric.update(embedded.z, embedded.labels)
    assert float(metric.compute()) == pytest.approx(float(found.mean()), abs=1e-12)


@pytest.mark.parametrize("data", DATA)
def test_map_at_r_and_recall_agree_with_brute_force(data):
    embedded = DATA[data]()
    d = embedded.distance.matrix(embedded.z.double(), embedded.z.double())
    averages, recalls = [], []
    for q in range(len(d)):
        same = embedded.labels == embedded.labels[q]
        rest = [i for i in range(len(d)) if i != q]
        rest.sort(key=lambda i: (float(d[q, i]), bool(same[i])))
        hits = torch.tensor([bool(same[i]) for i in rest])
        r = int(hits.sum())
        if r:
            precision = hits.cumsum(0) / torch.arange(1, len(hits) + 1)
            averages.append(float((precision * hits)[:r].sum()) / r)
            recalls.append(float(hits[:5].any()))
    assert float(filled("map@r", embedded).compute()) == pytest.approx(sum(averages) / len(averages), abs=1e-6)
    assert float(filled("recall@5", embedded).compute()) == pytest.approx(sum(recalls) / len(recalls), abs=1e-12)


def test_one_shot_error_of_separated_and_of_collapsed_embeddings():
    labels = torch.arange(6).repeat_interleave(3)
    for z, error in ((labels[:, None].float(), 0.0), (torch.ones(18, 2), 1.0)):  # ties count against the model
        metric = METRICS["one shot"]()
        metric.update(z, labels)
        assert float(metric.compute()) == error


@pytest.mark.parametrize("name", [name for name in METRICS if name != "one shot"], indirect=True)  # it has no tile
def test_the_tile_changes_nothing(name):
    embedded = clusters(uneven=True)
    assert float(filled(name, embedded, tile=7).compute()) == pytest.approx(float(filled(name, embedded).compute()))


def test_ids_remove_repetitions_and_set_the_order(name):
    embedded = clusters(uneven=True)
    n = len(embedded.z)
    mixed = torch.cat([torch.randperm(n), torch.arange(9)])  # as a sampler that fills up the last batch repeats some
    metric = METRICS[name](distance=embedded.distance)
    for rows in mixed.split(20):
        metric.update(embedded.z[rows], embedded.labels[rows], ids=rows)
    assert float(metric.compute()) == float(filled(name, embedded).compute())
    metric.update(embedded.z[:4], embedded.labels[:4])
    with pytest.raises(ValueError, match=f"in every update or in none, but 4 of {n + 13} rows have none"):
        metric.compute()


def test_reset_and_pickling(name):
    embedded = clusters()
    metric = filled(name, embedded)
    copied = pickle.loads(pickle.dumps(metric))  # noqa: S301 - our own bytes
    value = float(metric.compute())
    assert float(copied.compute()) == value
    metric.reset()
    assert metric.z == []
    metric.update(embedded.z, embedded.labels)
    assert float(metric.compute()) == value


def test_half_precision_is_widened_and_double_stays(name):
    embedded = clusters()
    expected = float(filled(name, embedded).compute())
    for dtype, kept in ((torch.float16, torch.float32), (torch.bfloat16, torch.float32), (torch.float64,) * 2):
        metric = METRICS[name]()
        metric.update(embedded.z.to(dtype).requires_grad_(), embedded.labels.int())
        assert metric.z[0].dtype == kept
        assert not metric.z[0].requires_grad
        assert float(metric.compute()) == pytest.approx(expected, abs=0.05)
    metric = METRICS[name]()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        metric.update(embedded.z, embedded.labels)
        assert float(metric.compute()) == expected


def test_empty_and_undefined(name):
    metric = METRICS[name]()
    with pytest.warns(UserWarning, match="before the ``update``"), pytest.raises(LabError, match="call update before"):
        metric.compute()
    metric.update(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long))
    with pytest.raises(LabError, match="needs embeddings, but got none"):
        metric.compute()
    metric.update(torch.rand(3, 3), torch.arange(3))  # every row of another class: no positive pair
    with pytest.raises(LabError, match=r"need"):
        metric.compute()


@pytest.mark.parametrize(
    ("z", "labels", "ids", "message"),
    [
        (
            torch.rand(4),
            torch.arange(4),
            None,
            r"z must be floats of shape .*, got float32 of shape \(4,\)",
        ),
        (torch.ones(4, 2).long(), torch.arange(4), None, "z must be .*got int64"),
        (torch.rand(4, 2), torch.arange(3), None, r"labels must be 4 integers.*\(3,\)"),
        (torch.rand(4, 2), torch.rand(4), None, "labels must be 4 integers.*float32"),
        (torch.rand(4, 2), torch.arange(4), torch.arange(5), "ids must be 4 integers"),
        (torch.rand(4, 2), torch.arange(4), torch.arange(4) - 1, "ids must be >= 0, got -1"),
    ],
)
def test_refuses_bad_shapes(name, z, labels, ids, message):
    metric = METRICS[name]()
    with pytest.raises(ValueError, match=message):
        metric.update(z, labels, ids)
    assert metric.z == []


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (EqualErrorRate, {"tile": 0}),
        (EqualErrorRate, {"pairs": 1}),
        (TrueAcceptRate, {"far": 0.0}),
        (TrueAcceptRate, {"far": float("nan")}),
        (RecallAtK, {"k": 0}),
        (MeanAveragePrecisionAtR, {"tile": -1}),
        (OneShotError, {"way": 1}),
        (OneShotError, {"shot": 0}),
        (OneShotError, {"compare": "median"}),
    ],
)
def test_refuses_bad_ranges(kind, given):
    with pytest.raises(ValueError, match=next(iter(given))):
        kind(**given)


def test_a_collection_shares_the_embeddings():
    embedded = clusters()
    collection = MetricCollection({key: make() for key, make in METRICS.items()})
    for z, labels in zip(embedded.z.split(50), embedded.labels.split(50), strict=True):
        collection.update(z, labels)
    values = collection.compute()
    assert len(collection.compute_groups) == 1
    assert {key: float(x) for key, x in values.items()} == {
        key: float(filled(key, embedded).compute()) for key in METRICS
    }


class Plain(LightningModule):
    """Somebody's own module."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Identity()
        self.figures = nn.ModuleList(make() for make in METRICS.values())

    def validation_step(self, batch, index):
        x, labels = batch
        z = self.encoder(x)
        for key, metric in zip(METRICS, self.figures, strict=True):
            metric.update(z, labels)
            self.log(f"val/{key}", metric)


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
def test_in_a_plain_lightning_module():
    embedded = clusters()
    loader = DataLoader(TensorDataset(embedded.z, embedded.labels), batch_size=32)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(accelerator="cpu", devices=1, enable_checkpointing=False, **quiet)
    (found,) = trainer.validate(Plain(), loader, verbose=False)
    assert found == {f"val/{key}": pytest.approx(float(filled(key, embedded).compute())) for key in METRICS}


def test_two_processes_give_what_one_gives(tmp_path):
    torch.multiprocessing.spawn(evaluate_share, (2, tmp_path), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    embedded = clusters(uneven=True)
    half = type(embedded)(embedded.z[::2], embedded.labels[::2], embedded.classes, embedded.distance)
    expected = {key: float(filled(key, embedded).compute()) for key in METRICS}
    expected |= {f"{key} alone": float(filled(key, half).compute()) for key in METRICS}
    assert first == second == expected


def test_the_examples_run():
    results = doctest.testmod(modules)
    assert results.failed == 0
    assert results.attempted >= 4 * 5


@pytest.mark.gpu
def test_on_a_gpu(name):
    embedded = clusters()
    metric = METRICS[name]().to("cuda")
    metric.update(embedded.z.cuda(), embedded.labels.cuda())
    value = metric.compute()
    assert value.is_cuda
    assert float(value) == pytest.approx(float(filled(name, embedded).compute()), abs=1e-3)
