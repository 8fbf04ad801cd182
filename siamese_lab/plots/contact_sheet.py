"""Strips of thumbnails with words below, as one picture."""

import math
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from siamese_lab.plots._style import LIGHT, ORANGE
from siamese_lab.plots.thumbnails import thumbnails

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

COLUMNS = 4  # strips side by side
LONGEST = 34  # letters of a name: its end, where a path differs
HEIGHT = 104  # pixels that a thumbnail is high
LINE = 14  # pixels from one line of words to the next
GAP = 16  # pixels between strips
WORDS, TITLE = 10, 16  # pixels that letters are high


def contact_sheet(
    images: Sequence[Tensor], words: Sequence[str], title: str, wrong: Sequence[bool] | None = None
) -> NDArray[np.uint8]:
    """One strip for each row of `images`, under it its words: uint8 (H, W, 3).

    Args:
        images: k tensors uint8 (n, C, H, W): a strip shows one image of each.
        words: n texts of the same number of lines.
        title: above all.
        wrong: whether a strip's words are in the colour of errors.
    """
    # here: Pillow takes long to import
    from PIL import Image, ImageDraw

    shown = [thumbnails(some).permute(0, 2, 3, 1).numpy() for some in images]  # (n, h, w, 3)
    widths = [round(HEIGHT * some.shape[2] / some.shape[1]) for some in shown]
    columns, lines = min(COLUMNS, len(words)), max((text.count("\n") + 1 for text in words), default=1)
    across, down = max(sum(widths) + len(widths) - 1, LONGEST * 7) + GAP, HEIGHT + lines * LINE + GAP
    top, heading = TITLE + 2 * GAP, readable_text(title)
    width = max(columns * across, round(_font(TITLE).getlength(heading)) + GAP) + GAP
    picture = Image.new("RGB", (width, top + math.ceil(len(words) / columns) * down), LIGHT.paper)
    draw = ImageDraw.Draw(picture)
    draw.text((GAP, GAP), heading, LIGHT.ink, _font(TITLE))
    for place, text in enumerate(words):
        x, y = GAP + place % columns * across, top + place // columns * down
        colour = ORANGE if wrong is not None and wrong[place] else LIGHT.ink
        draw.text((x, y + HEIGHT + 4), text, colour, _font(WORDS), spacing=LINE - WORDS)
        for some, wide in zip(shown, widths, strict=True):
            picture.paste(Image.fromarray(some[place]).resize((wide, HEIGHT), Image.Resampling.NEAREST), (x, y))
            draw.rectangle((x - 1, y - 1, x + wide, y + HEIGHT), outline=LIGHT.grid)
            x += wide + 1
    return np.asarray(picture)


def short_name(name: str) -> str:
    """The end of a long name; letters that the picture's font lacks are escaped."""
    name = readable_text(name)
    return name if len(name) <= LONGEST else "…" + name[1 - LONGEST :]


def readable_text(text: str) -> str:
    """A text without letters that the picture's font lacks: they are escaped."""
    known = _letters()
    return "".join(c if ord(c) in known else c.encode("unicode_escape").decode() for c in text)


@cache
def _letters() -> frozenset[int]:
    """What the font of the pictures can show."""
    # here: Matplotlib takes long to import
    from matplotlib import font_manager

    return frozenset(font_manager.get_font(_file()).get_charmap())


@cache
def _font(size: int) -> "FreeTypeFont":
    # here: Pillow takes long to import
    from PIL import ImageFont

    return ImageFont.truetype(_file(), size)


@cache
def _file() -> str:
    """Of the font that matplotlib's plots have, so that all look alike."""
    # here: Matplotlib takes long to import
    from matplotlib import font_manager

    return font_manager.findfont(font_manager.FontProperties())
