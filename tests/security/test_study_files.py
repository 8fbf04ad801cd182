"""What lies in a study's folder runs no code, whatever verb reads it: neither its launcher nor its jobs' configs."""

import json

import pytest
from omegaconf import OmegaConf

from siamese_lab.tensorboard.logdir import LogDir
from tests.conftest import FEW, SMALL
from tests.security._user import command

WORDS = ["train", "-m", *SMALL, *FEW, "trainer.max_epochs=1", "seed=1,2", "study=mine"]


@pytest.fixture
def study(monkeypatch, tmp_path):
    """The folder of a study of two runs that was planned and not begun."""
    monkeypatch.setenv("SIAMESE_LAB_OUTPUTS", str(tmp_path / "outputs"))
    from siamese_lab.sweep.planning.planner import plan_study

    plan_study(WORDS[2:]).write()
    return tmp_path / "outputs" / "mine"


def harmed(study, mark):
    """A launcher that makes a folder, and a loss that does, with everything else as it was."""
    payload = {"_target_": "os.mkdir", "path": str(mark)}
    content = json.loads((study / "study.json").read_text())
    places = [content, *(value for value in content.values() if isinstance(value, dict))]
    assert any("launcher" in place for place in places)
    for place in places:
        if "launcher" in place:
            place["launcher"] = payload
    (study / "study.json").write_text(json.dumps(content))
    for file in (study / "jobs").glob("*.yaml"):
        cfg = OmegaConf.load(file)
        cfg.launcher = cfg.loss = payload
        OmegaConf.save(cfg, file)


def test_an_earlier_plan_is_not_built_from(study, tmp_path):
    mark = tmp_path / "mark"
    harmed(study, mark)
    said = command("plan", *WORDS[2:])
    assert said.code == 0, said
    assert "2 to do" in said.out
    assert not mark.exists()
    said = command(*WORDS)
    assert not mark.exists()
    assert said.code == 0, said  # the jobs' configs are written anew from the user's words
    harmed(study, mark)
    assert command(*WORDS).code == 0  # finished: nothing is built
    assert command("plan", *WORDS[2:]).code == 0
    for verb in (["rerun", "mine"], ["status", "mine"], ["compare", "mine"], ["compare", "mine", "--open-test"]):
        assert command(*verb).code in (0, 2)
        assert not mark.exists(), verb


def test_a_job_whose_config_was_exchanged_is_refused_by_its_process(study, tmp_path):
    from siamese_lab.sweep.execution.worker import run_job

    mark = tmp_path / "mark"
    harmed(study, mark)
    (first, _) = sorted((study / "jobs").glob("*.yaml"))
    assert run_job(study, first.stem) == 2
    assert not mark.exists()


@pytest.mark.parametrize("target", ["os.mkdir", "siamese_lab.sweep.launchers.slurm.Slurm"])
def test_rerun_takes_no_launcher_but_the_local_one_from_a_file(study, tmp_path, target):
    content = json.loads((study / "study.json").read_text())
    for place in [content, *(value for value in content.values() if isinstance(value, dict))]:
        if "launcher" in place:
            place["launcher"] = {"_target_": target, "setup": [f"touch {tmp_path}/mark"]}
    (study / "study.json").write_text(json.dumps(content))
    said = command("rerun", "mine")
    assert said.code == 2, said
    assert f"the study mine was run by {target}" in said.err
    assert "give its command again" in said.err


@pytest.mark.parametrize("where", ["jobs", "superseded"])
@pytest.mark.parametrize(
    "run_id", ["../../../abs/victim", "lnk0/../../victim", "0123456789AB", "", None, 7, "\x1b[2J" * 3]
)
def test_a_run_id_that_is_none_is_refused_by_every_verb(study, tmp_path, where, run_id):
    content = json.loads((study / "study.json").read_text())
    one = {"run_id": run_id, "by": run_id, "changes": []} if where == "superseded" else content["jobs"][0]
    content[where] = [one | {"run_id": run_id}]
    (study / "study.json").write_text(json.dumps(content))
    victim = tmp_path / "abs" / "victim"
    victim.mkdir(parents=True)
    for verb in ("status", "compare", "rerun"):
        said = command(verb, "mine")
        assert said.code == 2, (verb, said)
        assert "run id must be 12 hex digits" in said.err
        assert "\x1b" not in said.err
    assert victim.is_dir()
    assert (
        LogDir(tmp_path / "shown", [study]).refresh() == 0
    )  # what `board` shows: it goes on, without the study's runs
