"""Every backbone of conf/backbone: shapes, the sphere, sizes of the papers."""

import pytest
import torch
from torch import nn

from siamese_lab.backbones._head import Head
from siamese_lab.backbones.conv4 import Conv4
from siamese_lab.backbones.koch import Koch
from siamese_lab.config.groups import option_names
from siamese_lab.core.errors import LabError
from siamese_lab.distances.weighted_l1 import WeightedL1
from siamese_lab.losses.bce import BCELoss

SHAPES = {"koch": [(1, 105, 105)]}  # every other one takes what comes
ANY = [(1, 28, 28), (3, 33, 20)]
CASES = [(name, shape) for name in option_names("backbone") for shape in SHAPES.get(name, ANY)]


@pytest.fixture(scope="module")
def koch():
    return Koch(shape=(1, 105, 105))


@pytest.fixture(params=CASES, ids=str)
def case(request, make, koch):
    name, shape = request.param
    return (koch if name == "koch" else make("backbone", name, {"shape": shape})), shape


def test_embeddings_have_their_shape_and_gradients(case):
    backbone, shape = case
    x = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0))
    z = backbone(x)
    assert z.shape == (3, backbone.dim)
    assert z.isfinite().all()
    z.square().sum().backward() if backbone.dim == 4096 else z[:, 0].sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in backbone.parameters())
    backbone.eval()
    with torch.no_grad():
        # an image is embedded for itself
        torch.testing.assert_close(backbone(x)[:1], backbone(x[:1]), atol=1e-5, rtol=1e-4)
    backbone.zero_grad()


def test_normalise_puts_embeddings_on_the_sphere(case, request, make):
    name, shape = request.node.callspec.params["case"]
    backbone, _ = case
    if not hasattr(backbone.head, "normalise"):
        pytest.skip("exact networks of papers do not normalise")
    x = torch.rand(4, *shape)
    torch.testing.assert_close(backbone(x).norm(dim=1), torch.ones(4))
    free = make("backbone", name, {"shape": shape}, normalise=False, dim=7)(x)
    assert free.shape == (4, 7)
    assert (free.norm(dim=1) - 1).abs().min() > 1e-3


def test_autocast_embeds_in_float32_where_it_normalises(case):
    backbone, shape = case
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        z = backbone.eval()(torch.rand(2, *shape))
    if hasattr(backbone.head, "normalise"):
        assert z.dtype == torch.float32
        torch.testing.assert_close(z.norm(dim=1), torch.ones(2))


@pytest.mark.parametrize("name", option_names("backbone"))
@pytest.mark.parametrize("size", [1, 4, 15])
def test_images_too_small_are_refused_with_a_word(name, size, make):
    if name == "mlp":  # any size is enough for it
        backbone = make("backbone", name, {"shape": (1, size, size)})
        assert backbone(torch.rand(2, 1, size, size)).shape == (2, backbone.dim)
        return
    with pytest.raises(LabError, match=rf"1x{size}x{size}.*data\.size") as refused:
        make("backbone", name, {"shape": (1, size, size)})
    assert isinstance(refused.value.__cause__, ValueError)


@pytest.mark.parametrize("name", ["conv4", "lenet"])
def test_sixteen_pixels_are_enough(name, make):
    assert make("backbone", name, {"shape": (1, 16, 16)})(torch.rand(2, 1, 16, 16)).shape == (2, 64)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("conv4", {"width": 0}, "width must be > 0"),
        ("conv4", {"dim": 0}, "dim must be > 0"),
        ("lenet", {"hidden": -1}, "hidden must be > 0"),
        ("mlp", {"hidden": [8, 0]}, "hidden must hold numbers > 0"),
    ],
)
def test_sizes_are_positive(name, values, message, make):
    with pytest.raises(LabError, match=message):
        make("backbone", name, {"shape": (1, 28, 28)}, **values)


def test_koch_has_the_papers_size(koch):
    def count(module):
        return sum(p.numel() for p in module.parameters())

    head, bias = WeightedL1(dim=koch.dim), BCELoss()
    assert (count(koch), count(head), count(bias)) == (38_947_648, 4_096, 1)
    assert count(koch) + count(head) + count(bias) == 38_951_745


def test_koch_has_the_papers_layers_and_starting_weights(koch):
    x, shapes = torch.rand(1, 1, 105, 105), []
    with torch.no_grad():
        for layer in koch.trunk:
            x = layer(x)
            shapes.append(tuple(x.shape[1:]))
    # figure 4
    expected = [
        (64, 96, 96),
        (64, 48, 48),
        (128, 42, 42),
        (128, 21, 21),
        (128, 18, 18),
        (128, 9, 9),
        (256, 6, 6),
        (9216,),
    ]
    assert [shape for i, shape in enumerate(shapes) if i == 0 or shape != shapes[i - 1]] == expected
    for layer in koch.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            spread = 0.01 if isinstance(layer, nn.Conv2d) else 0.2
            assert float(layer.weight.data.std()) == pytest.approx(spread, rel=0.05)
            assert float(layer.bias.data.mean()) == pytest.approx(0.5, abs=0.01)
    with pytest.raises(ValueError, match="needs images of 1x105x105, got 3x105x105"):
        Koch(shape=(3, 105, 105))


def test_conv4_equals_the_papers_order_to_the_last_bit():
    torch.manual_seed(0)
    backbone, x = Conv4(shape=(1, 28, 28), width=8, dim=4), torch.randn(6, 1, 28, 28)
    ours = backbone.trunk(x)
    paper = x
    for convolution, normalisation, maximum, relu in backbone.trunk[:-1]:
        paper = maximum(relu(normalisation(convolution(paper))))
    assert torch.equal(ours, paper.flatten(1))


def test_a_dry_run_leaves_no_trace_in_the_batch_statistics():
    for layer in Conv4(shape=(1, 28, 28), width=4).modules():
        assert layer.training
        if isinstance(layer, nn.BatchNorm2d):
            assert int(layer.num_batches_tracked) == 0
            assert layer.running_mean.eq(0).all()


def test_head_normalises_zero_without_nan():
    head = Head(3, 2, normalise=True)
    nn.init.zeros_(head.linear.bias)
    x = torch.zeros(2, 3, requires_grad=True)
    head(x).sum().backward()
    assert x.grad.isfinite().all()
