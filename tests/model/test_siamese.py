"""The module: embedding without side effects, the average of weights, views, precision, what a step does."""

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional as F

from siamese_lab.augment.affine import Affine
from siamese_lab.augment.none import Unchanged
from siamese_lab.backbones.conv4 import Conv4
from siamese_lab.backbones.lenet import LeNet
from siamese_lab.data.loader import BatchLoader
from siamese_lab.distances.euclidean import Euclidean
from siamese_lab.losses.contrastive import ContrastiveLoss
from siamese_lab.losses.triplet import TripletLoss
from siamese_lab.miners.all import AllTuples
from siamese_lab.miners.batch_hard import BatchHard
from siamese_lab.model.siamese import SiameseModule
from siamese_lab.model.twin import Twin
from siamese_lab.sampling.pk import PK
from siamese_lab.sampling.random_pairs import RandomPairs
from siamese_lab.structures.batch import Batch
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.parameters import repeat_row
from siamese_lab.structures.samples import Samples
from siamese_lab.structures.tuples import Pairs

LABELS = torch.arange(6).repeat_interleave(4)


def twin_of(*, augment=None, normalise=True, backbone=None, **values):
    torch.manual_seed(0)
    backbone = backbone or Conv4(shape=(1, 16, 16), width=4, dim=3, normalise=normalise)
    return Twin(backbone, Euclidean(), augment or Affine(), **values)


def module(*, loss=None, miner=None, augment=None, backbone=None, views=1, **values):
    twin = twin_of(augment=augment, backbone=backbone, views=views)
    return SiameseModule(twin, loss or ContrastiveLoss(), miner or AllTuples(), **values)


@pytest.mark.parametrize("chunk", [5, 1])
def test_a_batch_in_chunks_has_the_gradient_of_the_whole(chunk):
    gradients = []
    for size in (None, chunk):
        torch.manual_seed(1)
        model = module(backbone=LeNet(shape=(1, 16, 16), hidden=20, dim=3), chunk=size, make_optimizers=frozen).double()
        fit(model, steps=1, precision="64-true")
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    whole, parts = gradients
    assert whole.norm() > 0
    assert (parts - whole).norm() <= 1e-12 * whole.norm()


def frozen(model):
    """An optimizer that leaves the gradients to be looked at."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    optimizer.zero_grad = lambda set_to_none=True: None
    return optimizer


def images(n=24, seed=0):
    return torch.randint(0, 256, (n, 1, 16, 16), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def batch(epoch=0, step=0, tuples=None):
    return Batch(images(), torch.arange(24), LABELS, tuples, epoch, step)


def loader(sampling):
    zeros = torch.zeros(24, dtype=torch.long)
    names = tuple(map(str, range(6)))
    samples = Samples(images(), torch.arange(24), zeros, LABELS, names, {}, zeros, "label", "")
    return BatchLoader(samples, torch.arange(24), LABELS, sampling)


def fit(model, steps=5, sampling=None, callbacks=(), **options):
    """A real training of a few steps."""
    sampling = sampling or PK(labels=LABELS, batch_size=12, per_class=4, steps=steps)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
        **options,
    )
    trainer.fit(model, loader(sampling))


pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers", "ignore:.*overridden `on_after_batch_transfer`", "ignore:.*LeafSpec"
)


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize(("views", "ema"), [(1, None), (3, None), (1, 0.9), (3, 0.9)])
def test_embedding_has_no_side_effect(views, ema):
    model = module(views=views, ema=ema)
    model.train()
    model.evaluated.backbone.trunk[0].eval()  # a part that is frozen
    modes = {name: part.training for name, part in model.named_modules()}
    before, rng = state(model), torch.get_rng_state()
    x = images()
    kept = x.clone()
    first = model.evaluated.embed(x)
    assert {name: part.training for name, part in model.named_modules()} == modes
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), rng)
    assert torch.equal(x, kept)
    assert not first.requires_grad
    assert torch.equal(model.evaluated.embed(x), first)
    model.eval()
    assert torch.equal(model.evaluated.embed(x), first)


def test_embedding_restores_the_mode_after_an_error():
    model = twin_of().train()
    with pytest.raises(RuntimeError):
        model.embed(torch.rand(2, 3, 16, 16))
    assert all(part.training for part in model.backbone.modules())


def test_an_image_is_embedded_for_itself_and_alike_as_bytes_and_floats():
    model, x = twin_of(), images()
    whole = model.embed(x)
    assert (whole.shape, whole.dtype) == ((24, 3), torch.float32)
    torch.testing.assert_close(torch.cat([model.embed(one) for one in x.split(5)]), whole)
    torch.testing.assert_close(model.embed(x.float() / 255), whole)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(model.embed(x), whole)


@pytest.mark.parametrize("channels_last", [True, False])
def test_the_memory_layout_changes_no_figure(channels_last):
    backbone = LeNet(shape=(3, 16, 16), dim=3)
    model = twin_of(backbone=backbone, channels_last=channels_last)
    x = images(72).view(24, 3, 16, 16)
    assert model.prepare(x).is_contiguous(memory_format=torch.channels_last) == channels_last
    expected = backbone.eval()(x.float() / 255)
    torch.testing.assert_close(model.embed(x), expected)


@pytest.mark.parametrize("normalise", [True, False])
def test_the_embedding_is_the_mean_of_the_views(normalise):
    model = twin_of(views=4, normalise=normalise)
    x = images().float() / 255
    model.backbone.eval()
    views = model.augment.views(4)
    seen = [model.backbone(model.augment.apply(x, repeat_row(views, view, 24))) for view in range(4)]
    mean = torch.stack(seen).mean(0)
    torch.testing.assert_close(model.embed(x), F.normalize(mean, dim=1) if normalise else mean, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(model.embed(x), twin_of(views=1, normalise=normalise).embed(x), atol=1e-3)
    still = twin_of(views=4, normalise=normalise, augment=Unchanged())
    torch.testing.assert_close(still.embed(x), twin_of(normalise=normalise).embed(x))


class Weights(pl.Callback):
    """What the weights are after each step."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.seen.append(state(pl_module.twin.backbone))


def test_the_average_follows_the_written_out_one():
    model, weights = module(ema=0.8), Weights()
    fit(model, steps=6, callbacks=[weights])
    expected = weights.seen[0]
    for now in weights.seen[1:]:
        expected = {name: 0.8 * kept + 0.2 * now[name] for name, kept in expected.items()}
    averaged = model.average.module.backbone.state_dict()
    for name, value in expected.items():
        if averaged[name].is_floating_point():  # weights, and the batch statistics too
            torch.testing.assert_close(averaged[name], value, atol=1e-6, rtol=1e-5)
    assert "trunk.0.1.running_mean" in expected
    x = images()
    assert not torch.equal(model.evaluated.embed(x), model.twin.embed(x))
    plain = twin_of()
    plain.backbone.load_state_dict({name: averaged[name] for name in averaged})
    assert torch.equal(model.evaluated.embed(x), plain.embed(x))
    plain.backbone.load_state_dict(weights.seen[-1])
    assert torch.equal(model.twin.embed(x), plain.embed(x))
    assert not any(p.requires_grad for p in model.average.parameters())
    assert model.evaluated.distance is not model.twin.distance


def test_without_an_average_the_weights_themselves_are_evaluated():
    model = module()
    assert model.evaluated is model.twin


@pytest.mark.parametrize("values", [{"ema": 0.0}, {"ema": 1.0}, {"ema": float("nan")}, {"views": 0}])
def test_bad_ranges_are_refused(values):
    with pytest.raises(ValueError, match=next(iter(values))):
        module(**values)


def test_augmentation_is_a_function_of_seed_epoch_and_step():
    model, rng = module(seed=3), torch.get_rng_state()
    made = model.on_after_batch_transfer(batch(1, 2), 0)
    assert torch.equal(torch.get_rng_state(), rng)
    assert made.x.dtype == torch.float32
    assert float(made.x.min()) >= 0
    assert float(made.x.max()) <= 1.0 + 1e-6
    assert torch.equal(made.x, module(seed=3).on_after_batch_transfer(batch(1, 2), 0).x)
    for other in (
        module(seed=4).on_after_batch_transfer(batch(1, 2), 0),
        *(model.on_after_batch_transfer(batch(*at), 0) for at in ((1, 3), (2, 2))),
    ):
        assert not torch.equal(other.x, made.x)
    assert torch.equal(made.ids, torch.arange(24))


class Recorded(nn.Module):
    """A loss that remembers the tuples that it was given."""

    def __init__(self, loss):
        super().__init__()
        self.loss, self.given = loss, []

    def forward(self, e, tuples=None):
        self.given.append(tuples)
        return self.loss(e, tuples)


def test_tuples_come_from_the_sampling_else_from_the_miner():
    recorded = Recorded(ContrastiveLoss())
    fit(module(loss=recorded), steps=2)
    assert recorded.given == [None, None]
    fit(module(loss=recorded, miner=BatchHard()), steps=1)
    assert len(recorded.given[-1].anchor) == 12
    fit(module(loss=recorded), sampling=RandomPairs(labels=LABELS, batch_size=12, steps=1))
    assert isinstance(recorded.given[-1], Pairs)
    assert len(recorded.given[-1].same) == 6


@pytest.mark.parametrize(
    ("precision", "dtype"), [("64-true", torch.float64), ("bf16-mixed", torch.float32), ("32-true", torch.float32)]
)
def test_a_step_in_each_precision(precision, dtype):
    recorded = Recorded(TripletLoss())
    model = module(loss=recorded, ema=0.5)
    before = state(model)
    fit(model, steps=2, precision=precision)
    assert model.evaluated.embed(images()).dtype == dtype
    assert not torch.equal(model.twin.backbone.head.linear.weight, before["twin.backbone.head.linear.weight"].to(dtype))
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())


def test_training_brings_same_label_images_together():
    model = module(augment=Unchanged(), loss=ContrastiveLoss(margin=1.0))
    model.make_optimizers = lambda module: torch.optim.Adam(module.parameters(), lr=0.01)

    def value():
        model.twin.backbone.train()
        return float(model.loss(Embedded(model.twin.backbone(model.twin.prepare(images())), LABELS))[0].detach())

    before = value()
    fit(model, steps=60)
    assert value() < 0.6 * before
