"""`siamese-lab status` and `rerun`: what they show and do of studies in any condition."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from siamese_lab.cli import main
from siamese_lab.core.files import read_json, write_json
from siamese_lab.sweep.execution.job_source import JobList
from siamese_lab.sweep.execution.scheduler import schedule
from siamese_lab.sweep.execution.stop import Stop
from siamese_lab.sweep.launchers.local import Local
from tests.conftest import ROOT
from tests.sweep._helpers import figures, write_jobs

QUICK = ["trainer.max_epochs=2", "sampling.steps=4"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The outputs of a study of three runs, of which one has diverged."""
    with pytest.MonkeyPatch.context() as patch:
        outputs = tmp_path_factory.mktemp("outputs")
        patch.setenv("SIAMESE_LAB_OUTPUTS", str(outputs))
        points = [["seed=1"], ["seed=2"], ["seed=3", "optimizer.lr=1e30", "trainer.gradient_clip_val=null"]]
        jobs = write_jobs("seen", *points, common=QUICK)
        states = schedule(JobList(jobs), Local(slots=2), Stop())
        assert [states[job.run_id] for job in jobs] == ["ok", "ok", "diverged"]
    return outputs, jobs


@pytest.fixture
def study(finished, tmp_path, monkeypatch):
    """A copy of it."""
    outputs, jobs = finished
    shutil.copytree(outputs, tmp_path / "outputs")
    monkeypatch.delenv("COLUMNS", raising=False)  # xdist sets it: the tables would be narrow
    monkeypatch.setenv("SIAMESE_LAB_OUTPUTS", str(tmp_path / "outputs"))
    return jobs


def test_every_state_is_shown_with_how_far_it_is(study, capsys):
    running, queued, _ = study
    running.folder.update(state="running", pid=os.getpid(), ticks=None)
    history = read_json(running.folder.path / "history.json")
    write_json(running.folder.path / "history.json", history | {"entries": history["entries"][:1]})
    shutil.rmtree(queued.folder.path)
    queued.file("json").unlink()
    assert main(["status", "seen"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.startswith("seed=")}
    assert "running" in lines["seed=1"]
    assert "1/2" in lines["seed=1"]
    assert " %" in lines["seed=1"]
    assert "queued" in lines["seed=2"]
    assert "diverged" in lines["seed=3"]
    assert "Stopped: diverged after step" in lines["seed=3"]


@pytest.mark.parametrize("name", ["run.json", "history.json", "metrics.json", "attempts"])
@pytest.mark.parametrize("text", ["", "{", '{"schema": 2}', "[]", '{"schema": 2, "entries": [3], "attempts": [3]}'])
def test_what_is_half_written_does_not_hide_the_rest(study, capsys, name, text):
    path = study[0].file("json") if name == "attempts" else study[0].folder.path / name
    path.write_text(text)
    assert main(["status", "seen", "--once"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines() if line.startswith("seed=")] == ["seed=1", "seed=2", "seed=3"]
    assert "1 diverged" in out


def test_a_study_is_found_by_its_folder_wherever_it_lies(study, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("SIAMESE_LAB_OUTPUTS", str(tmp_path / "elsewhere"))
    assert main(["status", str(tmp_path / "outputs" / "seen")]) == 0
    assert "2 ok, 1 diverged" in capsys.readouterr().out
    monkeypatch.setenv("SIAMESE_LAB_OUTPUTS", str(tmp_path / "elsewhere"))
    assert main(["status", "seen"]) == 2
    assert "no study seen" in capsys.readouterr().err


def test_status_needs_no_torch(study):
    code = (
        "import sys; from siamese_lab.cli import main; main(['status', 'seen']); print('torch' in sys.modules, "
        "'hydra' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("False False\n")


def test_what_diverged_is_tried_again_from_the_start(study, capsys):
    assert main(["rerun", "seen"]) == 1
    out = capsys.readouterr().out
    assert "Study seen: 1 runs, 0 of them ended" in out
    assert [attempt["state"] for attempt in study[2].attempts()] == ["diverged", "diverged"]
    assert len(list((study[2].file("yaml").parent / "replaced").iterdir())) == 1
    assert main(["rerun", "seen", "--print"]) == 0
    assert capsys.readouterr().out.count("siamese-lab train seed=3 optimizer.lr=1e30") == 1


def test_a_finished_study_has_nothing_to_run_again(study, capsys):
    info = read_json(study[2].folder.path / "run.json")
    write_json(study[2].folder.path / "run.json", info | {"state": "ok"})
    assert main(["rerun", "seen"]) == 0
    assert "The study seen is finished: 3 runs" in capsys.readouterr().out


def test_a_run_whose_folder_was_removed_is_run_again(study):
    whole = figures(study[0])
    shutil.rmtree(study[0].folder.path)
    assert study[0].state() == "queued"
    assert main(["rerun", "seen"]) == 1  # the third one diverges again
    assert figures(study[0]) == whole


def test_configs_of_others_run_no_code_of_theirs(study, tmp_path, capsys):
    """A study that was copied from elsewhere, whose configs name what siamese-lab does not define."""
    job = study[2]
    text = job.file("yaml").read_text()
    mark = tmp_path / "was run"
    for harmful in (text.replace("siamese_lab.callbacks.doctor.Doctor", "os.mkdir"), "x: {_target_: os.mkdir}\n"):
        job.file("yaml").write_text(harmful)
        assert main(["rerun", "seen"]) == 2
        assert "give its command again" in capsys.readouterr().err
        assert not mark.exists()
    job.file("yaml").write_text(text)
    path = job.file("yaml").parent.parent / "study.json"
    found = json.loads(path.read_text())
    path.write_text(json.dumps(found | {"facts": {"launcher": {"_target_": "os.mkdir", "path": str(mark)}}}))
    assert main(["rerun", "seen"]) == 2
    assert not mark.exists()
    other = study[0]
    other.file("yaml").write_text(text.replace("siamese_lab.callbacks.doctor.Doctor", "os.mkdir"))
    assert main(["rerun", str(other.folder.path)]) == 2
    assert other.folder.exists()  # nothing was set aside
