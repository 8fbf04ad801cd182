"""A user's tree of one folder per identity."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from siamese_lab.batch import TEST, TRAIN, VAL
from siamese_lab.data.folder import Folder
from siamese_lab.errors import LabError


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
        samples.classes[label]: set(samples.split[samples.labels == label].tolist()) for label in samples.labels.unique().tolist()
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


def test_no_such_root(tmp_path):
    with pytest.raises(LabError, match="nowhere does not exist: give the folder"):
        Folder(str(tmp_path / "nowhere")).load()
    (tmp_path / "file").write_text("")
    with pytest.raises(LabError, match="is not a folder"):
        Folder(str(tmp_path / "file")).load()


def test_empty_folder(tmp_path):
    with pytest.raises(LabError, match="holds no images"):
        Folder(str(tmp_path)).load()
    (tmp_path / "a").mkdir()
    with pytest.raises(LabError, match="holds no images"):
        Folder(str(tmp_path)).load()


def test_one_class(tmp_path):
    draw(tmp_path / "root/a/1.png", 1)
    draw(tmp_path / "root/a/2.png", 1)
    with pytest.raises(LabError, match="1 identity: at least 2"):
        Folder(str(tmp_path / "root")).load()


def test_classes_with_one_image(tree, tmp_path):
    draw(tree / "lonely" / "1.png", 1)
    with pytest.warns(UserWarning, match="1 of 13 identities .* fewer than 2 images: lonely; they are left out"):
        samples = Folder(str(tree), size=8).load()
    assert "lonely" not in samples.classes
    assert len(samples.row) == 48
    draw(tmp_path / "ones/a/1.png", 1)
    draw(tmp_path / "ones/b/1.png", 1)
    with pytest.raises(LabError, match="form no positive pair"):
        Folder(str(tmp_path / "ones")).load()


def test_images_in_the_root_itself(tree):
    draw(tree / "stray.png", 1)
    with pytest.raises(LabError, match=r"stray\.png"):
        Folder(str(tree)).load()


def test_identity_or_group(tree):
    draw(tree / "p00" / "old" / "1.png", 1)
    draw(tree / "p00" / "old" / "2.png", 1)
    with pytest.raises(LabError, match="p00 holds images and folders of images"):
        Folder(str(tree)).load()


def test_too_few_for_the_parts(tmp_path):
    root = classic(tmp_path / "root", {"x": ["a", "b", "c", "d"]})
    with pytest.raises(LabError, match="need more than there are: 4"):
        Folder(root, size=8).load()


def test_a_misspelt_part(tmp_path):
    for part in ("train", "tset"):
        for identity in ("ann", "bob"):
            (tmp_path / part / f"{part} {identity}").mkdir(parents=True)
            for number in range(2):
                Image.new("L", (8, 8), number).save(tmp_path / part / f"{part} {identity}" / f"{number}.png")
    with pytest.raises(LabError, match="one named tset: did you mean test"):
        Folder(str(tmp_path), size=8).load()


def test_many_broken_files_are_listed_in_a_file(tree):
    for number in range(7):
        (tree / "p01" / f"broken{number}.png").write_bytes(b"no image")
    with pytest.warns(UserWarning, match=r"and 2 more \(all of them are listed in (.+)\)") as caught:
        Folder(str(tree), size=8, broken="skip").load()
    listed = Path(str(caught[0].message).rpartition("listed in ")[2].rstrip(")"))
    assert len(json.loads(listed.read_text())["extra"]["broken"]) == 7


def test_broken_files(tree):
    (tree / "p01" / "text.png").write_text("hello")
    data = (tree / "p02" / "0.png").read_bytes()
    (tree / "p02" / "0.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(LabError, match=r"2 broken images .*p01/text\.png: not an image.*p02/0\.png: truncated"):
        Folder(str(tree), size=8).load()
    with pytest.warns(UserWarning, match="skipped 2 broken images"):
        samples = Folder(str(tree), size=8, broken="skip").load()
    assert len(samples.row) == 47


def test_unlike_sizes_need_a_size(tree):
    with pytest.raises(LabError, match="unlike sizes"):
        Folder(str(tree), size=None).load()


def test_huge_png(tree):
    from test_data_images import bomb

    (tree / "p00" / "huge.png").write_bytes(bomb(12000, 12000))
    with pytest.raises(LabError, match=r"huge\.png: too many pixels \(more than 50,000,000"):
        Folder(str(tree)).load()


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
            Image.fromarray(rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)).save(tmp_path / "root" / name / f"{index}.png")
    samples = Folder(str(tmp_path / "root"), size=None).load()
    assert samples.images.shape == (12, 3, 9, 7)
