"""An augmentation that is no affine map, from one Python file and one yaml: it trains, and it gives views."""

from pathlib import Path

import pytest
import torch

from siamese_lab.augment.affine import Affine
from siamese_lab.config.compose import compose
from siamese_lab.config.instantiate import build
from siamese_lab.core.random import Stream, generator
from siamese_lab.distances.euclidean import Euclidean
from siamese_lab.model.siamese import SiameseModule
from siamese_lab.model.twin import Twin
from siamese_lab.structures.batch import Batch
from siamese_lab.structures.contracts import Augmentation
from siamese_lab.structures.parameters import Parameters, repeat_row

STEPS = torch.tensor([0.0, 0.1, -0.2])  # of the views


class Brightness:
    """Adds one number to all pixels of an image."""

    def __init__(self, most: float = 0.5) -> None:
        self.most = most

    def draw(self, n: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        return {"added": (torch.rand(n, generator=g) * 2 - 1) * self.most}

    def views(self, n: int) -> dict[str, torch.Tensor]:
        return {"added": STEPS[:n] * self.most}

    def apply(self, x: torch.Tensor, parameters: Parameters) -> torch.Tensor:
        return x + parameters["added"].to(x).view(-1, 1, 1, 1)


class Patch:
    """Sets a square of two pixels to zero, with a chance; it has two parameters of different types."""

    def draw(self, n: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        return {"place": torch.rand(n, 2, generator=g), "kept": torch.rand(n, generator=g) < 0.5}

    def views(self, n: int) -> dict[str, torch.Tensor]:
        return {"place": torch.linspace(0, 1, 2 * n).view(n, 2), "kept": torch.arange(n) > 0}

    def apply(self, x: torch.Tensor, parameters: Parameters) -> torch.Tensor:
        x = x.clone()
        corners = (parameters["place"] * (x.shape[-1] - 2)).long().tolist()
        for image, (top, left), kept in zip(x, corners, parameters["kept"].tolist(), strict=True):
            if kept:
                image[:, top : top + 2, left : left + 2] = 0
        return x


class MeanPixel(torch.nn.Module):
    """Embeds an image as its corner and its mean."""

    dim, normalise = 2, False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x[:, 0, 0, 0], x.mean((1, 2, 3))], 1)


@pytest.mark.parametrize("augment", [Brightness(), Patch(), Affine()])
def test_the_views_are_averaged(augment: Augmentation) -> None:
    x = torch.rand(5, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    twin = Twin(MeanPixel(), Euclidean(), augment, views=3)
    each = [augment.apply(x, repeat_row(augment.views(3), view, 5)) for view in range(3)]
    expected = torch.stack([MeanPixel()(seen) for seen in each]).mean(0)
    torch.testing.assert_close(twin.embed(x), expected)
    torch.testing.assert_close(each[0], x, atol=1e-6, rtol=0)


@pytest.mark.parametrize("augment", [Brightness(), Patch()])
def test_each_process_changes_its_share_as_one_process_would(augment: Augmentation) -> None:
    x = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    module = SiameseModule(Twin(MeanPixel(), Euclidean(), augment), torch.nn.Identity(), lambda e: None, seed=4)
    batch = Batch(x, torch.arange(6), torch.arange(6) // 2, None, epoch=1, step=2)
    whole = module.on_after_batch_transfer(batch, 0).x
    g = generator(4, Stream.AUGMENT, 1, 2)
    assert torch.equal(whole, augment.apply(x, augment.draw(6, g)))
    share = module.on_after_batch_transfer(batch._replace(x=x[2:5], first=2), 0).x
    assert torch.equal(share, whole[2:5])


def test_one_file_and_one_yaml_make_an_option(tmp_path: Path, outputs: Path) -> None:
    from siamese_lab.data.load import load_data
    from siamese_lab.runs.folder import run_folder
    from siamese_lab.training.assemble import assemble
    from siamese_lab.training.run import train
    from tests.conftest import FEW, SMALL

    (tmp_path / "augment").mkdir()
    (tmp_path / "augment" / "brightness.yaml").write_text(
        "_target_: tests.augment.test_own.Brightness\nmost: 0.1 # of the range of a pixel\n"
    )
    words = [*SMALL, *FEW, "augment=brightness", "augment.most=0.05", "evaluation.views=3", "trainer.max_epochs=1"]
    cfg = compose(words, [tmp_path])
    assert build(cfg.augment).most == 0.05
    samples = load_data(cfg)
    folder = run_folder(cfg.study, "brightness")
    train(cfg, folder, assemble(cfg, samples=samples), force=False)
    assert (folder.path / "metrics.json").is_file()


def test_views_need_to_know_whether_the_backbone_normalises() -> None:
    Twin(torch.nn.Flatten(), Euclidean())
    with pytest.raises(ValueError, match="give it the attribute `normalise`"):
        Twin(torch.nn.Flatten(), Euclidean(), Brightness(), views=2)
