"""Omniglot on the real files: splits, turns, the official runs, copies of the zips."""

import hashlib
import os
import shutil
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from siamese_lab.cli import main
from siamese_lab.config.groups import option_names
from siamese_lab.core.errors import LabError
from siamese_lab.data.images import Fit
from siamese_lab.data.source import Source
from siamese_lab.datasets import _omniglot_files as omniglot_files
from siamese_lab.datasets.omniglot import OFFICIAL, Omniglot
from siamese_lab.structures.samples import TEST, TRAIN, UNUSED, VAL

DATA = Path(os.environ.get("SIAMESE_LAB_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data") / "omniglot"
real = pytest.mark.skipif(not DATA.is_dir(), reason=f"no Omniglot in {DATA}: set SIAMESE_LAB_TEST_DATA")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def use(cache, monkeypatch):
    monkeypatch.setenv("SIAMESE_LAB_CACHE", str(cache))


def load(**options):
    return Omniglot(root=str(DATA), **options).load()


def classes_of(samples, part):
    return {samples.classes[label] for label in samples.labels[samples.ids(part)].unique().tolist()}


def alphabets_of(samples, part):
    codes, names = samples.groups["alphabet"]
    return {names[code] for code in codes[samples.ids(part)].unique().tolist()}


def drawers_of(samples, part):
    codes, names = samples.groups["drawer"]
    return {int(names[code]) for code in codes[samples.ids(part)].unique().tolist()}


def assert_disjoint(samples):
    parts = [classes_of(samples, part) for part in ("train", "val", "test")]
    assert len(set.union(*parts)) == sum(map(len, parts))
    return [len(part) for part in parts]


@real
def test_images_are_ink_on_black():
    samples = load()
    assert samples.images.shape == (32460, 1, 28, 28)
    assert len(samples.classes) == 1623
    assert 10 < samples.images.float().mean() < 40
    assert samples.images[:, :, 0, 0].float().mean() < 5  # a corner is ground
    source = omniglot_files.list_drawings(omniglot_files.locate_parts(DATA))[12345]
    assert samples.files[12345] == source.name
    assert torch.equal(samples.images[12345], torch.from_numpy(Fit(28, fit="squash", invert=True)(source.read())))


@real
def test_lake():
    samples = load()
    train, val, test = (alphabets_of(samples, part) for part in ("train", "val", "test"))
    assert (len(train), len(val), len(test)) == (25, 5, 20)
    assert set(OFFICIAL) <= test
    counts = assert_disjoint(samples)
    assert (counts[0] + counts[1], counts[2]) == (964, 659)
    assert counts[1] >= 60
    assert load().fingerprint == samples.fingerprint != load(split_seed=1).fingerprint
    everything = load(validation_alphabets=0)
    assert assert_disjoint(everything) == [964, 0, 659]
    assert alphabets_of(load(validation_alphabets=["Greek", "Latin"]), "val") == {"Greek", "Latin"}


@real
def test_koch():
    samples = load(split="koch")
    assert [len(alphabets_of(samples, part)) for part in ("train", "val", "test")] == [30, 10, 10]
    assert alphabets_of(samples, "test") == set(OFFICIAL)
    assert drawers_of(samples, "train") == set(range(1, 13))
    assert drawers_of(samples, "val") == set(range(13, 17))
    assert drawers_of(samples, "test") == set(range(17, 21))
    assert assert_disjoint(samples)[0] == 964
    assert (samples.split == UNUSED).sum() == 964 * 8 + 659 * 16
    assert set(samples.trials) == {"official"}  # over rows of no part


@real
def test_vinyals():
    samples = load(split="vinyals")
    assert assert_disjoint(samples) == [1028, 172, 423]
    assert len(alphabets_of(samples, "test")) > 40  # across alphabets
    assert assert_disjoint(load(split="vinyals", validation_characters=0)) == [1200, 0, 423]


@real
@pytest.mark.parametrize(("which", "times"), [("train", (4, 1, 1)), ("all", (4, 4, 4))])
def test_quarter_turns(which, times):
    plain, turned = load(), load(quarter_turns=which)
    assert turned.images.shape == plain.images.shape  # images are not copied
    for part, factor in zip(("train", "val", "test"), times, strict=True):
        assert len(turned.ids(part)) == factor * len(plain.ids(part))
        assert len(classes_of(turned, part)) == factor * len(classes_of(plain, part))
    assert_disjoint(turned)
    name = plain.classes[plain.labels[plain.ids("train")[0]]]
    base = turned.gather((turned.labels == turned.classes.index(name)).nonzero().flatten())
    for quarter in (1, 2, 3):
        rows = (turned.labels == turned.classes.index(f"{name}@{90 * quarter}")).nonzero().flatten()
        assert torch.equal(turned.gather(rows), torch.rot90(base, quarter, (2, 3)))
        codes, names = turned.groups["alphabet"]
        assert {names[code] for code in codes[rows].tolist()} == {f"{name.split('/')[0]}@{90 * quarter}"}
    assert torch.equal(turned.trials["official"].query, plain.trials["official"].query)


@real
def test_official_runs():
    samples = load()
    runs = samples.trials["official"]
    assert runs.support.shape == (20, 20, 1)
    assert runs.query.shape == runs.truth.shape == (20, 20)
    assert runs.name == tuple(f"run{i:02}" for i in range(1, 21))
    codes, names = samples.groups["alphabet"]
    assert {names[code] for code in codes[runs.support].unique().tolist()} == set(OFFICIAL)
    for support, query, truth in zip(runs.support[:, :, 0], runs.query, runs.truth, strict=True):
        assert len(codes[torch.cat([support, query])].unique()) == 1  # within an alphabet
        assert sorted(truth.tolist()) == list(range(20))
        assert torch.equal(samples.labels[support][truth], samples.labels[query])
        assert not set(support.tolist()) & set(query.tolist())
    # pixel for pixel, against the publisher's own files
    with zipfile.ZipFile(DATA / "all_runs.zip") as archive:
        fit = Fit(28, fit="squash", invert=True)
        for run in (1, 20):
            for way in (1, 20):
                image = torch.from_numpy(fit(archive.read(f"run{run:02}/training/class{way:02}.png")))
                assert torch.equal(samples.gather(runs.support[run - 1, way - 1])[0], image)
            image = torch.from_numpy(fit(archive.read(f"run{run:02}/test/item07.png")))
            assert torch.equal(samples.gather(runs.query[run - 1, 6:7])[0], image)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    root = tmp_path_factory.mktemp("unpacked")
    for name in ("images_background", "images_evaluation", "all_runs"):
        with zipfile.ZipFile(DATA / f"{name}.zip") as archive:
            archive.extractall(root)
    return root


@real
@pytest.mark.slow
def test_unpacked_folders_give_the_same(unpacked):
    a, b = load(), Omniglot(root=str(unpacked)).load()
    assert b.fingerprint == a.fingerprint
    victim = next((unpacked / "images_background" / "Greek" / "character01").iterdir())
    victim.unlink()
    with pytest.raises(LabError, match="19279 drawings, expected 964"):
        Omniglot(root=str(unpacked)).load()


@real
def test_other_images_under_the_same_names_are_refused(monkeypatch):
    """No name and no count tells that two drawings were exchanged, their pixels do."""
    honest = omniglot_files.list_drawings

    def exchanged(paths):
        found = honest(paths)
        a, b = found[100], found[200]
        found[100], found[200] = Source(a.name, b.stamp, b.read), Source(b.name, a.stamp, a.read)
        return found

    monkeypatch.setattr(omniglot_files, "list_drawings", exchanged)
    with pytest.raises(LabError, match=r"images_background in .* are not Omniglot's"):
        load(size=14)


@real
def test_without_the_runs(tmp_path):
    for name in ("images_background", "images_evaluation"):
        (tmp_path / f"{name}.zip").symlink_to(DATA / f"{name}.zip")
    assert Omniglot(root=str(tmp_path)).load().trials == {}


@real
def test_downloaded(tmp_path, monkeypatch):
    """From a server on this machine; the zips at hand are re-zipped, so that their own checksums stand in for the
    publisher's.
    """
    (tmp_path / "one-shot-classification").mkdir()
    published = {}
    for name, (path, _) in omniglot_files.PUBLISHED.items():
        shutil.copy(DATA / f"{name}.zip", tmp_path / path)
        published[name] = (path, "sha256:" + hashlib.sha256((tmp_path / path).read_bytes()).hexdigest())
    monkeypatch.setattr(omniglot_files, "PUBLISHED", published)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        samples = Omniglot(root=None, address=f"http://127.0.0.1:{server.server_port}").load()
        server.shutdown()
        thread.join()
    assert samples.fingerprint == load().fingerprint


@real
@pytest.mark.parametrize("name", [n for n in option_names("experiment") if n.startswith("omniglot")])
def test_the_experiments_on_omniglot_can_be_run(name, capsys):
    """Composed, bound and built, with the official runs at hand; what they reach stands in their files."""
    assert main(["check", f"experiment={name}", f"data.root={DATA}"]) == 0
    assert "0 of " in capsys.readouterr().out  # classes that would never be drawn


@real
def test_unknown_alphabet():
    with pytest.raises(LabError, match="Grek"):
        load(validation_alphabets=["Grek"])


@pytest.mark.parametrize(
    "bad",
    [
        {"split": "lakes"},
        {"quarter_turns": "yes"},
        {"validation_alphabets": 29},
        {"validation_characters": -1},
        {"size": 0},
    ],
)
def test_bad_ranges(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Omniglot(**bad)


def test_part_codes_are_those_of_the_contract():
    assert (TRAIN, VAL, TEST, UNUSED) == (0, 1, 2, -1)
