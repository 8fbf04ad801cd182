"""Losses and miners of pytorch-metric-learning through our adapters: the same as calling them directly."""

import inspect
import sys
import warnings

import pytest
import torch
from omegaconf import OmegaConf
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning import miners as pml_miners

from siamese_lab.adapters import pytorch_metric_learning as adapter
from siamese_lab.config.compose import compose
from siamese_lab.config.groups import option_file
from siamese_lab.config.instantiate import build
from siamese_lab.config.trust import EVERYTHING, LAB_ONLY
from siamese_lab.core.errors import LabError
from siamese_lab.losses.pytorch_metric_learning import PytorchMetricLearning
from siamese_lab.miners.pytorch_metric_learning import PytorchMetricLearning as Miner
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Pairs, Triplets, as_triplets
from siamese_lab.training.assemble import assemble
from tests.losses._references import LABELS, plain, points, problem

NEEDED = {"RankedListLoss": {"margin": 0.4, "Tn": 4}}


def names(part, base):
    """All classes of the library but those that have no place here, each with its reason."""
    found = [
        name for name, one in vars(part).items() if inspect.isclass(one) and issubclass(one, base) and one is not base
    ]
    return sorted(set(found) - set(adapter.UNFIT))


LOSSES = names(pml_losses, pml_losses.BaseMetricLossFunction)
MINERS = names(pml_miners, pml_miners.BaseMiner)


def adapted(name, **arguments):
    torch.manual_seed(0)
    return PytorchMetricLearning(dim=5, classes=4, name=name, arguments=arguments or NEEDED.get(name))


def batch(n=12, dtype=torch.float64):
    """Four classes of three images, in blocks, as some of their losses ask for."""
    z, _ = problem(n, 4, 5, dtype)
    return z.requires_grad_(), torch.arange(n) // 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_gives_what_it_gives_when_called_directly(name, dtype):
    z, labels = batch(dtype=dtype)
    ours = adapted(name)
    value, facts = ours(Embedded(z, labels))
    (gradient,) = torch.autograd.grad(value, z)
    torch.manual_seed(0)
    asks = {"num_classes": 4, "embedding_size": 5, "descriptors_dim": 5}
    given = {
        key: asks[key]
        for key, p in adapter.accepted_parameters(getattr(pml_losses, name)).items()
        if key in asks and p.default is p.empty
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        directly = getattr(pml_losses, name)(**given, **NEEDED.get(name, {}))
    theirs = directly(z, labels).sum()
    (expected,) = torch.autograd.grad(theirs, z)
    torch.testing.assert_close(value, theirs.to(dtype))
    torch.testing.assert_close(gradient, expected)
    assert gradient.isfinite().all()
    assert gradient.abs().sum() > 0
    assert value.shape == ()
    assert facts["active"] == facts["tuples"] > 0


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_runs_under_autocast_as_without(name):
    z, labels = batch(dtype=torch.float32)
    value, _ = adapted(name)(Embedded(z, labels))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half, _ = adapted(name)(Embedded(z, labels))
        lower, _ = adapted(name)(Embedded(z.bfloat16(), labels))
    assert torch.equal(value, half)
    assert lower.isfinite()
    assert lower.dtype == torch.float32


@pytest.mark.parametrize(
    ("name", "arguments", "consumes"),
    [
        ("CircleLoss", {"m": 0.25, "gamma": 30}, "pairs"),
        ("ContrastiveLoss", {"neg_margin": 0.7}, "pairs"),
        ("TripletMarginLoss", {"margin": 0.3, "smooth_loss": True}, "triplets"),
        ("MarginLoss", {"margin": 0.1, "beta": 0.9}, "triplets"),
        ("NTXentLoss", {"temperature": 0.3}, "pairs"),
        ("SupConLoss", {"temperature": 0.3}, "pairs"),
        ("TupletMarginLoss", {"margin": 4.5, "scale": 20}, "pairs"),
        ("IntraPairVarianceLoss", {"pos_eps": 0.02}, "pairs"),
        ("LiftedStructureLoss", {"neg_margin": 0.5}, "pairs"),
        ("AngularLoss", {"alpha": 35}, "pairs"),
        ("FastAPLoss", {"num_bins": 7}, "labels"),
        ("NCALoss", {"softmax_scale": 3}, "labels"),
        ("PNPLoss", {"variant": "Ib", "b": 3}, "labels"),
        ("SubCenterArcFaceLoss", {"sub_centers": 2, "margin": 20.5}, "labels"),
    ],
)
def test_arguments_reach_the_loss(name, arguments, consumes):
    z, labels = batch()
    ours = adapted(name, **arguments)
    asks = {"num_classes": 4, "embedding_size": 5} if name == "SubCenterArcFaceLoss" else {}
    torch.manual_seed(0)
    theirs = getattr(pml_losses, name)(**asks, **arguments)(z, labels)
    torch.testing.assert_close(ours(Embedded(z, labels))[0], theirs)
    assert plain(adapted(name)(Embedded(z, labels))[0]) != pytest.approx(plain(theirs))  # they matter
    assert ours.consumes == consumes


def test_tuples_become_their_indices():
    e = Embedded(points(), LABELS)
    pairs = Pairs(torch.tensor([0, 3, 0, 5]), torch.tensor([1, 4, 7, 2]), torch.tensor([True, True, False, False]))
    for name in ("ContrastiveLoss", "NTXentLoss"):  # to the second one the left end is the anchor
        value, facts = adapted(name)(e, pairs)
        indices = pairs.left[:2], pairs.right[:2], pairs.left[2:], pairs.right[2:]
        torch.testing.assert_close(value, getattr(pml_losses, name)()(e.z, LABELS, indices))
        assert int(facts["tuples"]) == 4
    triplets = Triplets(torch.tensor([0, 3]), torch.tensor([1, 4]), torch.tensor([7, 2]))
    for name in ("TripletMarginLoss", "MultiSimilarityLoss"):
        torch.testing.assert_close(
            adapted(name)(e, triplets)[0], getattr(pml_losses, name)()(e.z, LABELS, tuple(triplets))
        )


REMEMBERING = [name for name in LOSSES if name in pml_losses.CrossBatchMemory.supported_losses() and name != "NCALoss"]


@pytest.mark.parametrize("name", REMEMBERING)
def test_memory_rows_are_their_reference_embeddings(name):
    loss = adapted(name)
    assert loss.uses_memory
    z, labels = batch()
    with torch.no_grad():
        z[9] = z[0]
    ids = torch.arange(12)
    ids[9] = 0  # the memory holds the first image
    value, _ = loss(Embedded(z, labels, ids, anchors=6))
    same, others = labels[:6, None] == labels, torch.arange(6)[:, None] != ids
    if loss.consumes == "triplets":
        indices = tuple(as_triplets(Embedded(z, labels, ids, anchors=6), None))
    else:
        indices = (*(same & others).nonzero(as_tuple=True), *(~same).nonzero(as_tuple=True))
    torch.testing.assert_close(value, getattr(pml_losses, name)()(z[:6], labels[:6], indices, z, labels))
    assert plain(value) != pytest.approx(plain(loss(Embedded(z[:6], labels[:6]))[0]))


def test_what_cannot_use_a_memory_says_so():
    assert not adapted("TripletMarginLoss", swap=True).uses_memory  # of references it takes the wrong rows
    assert not adapted("TripletMarginLoss", triplets_per_anchor=5).uses_memory
    assert not adapted("ArcFaceLoss").uses_memory
    assert not adapted("NCALoss").uses_memory


def test_pairs_of_one_image_are_left_out():
    z, ids = points(), torch.tensor([0, 0, 2, 3, 4, 5, 6, 7])
    _, facts = adapted("ContrastiveLoss")(Embedded(z, LABELS, ids))
    assert int(facts["tuples"]) == 8 * 7 - 2


def test_drawn_triplets_follow_epoch_and_step_and_leave_the_stream_alone():
    loss = adapted("TripletMarginLoss", triplets_per_anchor=1)
    z, labels = batch(24)

    def value(*where):
        torch.manual_seed(torch.seed())
        return plain(loss(Embedded(z, labels, where=where))[0])

    assert value(0, 1) == value(0, 1) != value(0, 2)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    loss(Embedded(z, labels))
    assert torch.equal(torch.rand(1), expected)


# miners


@pytest.mark.parametrize("name", MINERS)
def test_every_miner_gives_what_it_gives_when_called_directly(name):
    z, labels = batch(24)
    e = Embedded(z, labels, where=(2, 3))
    ours = Miner(seed=1, name=name)
    found = ours(e)
    with adapter.seeded(z.device, 1, 102, 2, 3):
        theirs = getattr(pml_miners, name)()(z, labels)
    if len(theirs) == 3:
        assert isinstance(found, Triplets)
        expected = theirs
    else:
        assert isinstance(found, Pairs)
        assert torch.equal(found.same, labels[found.left] == labels[found.right])
        expected = torch.cat([theirs[0], theirs[2]]), torch.cat([theirs[1], theirs[3]])
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=False))
    assert ours.produces == ("triplets" if len(theirs) == 3 else "pairs")
    assert len(found[0]) > 0


@pytest.mark.parametrize("name", MINERS)
def test_miners_look_at_memory_rows_and_never_at_the_image_itself(name):
    z, labels = batch(24)
    ids = torch.arange(24)
    ids[12:15] = ids[:3]
    labels[12:15] = labels[:3]
    found = Miner(name=name)(Embedded(z, labels, ids, anchors=12))
    assert (found[0] < 12).all()
    assert (ids[found[0]] != ids[found[1]]).all()
    assert (torch.cat(found[1:3] if isinstance(found, Triplets) else [found[1]]) >= 12).any()


def test_arguments_reach_the_miner():
    z, labels = batch(24)
    few, many = (
        Miner(name="TripletMarginMiner", arguments={"margin": margin})(Embedded(z, labels)) for margin in (0.0, 0.5)
    )
    assert len(few.anchor) < len(many.anchor)


# names and arguments that do not fit


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"name": "CircelLoss"},
            "loss.name: name must be one of the losses of pytorch-metric-learning, got 'CircelLoss': did you mean "
            "CircleLoss?",
        ),
        ({"name": "LpDistance"}, "name must be one of the losses"),
        ({"name": "torch"}, "name must be one of the losses"),
        ({"name": "os.system"}, "name must be one of the losses"),
        ({"name": "BaseMetricLossFunction"}, "name must be one of the losses"),
        ({"name": "CrossBatchMemory"}, "memory=xbm"),
        ({"name": "MultipleLosses"}, "loss=weighted_sum"),
        (
            {"name": "CircleLoss", "arguments": {"gama": 3}},
            "loss.arguments: arguments has no key gama: did you mean gamma?",
        ),
        ({"name": "CircleLoss", "arguments": {"m": "wide"}}, "arguments.m must be a number, got the text 'wide'"),
        ({"name": "CircleLoss", "arguments": {"m": float("nan")}}, "arguments.m must be a finite number"),
        (
            {"name": "TripletMarginLoss", "arguments": {"smooth_loss": 1}},
            "arguments.smooth_loss must be true or false, got 1",
        ),
        ({"name": "TripletMarginLoss", "arguments": {"distance": "lp"}}, "arguments.distance cannot be given"),
        ({"name": "RankedListLoss", "arguments": {"Tn": 10}}, "arguments.margin is missing: RankedListLoss needs it"),
        ({"name": "PNPLoss", "arguments": {"variant": "X"}}, "arguments do not suit PNPLoss"),
        (
            {"name": "RankedListLoss", "arguments": {"margin": 0.4, "Tn": 4, "imbalance": 2}},
            "arguments do not suit RankedListLoss",
        ),
        ({"name": "HistogramLoss"}, "name must be another one than HistogramLoss"),
        ({"name": "SmoothAPLoss"}, "name must be another one than SmoothAPLoss: unless every class"),
    ],
)
@pytest.mark.parametrize("trust", [EVERYTHING, LAB_ONLY])
def test_what_does_not_fit_is_refused(values, words, trust):
    content = OmegaConf.to_container(OmegaConf.load(option_file("loss", "pytorch_metric_learning")))
    content.pop("defaults")
    with pytest.raises(LabError) as caught:
        build(OmegaConf.create({"loss": content | values}).loss, dim=5, classes=4, trust=trust)
    assert words in str(caught.value)


def test_several_misfits_are_said_at_once():
    with pytest.raises(ValueError, match=r"arguments\.m must be a number.*; arguments has no key scale"):
        adapted("CircleLoss", m="x", scale=3)


def test_every_name_that_has_no_place_here_is_one_of_theirs():
    assert all(hasattr(pml_losses, name) or hasattr(pml_miners, name) for name in adapter.UNFIT)


def test_miners_are_refused_by_name_too():
    with pytest.raises(ValueError, match="did you mean BatchHardMiner"):
        Miner(name="BatchHardMinr")
    with pytest.raises(ValueError, match="sampling=random_triplets"):
        Miner(name="EmbeddingsAlreadyPackagedAsTriplets")


@pytest.mark.parametrize("part", ["losses", "miners"])
def test_without_the_library_one_message_says_what_to_install(monkeypatch, part):
    monkeypatch.setitem(sys.modules, f"pytorch_metric_learning.{part}", None)
    with pytest.raises(LabError, match=r"pip install siamese-lab\[pml\]"):
        adapter.find_class(part, "CircleLoss")


def test_from_the_command_line_to_a_run():
    words = ["loss=pytorch_metric_learning", "loss.name=CircleLoss", "loss.arguments={m: 0.4, gamma: 80}"]
    cfg = compose(
        [*words, "data.size=16", "data.images_per_class=8", "data.train_scripts=[GREEK]", "sampling.batch_size=32"]
    )
    experiment = assemble(cfg, trust=LAB_ONLY)
    assert (experiment.module.loss.loss.m, experiment.module.loss.loss.gamma) == (0.4, 80)
    assert cfg.distance["_target_"].endswith("Cosine")
