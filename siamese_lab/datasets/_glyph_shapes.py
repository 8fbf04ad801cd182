"""Which characters of matplotlib's fonts are classes, and their undistorted shapes."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional

from siamese_lab.core.errors import LabError
from siamese_lab.core.text import nearest

CANVAS, EXTENT = 64, 44  # pixels: a shape's longer side is EXTENT, centred on a square of CANVAS
LEAST_FACES, MOST_FACES = 4, 8  # of a class
ALIKE = (
    0.94  # cosine above which two shapes look the same (c and C, the O of four scripts); from a sorted list of pairs
)
SAME = 0.99  # cosine above which two pictures have one outline but for rounding
Picture = NDArray[np.uint8]  # (CANVAS, CANVAS), ink = 255
FACES = (  # in this order; DejaVu and STIX alone: the other fonts there draw boxes or Latin only
    "DejaVuSans",
    "DejaVuSerif",
    "STIXGeneral",
    "DejaVuSans-Bold",
    "DejaVuSerif-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSerif-Italic",
    "STIXGeneralItalic",
    "DejaVuSans-BoldOblique",
    "DejaVuSerif-BoldItalic",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
)


class Shapes(NamedTuple):
    """K characters: `names` and `scripts` (K,), and each one's `pictures`, uint8 (faces, CANVAS, CANVAS)."""

    names: list[str]
    scripts: list[str]
    pictures: list[Tensor]


def font_files() -> list[Path]:
    """The files of FACES, found without importing matplotlib.

    Raises:
        LabError: if matplotlib, or one of them, is not there.
    """
    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        raise LabError("data=glyphs draws from the fonts that matplotlib ships: pip install matplotlib")
    folder = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"
    files = [folder / f"{face}.ttf" for face in FACES]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise LabError(
            f"data=glyphs needs {', '.join(missing)} in {folder}: this matplotlib lacks its fonts; install it with pip"
        )
    return files


def letter_shapes(parts: Sequence[Sequence[str]]) -> list[Shapes]:
    """The classes of each part, in the order of the code points.

    A class is a letter without a Unicode decomposition (no accents), in at least LEAST_FACES faces. Of letters of a
    part that look alike on average of their faces, or have one outline in any, the first is kept. A letter that looks
    like one of an earlier part, in any face, is dropped.

    Args:
        parts: the scripts of each part, as they begin the letters' Unicode names ("GREEK").

    Raises:
        LabError: if a script has no such letter.
    """
    kept: list[Shapes] = []
    earlier: dict[int, list[Tensor]] = {face: [] for face in range(len(FACES))}  # features of earlier parts
    prints: set[bytes] = set()  # and their pixels, whatever the face
    for scripts in parts:
        drawn = _draw_letters(scripts)
        chars = list(drawn)
        features = {face: _unit_features([drawn[char].get(face) for char in chars]) for face in range(len(FACES))}
        own = [{picture.tobytes() for picture in drawn[char].values()} for char in chars]
        duplicates = _find_duplicates(own, prints, features, earlier)
        fresh = [char for char, old in zip(chars, duplicates, strict=True) if not old]
        pictures = [torch.from_numpy(np.stack(list(drawn[char].values())[:MOST_FACES])) for char in fresh]
        kept.append(Shapes([unicodedata.name(char) for char in fresh], [_script(char) for char in fresh], pictures))
        for face, (_, vectors) in features.items():
            earlier[face].append(vectors)
        prints.update(*own)
    return kept


def _script(char: str) -> str:
    return unicodedata.name(char, "?").split()[0]


def _draw_letters(scripts: Sequence[str]) -> dict[str, dict[int, Picture]]:
    """Pictures by character and face."""
    from matplotlib.ft2font import FT2Font  # here: only drawing needs it (Pillow does not list a font's characters)

    found: dict[str, dict[int, Picture]] = {}
    for face, file in enumerate(font_files()):
        font = ImageFont.truetype(str(file), CANVAS, layout_engine=ImageFont.Layout.BASIC)
        for code in FT2Font(str(file)).get_charmap():
            char = chr(code)
            letter = unicodedata.category(char) in ("Lu", "Ll", "Lo") and not unicodedata.decomposition(char)
            if letter and _script(char) in scripts and (picture := _draw_letter(font, char)) is not None:
                found.setdefault(char, {})[face] = picture
    kept = {char: found[char] for char in sorted(found) if len(found[char]) >= LEAST_FACES}
    unknown = sorted(set(scripts) - {_script(char) for char in kept})
    if unknown:
        known = Counter(_script(chr(code)) for code in FT2Font(str(font_files()[0])).get_charmap())
        raise LabError(
            f"data=glyphs has no letters of {unknown[0]} in {LEAST_FACES} faces{nearest(unknown[0].upper(), known)}: "
            "scripts are named as their letters' Unicode names begin, e.g. GREEK"
        )
    return kept


def _draw_letter(font: ImageFont.FreeTypeFont, char: str) -> Picture | None:
    """The ink of a character, its longer side EXTENT pixels, centred on CANVAS; None without ink."""
    ink = Image.new("L", (4 * CANVAS, 3 * CANVAS))
    ImageDraw.Draw(ink).text((CANVAS, CANVAS // 2), char, fill=255, font=font)
    box = ink.getbbox()
    if box is None:
        return None
    scale = EXTENT / max(box[2] - box[0], box[3] - box[1])
    size = max(1, round((box[2] - box[0]) * scale)), max(1, round((box[3] - box[1]) * scale))
    canvas = Image.new("L", (CANVAS, CANVAS))
    letter = ink.resize(size, Image.Resampling.BILINEAR, box=box)
    canvas.paste(letter, ((CANVAS - size[0]) // 2, (CANVAS - size[1]) // 2))
    return np.asarray(canvas)


def _unit_features(pictures: Sequence[Picture | None]) -> tuple[Tensor, Tensor]:
    """Indices (n,) of the pictures that exist, and those, blurred, as unit vectors (n, CANVAS^2 / 4)."""
    existing = {index: picture for index, picture in enumerate(pictures) if picture is not None}
    if not existing:
        return torch.zeros(0, dtype=torch.int64), torch.zeros(0, (CANVAS // 2) ** 2)
    every = torch.from_numpy(np.stack(list(existing.values()))).float()[:, None]
    small = functional.avg_pool2d(every, 3, stride=2, padding=1)
    return torch.tensor(list(existing), dtype=torch.int64), functional.normalize(small.flatten(1))


def _find_duplicates(
    prints: Sequence[set[bytes]],
    old: set[bytes],
    features: dict[int, tuple[Tensor, Tensor]],
    earlier: dict[int, list[Tensor]],
) -> list[bool]:
    """Whether each character looks like one of an earlier part, or like one kept before it: see `letter_shapes`."""
    count = len(prints)
    total, faces, most = torch.zeros(count, count), torch.zeros(count, count), torch.zeros(count, count)
    dropped = torch.tensor([bool(own & old) for own in prints], dtype=torch.bool)
    for face, (there, vectors) in features.items():
        before = torch.cat(earlier[face]) if earlier[face] else vectors[:0]
        if len(before) and len(there):
            dropped[there] |= (vectors @ before.T).amax(1) > ALIKE
        at, cosines = (there[:, None], there), vectors @ vectors.T
        total[at] += cosines
        faces[at] += 1
        most[at] = torch.maximum(most[at], cosines)
    alike = ((total / faces.clamp(min=1) > ALIKE) | (most > SAME)).numpy()
    result: list[bool] = dropped.tolist()
    seen: set[bytes] = set()  # pictures of those kept, whatever the face
    for index, own in enumerate(prints):
        result[index] |= bool(own & seen) or any(not result[other] for other in np.flatnonzero(alike[index, :index]))
        seen |= set() if result[index] else own
    return result
