"""A user's tree of one folder per identity."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from siamese_lab.core.errors import LabError
from siamese_lab.datasets.folder import Folder
from siamese_lab.structures.samples import TEST, TRAIN, VAL


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SIAMESE_LAB_CACHE", str(tmp_path / "cache"))


def draw(path: Path, grey: int, size: tuple[int, int] = (20, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, grey).save(path)


@pytest.fixture
def tree(tmp_path):
    """12 people with 3 to 5 images of unlike formats and sizes; person i's images have the grey 20 * i + 1."""
    root = tmp_path / "people"
    for person in range(12):
        for index in range(3 + person % 3):
            suffix = (".png", ".bmp", ".pgm", ".tiff", ".webp")[index]
            path = root / f"p{person:02}" / f"{index}{suffix}"
            if suffix == ".webp":
                path = path.with_suffix(".PNG")
            draw(path, 20 * person + 1, (20 + index, 30 - person))
    (root / ".hidden").mkdir()
    (root / ".hidden" / "x.png").write_text("hidden")
    (root / "p00" / ".DS_Store").write_text("hidden")
    return root


def parts_of(samples):
    return {samples.classes[label]: set() for label in samples.labels.tolist()} | {
        samples.classes[label]: set(samples.split[samples.labels == label].tolist())
        for label in samples.labels.unique().tolist()
    }


def test_identities_labels_and_split(tree):
    samples = Folder(str(tree), size=8, channels=1, fit="squash").load()
    assert samples.classes == tuple(f"p{i:02}" for i in range(12))
    assert samples.images.shape == (48, 1, 8, 8)
    assert len(samples.files) == 48
    greys = samples.gather(torch.arange(48))[:, 0, 4, 4]
    assert greys.tolist() == [20 * label + 1 for label in samples.labels.tolist()]
    parts = parts_of(samples)
    assert all(len(part) == 1 for part in parts.values())
    assert [sum(part == {p} for part in parts.values()) for p in (TRAIN, VAL, TEST)] == [7, 2, 3]
    assert samples.disjoint == "label"
    assert samples.groups == {}


def test_deterministic_and_seeded(tree):
    first, again, other = (Folder(str(tree), size=8, split_seed=seed).load() for seed in (0, 0, 1))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert torch.equal(first.split, again.split)
    assert not torch.equal(first.split, other.split)


def test_nested_groups(tmp_path):
    for group in ("Greek", "Latin"):
        for name in ("alpha", "beta", "gamma"):
            for index in range(2):
                draw(tmp_path / "root" / group / name / f"{index}.png", 7)
    samples = Folder(str(tmp_path / "root"), size=8).load()
    assert samples.classes[:2] == ("Greek/alpha", "Greek/beta")
    codes, names = samples.groups["folder"]
    assert names == ("Greek", "Latin")
    assert codes.tolist() == [0] * 6 + [1] * 6


def classic(root: Path, parts: dict[str, list[str]]) -> str:
    for part, names in parts.items():
        for name in names:
            for index in range(2):
                draw(root / part / name / f"{index}.png", len(name))
    return str(root)


def test_given_parts(tmp_path):
    root = classic(tmp_path / "root", {"train": ["a", "b", "c"], "val": ["d", "e"], "test": ["f", "g"]})
    samples = Folder(root, size=8).load()
    assert parts_of(samples) == {
        **{name: {TRAIN} for name in "abc"},
        **{name: {VAL} for name in "de"},
        **{name: {TEST} for name in "fg"},
    }


def test_given_parts_without_val(tmp_path):
    root = classic(tmp_path / "root", {"train": ["a", "b", "c", "d", "e", "f"], "test": ["x", "y"]})
    parts = parts_of(Folder(root, size=8).load())
    assert (parts["x"], parts["y"]) == ({TEST}, {TEST})
    assert sorted(next(iter(parts[name])) for name in "abcdef") == [TRAIN] * 4 + [VAL] * 2


def test_labels_that_overlap_between_splits(tmp_path):
    root = classic(tmp_path / "root", {"train": ["a", "b", "c"], "val": ["d", "a"], "test": ["f", "g"]})
    with pytest.raises(LabError, match=r"1 identity stands .*a in train and val.*disjoint=image"):
        Folder(root, size=8).load()
    samples = Folder(root, size=8, disjoint="image").load()
    assert samples.disjoint == "image"
    assert parts_of(samples)["a"] == {TRAIN, VAL}


def test_split_by_image(tmp_path):
    for name in "abc":
        for index in range(10):
            draw(tmp_path / "root" / name / f"{index}.png", index)
    samples = Folder(str(tmp_path / "root"), size=8, disjoint="image", val_share=0.2, test_share=0.2).load()
    for label in range(3):
        assert sorted(samples.split[samples.labels == label].tolist()) == [TRAIN] * 6 + [VAL] * 2 + [TEST] * 2


def test_many_broken_files_are_listed_in_a_file(tree):
    for number in range(7):
        (tree / "p01" / f"broken{number}.png").write_bytes(b"no image")
    with pytest.warns(UserWarning, match=r"and 2 more \(all of them are listed in (.+)\)") as caught:
        Folder(str(tree), size=8, broken="skip").load()
    listed = Path(str(caught[0].message).rpartition("listed in ")[2].rstrip(")"))
    assert len(json.loads(listed.read_text())["extra"]["broken"]) == 7


def state(root: Path):
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in [root, *root.rglob("*")]}


def test_the_source_is_left_as_it_was(tree):
    before = state(tree)
    Folder(str(tree), size=8).load()
    assert state(tree) == before


def test_a_read_only_source(tree, tmp_path):
    mount = tmp_path / "mounted"
    mount.mkdir()
    try:
        subprocess.run(["mount", "--bind", str(tree), str(mount)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("cannot mount here: needs root")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(mount)], check=True, capture_output=True)
        with pytest.raises(OSError, match="Read-only"):
            (mount / "x").write_text("")
        samples = Folder(str(mount), size=8).load()
        assert len(samples.row) == 48
    finally:
        subprocess.run(["umount", str(mount)], check=True)


@pytest.mark.parametrize(
    "bad",
    [
        {"val_share": 1.0},
        {"test_share": -0.1},
        {"val_share": 0.6, "test_share": 0.5},
        {"disjoint": "both"},
        {"min_images": 0},
        {"broken": "ignore"},
        {"size": 0},
        {"size": [1, 2, 3]},
        {"channels": 4},
        {"val_share": float("nan")},
    ],
)
def test_bad_ranges(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Folder("x", **bad)


def test_colour_and_own_size(tmp_path):
    rng = np.random.default_rng(0)
    for name in "abcdef":
        for index in range(2):
            (tmp_path / "root" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)).save(
                tmp_path / "root" / name / f"{index}.png"
            )
    samples = Folder(str(tmp_path / "root"), size=None).load()
    assert samples.images.shape == (12, 3, 9, 7)
