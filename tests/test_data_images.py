"""One image file -> one array: formats, modes, and what is refused."""

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from siamese_lab.data.images import BrokenImageError, Fit


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def gradient(side: int = 16) -> Image.Image:
    return Image.fromarray(np.add.outer(np.arange(side), 10 * np.arange(side)).astype(np.uint8))


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header asks for width x height pixels, of a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


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


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_not_clipped(kind):
    values = np.array([[0, 257, 32896], [65535, 65278, 300]], dtype=np.uint16)
    array = Fit(None)(encoded(Image.fromarray(values), kind))
    assert array[0].tolist() == [[0, 1, 128], [255, 254, 1]]


def test_exif_turns_the_image():
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    image = gradient().crop((0, 0, 16, 8))
    array = Fit(None)(encoded(image, exif=exif.tobytes()))
    assert array.shape == (1, 16, 8)
    assert (array[0] == np.rot90(np.asarray(image), -1)).all()


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


def test_cmyk_becomes_rgb():
    array = Fit(None, channels=3)(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "TIFF"))
    assert array[:, 0, 0].tolist() == [255, 0, 0]


def test_first_frame_of_an_animation():
    frames = [Image.new("L", (8, 8), grey) for grey in (40, 200)]
    assert (Fit(None)(encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:])) == 40).all()


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


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "0 bytes"),
        (b"just some text\n" * 20, "not an image"),
        (encoded(Image.effect_noise((64, 64), 50))[:2000], "truncated"),
        (encoded(Image.effect_noise((64, 64), 50), "JPEG")[:900], "truncated"),
        (bomb(9000, 9000), "too many pixels"),  # under Pillow's own limit
        (bomb(12000, 12000), "too many pixels"),  # where Pillow only warns
        (bomb(30000, 30000), "too many pixels"),  # where Pillow raises
        (bomb(100, 100), "truncated"),
        (encoded(Image.new("F", (4, 4), 0.5), "TIFF"), "floating-point"),
    ],
    ids=["empty", "text", "png", "jpeg", "bomb9", "bomb12", "bomb30", "short", "float"],
)
def test_refused_with_the_reason(data, reason):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(BrokenImageError, match=reason):
            Fit(32)(data)


def test_other_formats_are_not_opened():
    gif = encoded(gradient(), "GIF")
    with pytest.raises(BrokenImageError, match="not an image"):
        Fit(8)(gif)


def test_warnings_are_put_back_after_threads():
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(Fit(8), [encoded(gradient())] * 50))
    assert warnings.filters == before


@pytest.mark.parametrize("bad", [{"size": 0}, {"size": (3, 4, 5)}, {"channels": 2}, {"fit": "stretch"}, {"background": 300}])
def test_bad_ranges(bad):
    with pytest.raises(ValueError, match=str(next(iter(bad)))):
        Fit(**{"size": 8} | bad)
