"""The twin encoder alone: as it was trained, with gradients, and rebuilt from a run's folder."""

import pytest
import torch

from siamese_lab.backbones.lenet import LeNet
from siamese_lab.config.compose import EVALUATED, compose, read_config
from siamese_lab.core.errors import LabError
from siamese_lab.distances.euclidean import Euclidean
from siamese_lab.distances.weighted_l1 import WeightedL1
from siamese_lab.model.build_twin import load_twin
from siamese_lab.model.checkpoint import restore_twin
from siamese_lab.model.twin import Twin
from siamese_lab.training.assemble import assemble
from tests.conftest import SMALL, run


def images(n=6, seed=0):
    return torch.randint(0, 256, (n, 1, 16, 16), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def lenet():
    torch.manual_seed(0)
    return LeNet(shape=(1, 16, 16), hidden=20, dim=5)


def test_forward_is_the_distance_of_both_embeddings():
    twin = Twin(lenet(), Euclidean()).eval()
    left, right = images(seed=1), images(seed=2)
    a, b = twin.embed(left), twin.embed(right)
    torch.testing.assert_close(twin(left, right), (a - b).norm(dim=1))
    assert torch.equal(twin(left, right), twin(right, left))


def test_forward_trains_the_backbone_and_the_distance():
    torch.manual_seed(0)
    twin = Twin(lenet(), WeightedL1(dim=5))
    twin(images(seed=1), images(seed=2)).sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in twin.parameters())


def test_the_precision_and_the_place_are_those_of_the_weights():
    twin = Twin(lenet(), Euclidean()).double()
    assert (twin.dim, twin.dtype, twin.device.type) == (5, torch.float64, "cpu")
    assert twin.embed(images()).dtype == torch.float64


def test_a_backbone_without_weights_is_a_twin_too():
    pixels = torch.nn.Flatten()
    pixels.dim, pixels.normalise = 256, False
    twin = Twin(pixels, Euclidean())
    assert twin.embed(images()).shape == (6, 256)
    assert float(twin(images(), images()).max()) == 0.0


@pytest.mark.parametrize("words", [(), ("trainer.ema=0.9", "evaluation.views=3"), ("distance=weighted_l1",)])
def test_a_runs_twin_embeds_as_its_training_did(outputs, words):
    small = ("trainer.max_epochs=1", "sampling.steps=3", "sampling.batch_size=96")
    folder, _ = run(*small, *words)
    twin = load_twin(folder, read_config(folder.path / "config.yaml", EVALUATED))
    module = assemble(compose([*SMALL, *small, *words])).module
    weights = torch.load(folder.path / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    module.load_state_dict(weights)
    x = images()
    assert torch.equal(twin.embed(x), module.evaluated.embed(x))
    assert twin.views == module.evaluated.views
    a, b = twin.embed(x)[:3], twin.embed(x)[3:]
    assert torch.equal(twin.distance.pairwise(a, b), module.evaluated.distance.pairwise(a, b))


def test_weights_of_another_kind_are_refused(tmp_path):
    twin = Twin(lenet(), Euclidean())
    weights = {f"twin.{name}": tensor for name, tensor in twin.state_dict().items()}
    path = tmp_path / "one.ckpt"
    torch.save({"state_dict": weights, "epoch": 2}, path)
    assert restore_twin(twin, path) == 3
    torch.save({"state_dict": {**weights, "extra": torch.zeros(1)}, "epoch": 2}, path)
    with pytest.raises(LabError, match="weights of another kind, extra"):
        restore_twin(twin, path)
    weights.pop(next(iter(weights)))
    torch.save({"state_dict": weights, "epoch": 2}, path)
    with pytest.raises(LabError, match=r"no checkpoint of this run's network: .*Missing key"):
        restore_twin(twin, path)
