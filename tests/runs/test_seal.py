"""The sealed test part: what the runs of a study never look at, and how it is opened."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from siamese_lab.cli import main
from siamese_lab.commands.train import train_if_needed
from siamese_lab.config.compose import compose
from siamese_lab.core.errors import LabError
from siamese_lab.data.load import load_data
from siamese_lab.evaluation.unseal import open_test_part
from siamese_lab.runs.influences import influences_file, read_influences, write_influences
from siamese_lab.runs.seal import read_openings
from siamese_lab.statistics.influence import Figure
from siamese_lab.structures.samples import TEST
from siamese_lab.training import untrained
from tests.conftest import FEW, run

STUDY = [
    *FEW,
    "study=sealing",
    "trainer.max_epochs=2",
    "protocol=[verification,retrieval]",
    "protocol.verification.grid=64",
]


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    """A run of a study, and the same run where noise stands in place of the test part's labels."""
    patch, loaded = pytest.MonkeyPatch(), load_data

    def shuffled(cfg, **kwargs):
        samples = loaded(cfg, **kwargs)
        rows = (samples.split == TEST).nonzero().flatten()
        labels = samples.labels.clone()
        labels[rows] = labels[rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(1))]]
        return replace(samples, labels=labels)

    patch.setenv("SIAMESE_LAB_OUTPUTS", str(tmp_path_factory.mktemp("outputs")))
    plain = run(*STUDY)
    patch.setenv("SIAMESE_LAB_OUTPUTS", str(tmp_path_factory.mktemp("noise")))
    patch.setattr("siamese_lab.data.load.load_data", shuffled)
    noise = run(*STUDY)
    patch.undo()
    return plain, noise


def test_a_run_of_a_study_computes_no_test_figure(sealed):
    (folder, metrics), _ = sealed
    assert metrics["sealed"]
    assert metrics["test"] == {}
    assert metrics["val"].keys() == metrics["untrained"].keys()
    assert metrics["val"]["verification/eer"]["low"] is not None
    assert not influences_file(folder.path, "test").exists()
    assert not (folder.path.parent / "openings.json").exists()


def test_runs_that_begin_alike_judge_the_untrained_network_once(outputs, monkeypatch):
    compute, computed = untrained._compute, []
    monkeypatch.setattr(untrained, "_compute", lambda *given: computed.append(given) or compute(*given))
    words = [*FEW, "study=alike", "trainer.max_epochs=1"]
    folder, first = run(*words, "loss=contrastive")
    _, other = run(*words, "loss=triplet")
    assert len(computed) == 1
    assert first["untrained"] == other["untrained"]
    assert first["untrained"]["verification/eer"]["value"] != first["val"]["verification/eer"]["value"]
    _, unlike = run(*words, "loss=contrastive", "seed=5")
    assert len(computed) == 2
    assert unlike["untrained"] != first["untrained"]
    for file in (folder.path.parent / "untrained").iterdir():
        file.write_text(file.read_text()[:40])  # as a disk may leave it
    _, again = run(*words, "loss=contrastive", force=True)
    assert again["untrained"] == first["untrained"]


def test_noise_in_the_test_labels_changes_no_digit(sealed):
    (plain, a), (noise, b) = sealed
    for key in ("val", "untrained", "best", "chosen", "epoch", "history"):
        assert json.dumps(a[key]) == json.dumps(b[key]), key
    assert plain.state() == noise.state() == "ok"
    for name in ("best", "last"):
        x, y = (
            torch.load(f.path / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"] for f in (plain, noise)
        )
        assert all(torch.equal(x[key], y[key]) for key in x)
    assert influences_file(plain.path, "val").read_bytes() == influences_file(noise.path, "val").read_bytes()


def test_opening_gives_what_a_plain_run_shows_and_is_logged(sealed, monkeypatch, capsys):
    (folder, before), _ = sealed
    monkeypatch.setenv("SIAMESE_LAB_OUTPUTS", str(folder.path.parent.parent))
    single, plain = run(*[word for word in STUDY if not word.startswith("study=")])
    assert [entry["runs"] for entry in read_openings(single.path.parent)] == [[single.run_id]]
    assert single.run_id == folder.run_id
    open_test_part([folder], "a test")
    opened = folder.metrics()
    assert opened["test"] == plain["test"]
    assert opened["val"] == before["val"] == plain["val"]
    assert opened["chosen"] == before["chosen"]
    assert not opened["sealed"]
    parts = [read_influences(influences_file(one.path, "test"), "retrieval/map@r") for one in (folder, single)]
    assert parts[0] == parts[1] != {}
    (entry,) = read_openings(folder.path.parent)
    assert (entry["command"], entry["runs"]) == ("a test", [folder.run_id])
    open_test_part([folder], "again")  # there is nothing left to open
    assert len(read_openings(folder.path.parent)) == 1
    assert main(["evaluate", str(folder.path)]) == 0
    assert "sealed" not in capsys.readouterr().err


def test_evaluate_opens_the_test_part_and_says_so(sealed, capsys):
    _, (folder, _) = sealed
    assert main(["evaluate", str(folder.path)]) == 0
    said = capsys.readouterr()
    assert "this opens the sealed test part of the study sealing; the opening is logged" in said.err
    assert "at the run's end" not in said.out
    assert [entry["command"] for entry in read_openings(folder.path.parent)] == ["siamese-lab evaluate"]


def test_data_without_validation_make_no_study(outputs, tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in range(8):
        (tmp_path / "images" / f"{name}").mkdir(parents=True)
        for k in range(4):
            Image.fromarray(rng.integers(0, 255, (16, 16), dtype=np.uint8)).save(
                tmp_path / "images" / f"{name}" / f"{k}.png"
            )
    words = ["data=folder", f"data.root={tmp_path / 'images'}", "data.size=16", "data.val_share=0.0", "study=blind"]
    with pytest.raises(LabError, match="no validation part"):
        train_if_needed(compose(words))


def test_influences_come_back_as_they_were(tmp_path):
    figures = {
        "a/x": Figure(0.5, influence={"one": 0.25, "zwei \u00e9": -0.25}),
        "a/y": Figure(0.5, influence={"one": 1e-9, "zwei \u00e9": 3.0}),
        "b/x": Figure(0.5, influence={"three": 1.0}),
        "b/none": Figure(0.5),
    }
    write_influences(tmp_path / "i.npz", figures)
    for name, figure in figures.items():
        assert read_influences(tmp_path / "i.npz", name) == figure.influence
    assert read_influences(tmp_path / "i.npz", "unheard/of") == {}
    whole = (tmp_path / "i.npz").read_bytes()
    for harm in (whole[:-40], whole[:20], b"", b"nonsense"):
        (tmp_path / "i.npz").write_bytes(harm)
        with pytest.raises(LabError, match="is broken"):
            read_influences(tmp_path / "i.npz", "a/x")
    with pytest.raises(LabError, match="is missing"):
        read_influences(tmp_path / "j.npz", "a/x")
