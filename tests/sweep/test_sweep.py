"""`siamese-lab train -m` and what goes with it, from the command line, with real small trainings."""

import re
import time
from types import SimpleNamespace

import pytest

from siamese_lab.cli import main
from siamese_lab.core.files import read_json, write_json
from siamese_lab.runs.study import read_study
from siamese_lab.sweep.execution import stop
from siamese_lab.sweep.launchers.local import Local
from tests.conftest import FEW, SMALL

WORDS = [*SMALL, *FEW, "trainer.max_epochs=2", "loss=supcon,triplet", "seed=1", "study=told"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A study of two runs."""
    patch = pytest.MonkeyPatch()
    patch.setenv("SIAMESE_LAB_OUTPUTS", str(tmp_path_factory.mktemp("outputs")))
    assert main(["train", "-m", *WORDS]) == 0
    yield read_study("told")
    patch.undo()


def test_a_finished_study_is_said_to_be_finished(swept, capsys):
    began = time.process_time()
    assert main(["train", "-m", *WORDS]) == 0
    assert time.process_time() - began < 2
    assert "The study told is finished: 2 runs" in capsys.readouterr().out


def test_the_status_of_a_study(swept, capsys):
    assert main(["status", "told"]) == 0
    out = capsys.readouterr().out
    assert "2 ok" in out
    assert "loss=triplet" in out


def test_the_commands_behind_a_study_and_a_run(swept, capsys):
    assert main(["rerun", "told", "--print"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("siamese-lab train data.size=16") and line.endswith("study=told") for line in lines)
    assert main(["rerun", swept.jobs[1].run_id, "--print"]) == 0
    assert capsys.readouterr().out.splitlines() == [lines[1]]


def test_a_run_is_trained_anew_and_what_it_had_is_kept(swept, capsys):
    job = swept.jobs[0]
    before = job.folder.metrics()
    assert main(["rerun", str(job.folder.path)]) == 0
    assert job.folder.metrics()["val"] == before["val"]
    assert len(list((job.file("yaml").parent / "replaced").glob(f"{job.run_id}-*/metrics.json"))) == 1


def test_what_differs_between_two_runs(swept, capsys):
    assert main(["diff", *(job.run_id for job in swept.jobs)]) == 0
    assert re.search(r"loss +supcon +triplet", capsys.readouterr().out)


def test_finished_runs_of_other_code_are_not_mixed(swept, capsys):
    job = swept.jobs[0]
    path = job.folder.path / "run.json"
    info = read_json(path)
    write_json(path, info | {"code": "0123456789ab"})
    more = [word.replace("seed=1", "seed=1,2") for word in WORDS]
    assert main(["train", "-m", *more]) == 2
    assert "were made by other code (1 by 0123456789ab" in capsys.readouterr().err
    write_json(path, info)


def test_a_combination_that_cannot_run_stops_the_sweep_before_its_first_job(outputs, capsys):
    assert main(["train", "-m", *SMALL, *FEW, "seed=1,2", "loss=triplet", "optimizer.lr=0.0", "study=idle"]) == 2
    err = capsys.readouterr().err
    assert "1 of 1 combinations cannot run, nothing was started" in err
    assert "a learning rate of 0" in err
    assert not list(outputs.glob("idle/*/run.json"))


def test_after_the_time_of_its_budget_a_sweep_starts_no_further_job(outputs, tmp_path, capsys, monkeypatch):
    started, start = [], Local.start
    monkeypatch.setattr(Local, "start", lambda launcher, job: started.append(job) or start(launcher, job))
    # a clock that the load of the machine does not hurry: the time is over when two jobs have begun
    monkeypatch.setattr(stop, "time", SimpleNamespace(monotonic=lambda: 100.0 * (len(started) >= 2)))
    (tmp_path / "own" / "studies").mkdir(parents=True)
    (tmp_path / "own" / "studies" / "short.yaml").write_text('seeds: [1, 2, 3, 4, 5]\nbudget: {time: "00:00:01"}\n')
    words = [
        *SMALL,
        *FEW,
        "trainer.max_epochs=1",
        "launcher.slots=2",
        "study=short",
        "--config-dir",
        str(tmp_path / "own"),
    ]
    assert main(["train", *words]) == 1
    said = capsys.readouterr()
    assert "budget.time is over, no further job is started" in said.err
    assert [job.state() for job in read_study("short").jobs] == ["ok", "ok", "queued", "queued", "queued"]
