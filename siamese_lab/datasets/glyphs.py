from collections.abc import Iterator, Sequence

import numpy as np
import torch
from PIL import features

from siamese_lab.core.checks import require_at_least, require_within
from siamese_lab.core.mappings import JsonObject
from siamese_lab.data.cache import progress
from siamese_lab.data.images import Fit
from siamese_lab.data.store import Images, open_store
from siamese_lab.datasets._fingerprint import fingerprint
from siamese_lab.datasets._glyph_hands import distort, soften
from siamese_lab.datasets._glyph_shapes import font_files, letter_shapes
from siamese_lab.structures.samples import TEST, TRAIN, VAL, Samples

VERSION = 1  # raise it when the same arguments would give other pixels
BATCH = 1024  # pictures distorted at once


class Glyphs:
    """Letters of many scripts, drawn from matplotlib's fonts without a download; ink = 255 on 0.

    The scripts of validation and test are never seen in training. The images of a class are its font faces (4 to 8 of
    DejaVu Sans, Serif, Mono and STIX), each distorted anew. Letters that look alike are one class, and no shape stands
    in two parts. The same arguments give the same pixels.

    Args:
        size: of the images in pixels, 14 to 64.
        images_per_class: at least 2.
        strength: of the distortions, 0 to 1.5; 1 is meant to be hard, see `_glyph_hands.distort`.
        train_scripts, val_scripts, test_scripts: as they begin the letters' Unicode names, each in one part only.
        seed: of the distortions, not of training; >= 0.

    Raises:
        ValueError: for values out of these ranges.

    Examples:
        >>> from siamese_lab.datasets.glyphs import Glyphs
        >>> scripts = {"train_scripts": ["GREEK"], "val_scripts": ["LAO"], "test_scripts": ["GEORGIAN"]}
        >>> samples = Glyphs(size=16, images_per_class=2, **scripts).load()
        >>> tuple(samples.images.shape), len(samples.classes), len(samples.ids("train"))
        ((462, 1, 16, 16), 231, 160)
    """

    def __init__(
        self,
        size: int = 28,
        images_per_class: int = 20,
        strength: float = 1.0,
        train_scripts: Sequence[str] = ("LATIN", "GREEK", "COPTIC", "CYRILLIC", "CANADIAN", "LISU", "OLD"),
        val_scripts: Sequence[str] = ("ARMENIAN", "HEBREW", "LAO"),
        test_scripts: Sequence[str] = ("GEORGIAN", "ARABIC"),
        seed: int = 0,
    ) -> None:
        require_within("size", size, "[14, 64]", "it counts pixels; the letters are drawn at 64")
        require_at_least("images_per_class", images_per_class, 2, "one image forms no positive pair")
        require_within("strength", strength, "[0, 1.5]", "it is the strength of the distortions")
        self.parts = [list(scripts) for scripts in (train_scripts, val_scripts, test_scripts)]
        every = [script for scripts in self.parts for script in scripts]
        if len(set(every)) != len(every):
            twice = next(script for script in every if every.count(script) > 1)
            raise ValueError(
                f"{twice} stands twice in train_scripts, val_scripts and test_scripts: a script belongs to one part"
            )
        self.size, self.images_per_class, self.strength, self.seed = size, images_per_class, strength, seed
        self.fit = Fit(size, invert=True)  # how `verify` reads a file: dark ink on white

    def load(self) -> Samples:
        """Draws (the first time) and labels.

        Raises:
            LabError: if matplotlib's fonts are not there, or the scripts have no letters in them.
        """
        fonts = [[file.name, file.stat().st_size] for file in font_files()]
        drawing = [VERSION, fonts, features.version_module("pil"), features.version("freetype2")]
        key = [*drawing, self.size, self.images_per_class, float(self.strength), self.parts, self.seed]
        store = open_store("glyphs", key, self._draw)
        names, scripts = store.extra["names"], store.extra["scripts"]
        labels = torch.arange(len(names)).repeat_interleave(self.images_per_class)
        split = torch.tensor(store.extra["parts"], dtype=torch.int64)[labels]
        group_names = list(dict.fromkeys(scripts))
        return Samples(
            images=store.images,
            row=torch.arange(len(labels)),
            turn=torch.zeros(len(labels), dtype=torch.int64),
            labels=labels,
            classes=tuple(names),
            groups={"script": (torch.tensor([group_names.index(s) for s in scripts])[labels], tuple(group_names))},
            split=split,
            disjoint="label",
            fingerprint=fingerprint(store.content, names, labels, split),
        )

    def _draw(self, extra: JsonObject) -> Iterator[Images]:
        extra |= {"names": [], "scripts": [], "parts": []}
        pictures: list[torch.Tensor] = []
        for part, found in zip((TRAIN, VAL, TEST), letter_shapes(self.parts), strict=True):
            extra["names"] += found.names
            extra["scripts"] += found.scripts
            extra["parts"] += [part] * len(found.names)
            for faces in map(soften, found.pictures):
                pictures += [faces[index % len(faces)] for index in range(self.images_per_class)]
        generator = torch.Generator().manual_seed(self.seed)
        with progress("drawing", len(pictures)) as advance:
            for start in range(0, len(pictures), BATCH):
                batch = torch.stack(pictures[start : start + BATCH])
                yield np.asarray(distort(batch, self.size, self.strength, generator))
                advance(len(batch))
