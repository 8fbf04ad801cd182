"""One image file -> one array: formats, modes, and what is refused."""

import io
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from siamese_lab.data.images import Fit


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def gradient(side: int = 16) -> Image.Image:
    return Image.fromarray(np.add.outer(np.arange(side), 10 * np.arange(side)).astype(np.uint8))


@pytest.mark.parametrize("kind", ["PNG", "PPM", "BMP", "TIFF", "WEBP"])
def test_lossless_formats_give_the_pixels(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    array = Fit(None)(encoded(gradient(), kind, **options))
    assert array.dtype == np.uint8
    assert array.shape == (1, 16, 16)
    assert (array[0] == np.asarray(gradient())).all()


def test_jpeg_large_and_small_agree():
    big = gradient(64).resize((1600, 1200), Image.Resampling.BICUBIC)
    direct = Fit(32, fit="squash")(encoded(big, "PNG")).astype(int)
    drafted = Fit(32, fit="squash")(encoded(big, "JPEG", quality=95)).astype(int)
    assert np.abs(direct - drafted).max() < 12


def test_channels():
    red = encoded(Image.new("RGB", (8, 8), (255, 0, 0)))
    assert (Fit(None, channels=3)(red) == np.array([255, 0, 0])[:, None, None]).all()
    assert (Fit(None, channels=1)(red) == 76).all()  # 0.299 * 255
    assert (Fit(None, channels=3)(encoded(Image.new("L", (8, 8), 7))) == 7).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("invert", [False, True])
def test_what_is_read_can_be_written_to(channels, invert):
    assert Fit(None, channels=channels, invert=invert)(encoded(Image.new("L", (8, 8), 7))).flags.writeable


def test_palette_and_its_transparency():
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 200, 30, 90, 90, 90])
    image.putpixel((0, 0), 2)
    plain = Fit(None, channels=3)(encoded(image))
    assert plain[:, 1, 1].tolist() == [10, 200, 30]
    assert plain[:, 0, 0].tolist() == [90, 90, 90]
    holed = Fit(None, channels=3)(encoded(image, transparency=2))
    assert holed[:, 0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize(("background", "expected"), [(255, 155), (0, 27)])
def test_rgba_is_laid_on_the_background(background, expected):
    image = Image.new("RGBA", (4, 4), (54, 54, 54, 128))
    assert abs(int(Fit(None, background=background)(encoded(image))[0, 0, 0]) - expected) <= 1


def test_pad_crop_squash_invert():
    image = Image.new("L", (40, 20), 0)
    image.paste(100, (0, 0, 10, 20))  # the left quarter
    data = encoded(image)
    padded = Fit(20, fit="pad", background=250)(data)[0]
    assert (padded[:5] == 250).all()
    assert (padded[-5:] == 250).all()
    assert padded[10, 1] == 100
    cropped = Fit(20, fit="crop")(data)[0]
    assert (cropped == 0).all()  # the centre
    squashed = Fit((20, 20), fit="squash")(data)[0]
    assert (squashed[:, :4] == 100).all()
    assert (squashed[:, 6:] == 0).all()
    assert (Fit(20, fit="squash", invert=True)(data)[0] == 255 - squashed).all()
    assert Fit((10, 30), fit="pad")(data).shape == (1, 10, 30)


def test_reducing_averages():
    checks = Image.fromarray(((np.indices((64, 64)).sum(0) % 2) * 255).astype(np.uint8))
    assert np.abs(Fit(8)(encoded(checks)).astype(int) - 127).max() <= 1  # nearest neighbour would give 0 or 255


def test_warnings_are_put_back_after_threads():
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(Fit(8), [encoded(gradient())] * 50))
    assert warnings.filters == before


@pytest.mark.parametrize(
    "bad", [{"size": 0}, {"size": (3, 4, 5)}, {"channels": 2}, {"fit": "stretch"}, {"background": 300}]
)
def test_bad_ranges(bad):
    with pytest.raises(ValueError, match=str(next(iter(bad)))):
        Fit(**{"size": 8} | bad)
