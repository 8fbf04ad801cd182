"""`siamese-lab diff`."""

import json

from siamese_lab.cli import main
from tests.compare._studies import edited, folder


def test_the_keys_that_differ_stand_side_by_side(template, outputs, capsys):
    one = folder(template, outputs, "one", {"loss.temperature": "0.1"}, "0")
    two = folder(template, outputs, "two", {"loss.temperature": "0.2"}, "1")
    info = json.loads((outputs / "two" / two / "run.json").read_text())
    edited(
        outputs / "two" / two / "run.json",
        code="feed",
        decided=info["decided"] | {"threads": 77},
        versions=info["versions"] | {"torch": "9"},
    )
    assert main(["diff", one, two]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"one/{one[:6]}" in lines[0]
    assert f"two/{two[:6]}" in lines[0]
    rows = {line.rsplit(maxsplit=2)[0].strip(): line.rsplit(maxsplit=2)[1:] for line in lines[1:-1]}
    assert rows["loss.temperature"] == ["0.1", "0.2"]
    assert rows["seed"] == ["0", "1"]
    assert rows["study (*)"] == ["one", "two"]
    assert rows["code"][1] == "feed"
    assert rows["version of torch"][1] == "9"
    assert rows["decided threads"][1] == "77"
    assert set(rows) == {"loss.temperature", "seed", "study (*)", "code", "version of torch", "decided threads"}
    assert lines[-1].startswith("(*) decides nothing")


def test_another_option_is_named_by_its_group(template, outputs, capsys):
    one = folder(template, outputs, "one", {}, "0")
    two = folder(template, outputs, "one", {"loss": "other"}, "0")
    assert main(["diff", one, two]) == 0
    out = capsys.readouterr().out
    assert "loss" in out
    assert "supcon" in out
    assert "_target_" not in out


def test_no_difference(template, outputs, capsys):
    one = folder(template, outputs, "one", {}, "0")
    assert main(["diff", one, one]) == 0
    assert "no difference: both are the run" in capsys.readouterr().out
    two = folder(template, outputs, "one", {}, "0", tag="again")
    assert main(["diff", one, two]) == 0
    assert "no difference between" in capsys.readouterr().out


def test_other_data_are_told(template, outputs, capsys):
    one = folder(template, outputs, "one", {}, "0")
    metrics = json.loads((template / "metrics.json").read_text())
    two = folder(
        template, outputs, "one", {}, "0", tag="data", metrics={"data": metrics["data"] | {"fingerprint": "feedbeef"}}
    )
    three = folder(template, outputs, "one", {}, "0", tag="failed", state="failed")
    assert main(["diff", one, two]) == 0
    assert "feedbeef" in capsys.readouterr().out
    assert main(["diff", one, three]) == 0
    assert "not known yet" in capsys.readouterr().out


def test_runs_that_are_not_there(template, outputs, capsys):
    one = folder(template, outputs, "one", {}, "0")
    assert main(["diff", one, "nope"]) == 2
    assert "no run nope" in capsys.readouterr().err
    (outputs / "one" / one / "config.yaml").write_text("a: [")
    assert main(["diff", one, str(template)]) == 2
    assert "config.yaml" in capsys.readouterr().err
