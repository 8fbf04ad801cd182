"""One image file of any common format and mode -> one uint8 array, with limits against hostile files."""

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

VERSION = 1  # raise it when the same file would give other pixels: stores are built anew
FORMATS = ("PNG", "JPEG", "PPM", "BMP", "WEBP", "TIFF")  # Pillow knows 40 more, some of which run other programs
MAGIC = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*")  # how their files begin
SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".pgm", ".ppm", ".pbm", ".pnm", ".bmp", ".webp", ".tif", ".tiff"))
MAX_PIXELS = 50_000_000  # checked in the header: a 10 kB PNG can ask for gigabytes
WIDE = "pixels of 32 bits, whose range is unknown: save it with 8 or 16 bits"
MAX_BYTES = 1 << 29  # of one file


class BrokenImageError(ValueError):
    """An image that cannot be used; the message is the reason, without the file's name."""


@dataclass(frozen=True)
class Fit:
    """How an image becomes an array (channels, height, width), uint8.

    Orientation tags are obeyed; 16-bit greys are scaled (v / 257), not clipped; transparent pixels show the background;
    CMYK and palettes become RGB; of an animation or a file of several pages the first is taken.

    Args:
        size: of the result in pixels, a side or (height, width); None keeps the image's own.
        channels: 1 (grey, ITU-R 601 luma) or 3 (RGB).
        fit: "pad" (whole image, borders filled with the background), "crop" (its centre) or "squash" (both sides
            scaled).
        invert: 255 - v, for dark ink on a white ground.
        background: 0 to 255, the grey of borders and behind transparent pixels; before `invert`.
        max_pixels: an image with more is refused by its header, before it is decoded.

    Raises:
        ValueError: for values out of these ranges.
    """

    size: int | tuple[int, ...] | None
    channels: int = 1
    fit: str = "pad"
    invert: bool = False
    background: int = 255
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        if self.size is not None:
            sides = (self.size, self.size) if isinstance(self.size, int) else tuple(self.size)
            if len(sides) != 2 or not all(isinstance(s, int) and 1 <= s <= 8192 for s in sides):
                raise ValueError(f"size must be a side or [height, width], 1 to 8192 pixels each, got {self.size}")
            object.__setattr__(self, "size", sides)  # one spelling: 28 and [28, 28] are the same store
        if self.channels not in (1, 3):
            raise ValueError(f"channels must be 1 (grey) or 3 (RGB), got {self.channels}")
        if self.fit not in ("pad", "crop", "squash"):
            raise ValueError(f"fit must be pad, crop or squash, got {self.fit!r}")
        if not 0 <= self.background <= 255:
            raise ValueError(f"background must be a grey of 0 to 255, got {self.background}")
        if not self.max_pixels > 0:
            raise ValueError(f"max_pixels must be > 0, got {self.max_pixels}")

    def __call__(self, data: bytes) -> NDArray[np.uint8]:
        """Decodes the bytes of a file to (channels, height, width).

        Raises:
            BrokenImageError: with the reason.
        """
        return self.to_array(self.decode(data))

    def decode(self, data: bytes) -> Image.Image:
        """Decodes the bytes of a file to an upright, opaque image of its own size, L or RGB.

        Raises:
            BrokenImageError: with the reason.
        """
        with handle_pillow_warnings():
            try:
                image = self._open(data)
                image.load()
                return self._to_opaque(ImageOps.exif_transpose(image) if _is_rotated(image) else image)
            except BrokenImageError:
                raise
            except Exception as error:  # decoders also raise SyntaxError, zlib.error, struct.error, ...
                if "truncated" in str(error).lower():
                    raise BrokenImageError("truncated") from error
                raise BrokenImageError(f"cannot be decoded ({error or type(error).__name__})") from error

    def to_array(self, image: Image.Image) -> NDArray[np.uint8]:
        """An opened image fitted to the size, (channels, height, width)."""
        image = self._resize_to_fit(image)
        pixels = np.frombuffer(image.tobytes(), dtype=np.uint8).reshape(image.height, image.width, self.channels)
        # a copy: what lies in bytes cannot be written to, and torch warns of that
        return np.array((255 - pixels if self.invert else pixels).transpose(2, 0, 1), order="C")

    def _open(self, data: bytes) -> Image.Image:
        if not data:
            raise BrokenImageError("empty, 0 bytes")
        try:
            image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
        except UnidentifiedImageError as error:
            if data.startswith(MAGIC) or (data[:4], data[8:12]) == (b"RIFF", b"WEBP"):
                raise BrokenImageError("truncated or damaged in its header") from error
            raise BrokenImageError(f"not an image (of {', '.join(FORMATS)})") from error
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise BrokenImageError(f"too many pixels (more than {self.max_pixels:,})") from error
        width, height = image.size
        if width * height > self.max_pixels:
            raise BrokenImageError(f"too many pixels ({width} x {height}, more than {self.max_pixels:,})")
        if (image.format, image.mode) == ("TIFF", "I"):
            raise BrokenImageError(WIDE)
        if isinstance(self.size, tuple) and image.format == "JPEG":
            image.draft(None, _draft_size(self.size, width, height))  # decodes large photographs at 1/2, 1/4 or 1/8
        return image

    def _resize_to_fit(self, image: Image.Image) -> Image.Image:
        if not isinstance(self.size, tuple) or (image.height, image.width) == self.size:
            return image
        height, width = self.size
        if self.fit == "squash":
            return _resize(image, width, height)
        ratios = (width / image.width, height / image.height)
        scale = min(ratios) if self.fit == "pad" else max(ratios)
        sides = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        if prod(sides) > max(self.max_pixels, 8 * width * height):
            raise BrokenImageError(
                f"too narrow to be cropped ({image.width} x {image.height}): data.fit=pad or squash takes it"
            )
        inner = _resize(image, *sides)
        left, top = (width - inner.width) // 2, (height - inner.height) // 2
        if self.fit == "crop":
            return inner.crop((-left, -top, width - left, height - top))
        canvas = Image.new(inner.mode, (width, height), (self.background,) * len(inner.getbands()))
        canvas.paste(inner, (left, top))
        return canvas

    def _to_opaque(self, image: Image.Image) -> Image.Image:
        """An image of whatever mode as L or RGB, transparent pixels filled with the background."""
        wanted = "L" if self.channels == 1 else "RGB"
        if image.mode.startswith("I"):
            image = _to_8_bits(image)
        elif image.mode == "P" and image.palette is None:
            raise BrokenImageError("its palette is missing")
        elif image.mode == "F":
            raise BrokenImageError("pixels are floating-point numbers of unknown range: save it with 8 or 16 bits")
        if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
            image = image.convert("RGBA")
            ground = Image.new("RGBA", image.size, (self.background,) * 3 + (255,))
            image = Image.alpha_composite(ground, image).convert("RGB")
        elif image.mode not in ("1", "L", "RGB"):  # palette, CMYK, YCbCr, LAB: grey is made of RGB
            image = image.convert("RGB")
        return image.convert(wanted)


def _draft_size(wanted: tuple[int, ...], width: int, height: int) -> tuple[int, int]:
    """Pixels (width, height) that still leave twice the wanted resolution, whichever way the image is turned."""
    scale = 2 * max(wanted) / min(width, height)
    return int(np.ceil(width * scale)), int(np.ceil(height * scale))


def _is_rotated(image: Image.Image) -> bool:
    try:
        return bool(image.getexif().get(ExifTags.Base.Orientation, 1) != 1)
    except Exception as error:
        raise BrokenImageError("its EXIF block (orientation) cannot be read: save it without") from error


def _resize(image: Image.Image, width: int, height: int) -> Image.Image:
    # HAMMING covers every source pixel where it reduces
    reduces = width <= image.width and height <= image.height
    return image.resize((width, height), Image.Resampling.HAMMING if reduces else Image.Resampling.BICUBIC)


def _to_8_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.size and (values.min() < 0 or values.max() > 65535):
        raise BrokenImageError(WIDE)
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


_lock, _guards, _entered = threading.Lock(), [warnings.catch_warnings()], 0


@contextmanager
def handle_pillow_warnings() -> Iterator[None]:
    """Silences Pillow's warnings and makes its decompression-bomb warning an error while any thread decodes.

    `warnings.catch_warnings` alone is not safe in a pool, since the filters belong to the process: the first thread
    sets them, the last one restores them.
    """
    global _entered
    with _lock:
        if _entered == 0:
            _guards[0] = warnings.catch_warnings()
            _guards[0].__enter__()
            warnings.simplefilter("ignore", UserWarning)
            warnings.simplefilter("error", Image.DecompressionBombWarning)
        _entered += 1
    try:
        yield
    finally:
        with _lock:
            _entered -= 1
            if _entered == 0:
                _guards[0].__exit__(None, None, None)
