"""Strips of thumbnails with words below, as one picture."""

import math
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from siamese_lab.board_projector import thumbnails

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 4  # strips side by side
LONGEST = 34  # letters of a name: its end, where a path differs
HEIGHT = 62  # points that a thumbnail is high
LINE = 8.5  # points from one line of words to the next
GAP = 10  # points between strips
INK, ALARM = "#222222", "#B03A00"


def sheet(images: Sequence[Tensor], words: Sequence[str], title: str, wrong: Sequence[bool] | None = None) -> "Figure":
    """One strip for each row of `images`, under it its words. Drawn without a layout engine, which takes a second for 24 strips.

    Args:
        images: k tensors uint8 (n, C, H, W): a strip shows one image of each.
        words: n texts of the same number of lines.
        title: above all.
        wrong: whether a strip's words are in the colour of errors.
    """
    from matplotlib.figure import Figure

    shown = [F.pad(thumbnails(some), (1, 1, 1, 1), value=200) for some in images]  # (n, 3, h, w), with a thin frame
    side = HEIGHT / shown[0].shape[2]
    wide = side * sum(some.shape[3] for some in shown)
    columns, lines = min(COLUMNS, len(words)), max((text.count("\n") + 1 for text in words), default=1)
    rows = math.ceil(len(words) / columns)
    across, down = max(wide, LONGEST * 4.1) + GAP, HEIGHT + lines * LINE + GAP
    width, height, top = columns * across + GAP, rows * down + 34, 26.0
    if width < 430:  # the title needs its room
        across, width = across + (430 - width) / columns, 430.0
    figure = Figure(figsize=(width / 72, height / 72), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.text(GAP, 16, readable(title), fontsize=10, color=INK, parse_math=False)
    for place, text in enumerate(words):
        x, y = GAP + place % columns * across, top + place // columns * down
        strip = torch.cat([some[place] for some in shown], 2).permute(1, 2, 0).numpy()
        axes.imshow(strip, extent=(x, x + wide, y + HEIGHT, y), interpolation="nearest", aspect="auto")
        colour = ALARM if wrong is not None and wrong[place] else INK
        axes.text(x, y + HEIGHT + 3, text, fontsize=6.2, va="top", color=colour, linespacing=1.15, parse_math=False)
    axes.set(xlim=(0, width), ylim=(height, 0))  # last: each image sets its own
    return figure


def short(name: str) -> str:
    """The end of a long name; letters that the picture's font lacks are escaped."""
    name = readable(name)
    return name if len(name) <= LONGEST else "…" + name[1 - LONGEST :]


def readable(text: str) -> str:
    """A text without letters that the picture's font lacks: they are escaped."""
    known = _letters()
    return "".join(c if ord(c) in known else c.encode("unicode_escape").decode() for c in text)


@cache
def _letters() -> frozenset[int]:
    """What the font of the pictures can show."""
    from matplotlib import font_manager

    return frozenset(font_manager.get_font(font_manager.findfont(font_manager.FontProperties())).get_charmap())
