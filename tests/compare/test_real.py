"""`siamese-lab compare` of a real study: two losses, two seeds, sealed, then opened."""

import json

import pytest

from siamese_lab.cli import main
from siamese_lab.core.files import write_json
from siamese_lab.runs.folder import RunFolder
from siamese_lab.runs.influences import influences_file, read_influences
from siamese_lab.runs.seal import read_openings
from tests.conftest import run
from tests.statistics._paired_difference import paired_difference


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Four runs and their outputs folder."""
    patch = pytest.MonkeyPatch()
    root = tmp_path_factory.mktemp("outputs")
    patch.setenv("SIAMESE_LAB_OUTPUTS", str(root))
    few = ["sampling.batch_size=96", "sampling.steps=6", "trainer.max_epochs=2", "study=real"]
    made = {
        (loss, seed): run(*few, f"loss={loss}", f"seed={seed}")[0].path
        for loss in ("contrastive", "triplet")
        for seed in (0, 1)
    }
    jobs = [
        {"run_id": path.name, "point": {"loss": loss, "seed": str(seed)}, "devices": 1}
        for (loss, seed), path in made.items()
    ]
    axes = {"loss": ["contrastive", "triplet"], "seed": ["0", "1"]}
    write_json(
        root / "real" / "study.json",
        {"schema": 2, "name": "real", "axes": axes, "jobs": jobs, "superseded": [], "facts": {}},
    )
    yield made
    patch.undo()


def test_sealed_then_opened(study, capsys):
    root = next(iter(study.values())).parent
    assert main(["compare", "real", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["part_words"] == "validation part (test sealed)"
    for one in found["configurations"]:
        loss = one["point"]["loss"]
        for seed, value in zip(one["seeds"], one["values"], strict=True):
            metrics = RunFolder(study[loss, int(seed)]).metrics()
            assert value == metrics["val"]["verification/eer"]["value"]
            assert metrics["test"] == {}
    assert read_openings(root) == []
    assert main(["compare", "real", "--open-test", "--metric", "verification/nope"]) == 2
    assert main(["compare", "real", "--open-test", "--by", "nope"]) == 2
    assert read_openings(root) == []  # a slip opens nothing
    capsys.readouterr()
    assert main(["compare", "real", "--open-test", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["part_words"] == "test part, opened once"
    assert found["part"] == "test"
    (logged,) = read_openings(root)
    assert logged["command"] == "siamese-lab compare real --open-test"
    assert len(logged["runs"]) == 4
    assert found["openings"] == [logged]
    gain = found["contrasts"][0]["gain"]["value"]
    left, right = (
        found["configurations"][found["contrasts"][0][side]]["point"]["loss"] for side in ("better", "worse")
    )
    by_hand = []
    for seed in (0, 1):
        figures = [
            RunFolder(study[loss, seed]).metrics()["test"]["verification/eer"]["value"] for loss in (right, left)
        ]
        influences = [
            read_influences(influences_file(study[loss, seed], "test"), "verification/eer") for loss in (right, left)
        ]
        by_hand.append(paired_difference(figures[0], influences[0], figures[1], influences[1]).value)
    assert gain == pytest.approx(sum(by_hand) / 2)
    assert main(["compare", "real", "--open-test"]) == 0
    out = capsys.readouterr().out
    assert "test part, opened once" in out
    assert "test part opened 20" in out
    assert "validation figures" not in out
    assert "opened" in (root / "report-test.html").read_text()
    assert len(read_openings(root)) == 1  # nothing was sealed any more
    assert main(["compare", "real"]) == 0
    assert "validation part (the test part was opened once)" in capsys.readouterr().out


def test_diff_of_real_runs(study, capsys):
    assert main(["diff", str(study["contrastive", 0]), str(study["triplet", 0])]) == 0
    out = capsys.readouterr().out
    assert "contrastive" in out
    assert "loss.margin" in out
    assert "seed" not in out
