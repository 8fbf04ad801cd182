"""The embedded data set: what it promises of classes, scripts, shapes and determinism."""

import hashlib
import subprocess
import sys
import unicodedata
from collections import Counter

import pytest
import torch

from siamese_lab.core.errors import LabError
from siamese_lab.datasets._glyph_hands import distort, soften
from siamese_lab.datasets._glyph_shapes import FACES, font_files
from siamese_lab.datasets.glyphs import Glyphs
from siamese_lab.structures.samples import Samples

SMALL = {
    "train_scripts": ["COPTIC"],
    "val_scripts": ["LISU"],
    "test_scripts": ["LAO"],
    "images_per_class": 4,
    "size": 16,
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def use(cache, monkeypatch):
    monkeypatch.setenv("SIAMESE_LAB_CACHE", str(cache))


@pytest.fixture
def samples() -> Samples:
    return Glyphs().load()


def outlines(char: str) -> set[str]:
    """Hashes of the exact outlines of a character in every face, apart from where they stand."""
    from matplotlib.ft2font import FT2Font, LoadFlags

    if not FONTS:
        FONTS.extend(FT2Font(str(file)) for file in font_files())
        CHARMAPS.extend(font.get_charmap() for font in FONTS)
    found = set()
    for font, charmap in zip(FONTS, CHARMAPS, strict=True):
        if ord(char) in charmap:
            font.load_glyph(charmap[ord(char)], flags=LoadFlags.NO_SCALE)
            points, codes = font.get_path()
            found.add(hashlib.sha256((points - points.min(0)).round(3).tobytes() + codes.tobytes()).hexdigest())
    return found


FONTS: list = []
CHARMAPS: list = []


def test_classes_scripts_and_parts(samples):
    counts = {part: len(samples.labels[samples.ids(part)].unique()) for part in ("train", "val", "test")}
    assert counts == {"train": 990, "val": 95, "test": 146}  # the yaml and the README say so
    assert len(set(samples.classes)) == len(samples.classes) == sum(counts.values())
    assert set(Counter(samples.labels.tolist()).values()) == {20}
    codes, names = samples.groups["script"]
    scripts = {part: {names[c] for c in codes[samples.ids(part)].tolist()} for part in counts}
    assert scripts["val"] == {"ARMENIAN", "HEBREW", "LAO"}
    assert scripts["test"] == {"GEORGIAN", "ARABIC"}
    assert not scripts["train"] & (scripts["val"] | scripts["test"])
    for part in ("val", "test"):  # 20-way within a script
        assert min(Counter(codes[samples.ids(part)].tolist()).values()) >= 20 * 20


def test_no_shape_stands_in_two_classes(samples):
    owner: dict[str, str] = {}
    for name in samples.classes:
        for outline in outlines(unicodedata.lookup(name)):
            assert owner.setdefault(outline, name) == name


def test_images_are_drawn_and_differ(samples):
    assert samples.images.shape == (20 * len(samples.classes), 1, 28, 28)
    ink = samples.images.flatten(1).float().mean(1) / 255
    assert ink.min() > 0.005
    assert ink.max() < 0.6
    assert 0.08 < ink.mean() < 0.25
    assert len(torch.unique(samples.images.flatten(1), dim=0)) > 0.999 * len(samples.images)


def test_no_class_is_the_box_of_a_missing_glyph(samples):
    """Fonts draw what they have not as a box, and then all those classes look alike."""
    means = samples.images.view(len(samples.classes), 20, -1).float().mean(1)
    means = torch.nn.functional.normalize(means - means.mean(0), dim=1)
    alike = (means @ means.T).fill_diagonal_(0) > 0.97
    assert alike.sum(1).max() < 10


def test_bit_for_bit_in_another_process(tmp_path, cache):
    first = Glyphs(**SMALL).load()
    code = f"from siamese_lab.datasets.glyphs import Glyphs; print(Glyphs(**{SMALL!r}).load().fingerprint)"
    env = {"SIAMESE_LAB_CACHE": str(tmp_path / "other"), "OMP_NUM_THREADS": "2", "PATH": ""}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
    assert ran.stdout.strip() == first.fingerprint, ran.stderr
    assert Glyphs(**SMALL | {"seed": 1}).load().fingerprint != first.fingerprint


def test_strength():
    square = torch.zeros(64, 64, 64, dtype=torch.uint8)
    square[:, 20:44, 28:36] = 255
    shapes = soften(square)
    spread = []
    for strength in (0.0, 0.5, 1.0):
        images = distort(shapes, 28, strength, torch.Generator().manual_seed(0)).float()
        spread.append(float(images.std(0).mean()))
    assert spread[0] == 0
    assert spread[0] < spread[1] < spread[2]


def test_faces_are_dejavu_and_stix():
    assert all(face.startswith(("DejaVu", "STIX")) for face in FACES)


@pytest.mark.parametrize(
    ("scripts", "message"),
    [
        ({"test_scripts": ["GEORGAIN"]}, "no letters of GEORGAIN .*did you mean GEORGIAN"),
        ({"val_scripts": ["KLINGON"]}, "no letters of KLINGON"),
    ],
)
def test_unknown_scripts(scripts, message):
    with pytest.raises(LabError, match=message):
        Glyphs(**scripts).load()


@pytest.mark.parametrize(
    "bad",
    [{"size": 8}, {"images_per_class": 1}, {"strength": 2.0}, {"strength": float("nan")}, {"val_scripts": ["LATIN"]}],
)
def test_bad_ranges(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Glyphs(**bad)
