"""Searches by the command line, with real trainings on the small problem."""

import os
from types import SimpleNamespace

import pytest

from siamese_lab import cli
from siamese_lab.config.compose import compose
from siamese_lab.core.files import read_json, write_json
from siamese_lab.runs.study import read_study
from siamese_lab.sweep.planning.plan_cache import valid_finished_search
from siamese_lab.sweep.search.search import headline_direction
from tests import _commands
from tests.conftest import FEW, ROOT, SMALL

SHORT = [
    *SMALL,
    *FEW,
    "trainer.max_epochs=1",
    "sampling.steps=2",
    "backbone=lenet",
    "seed=0",
    "launcher.slots=2",
    "study=hunt",
]
PIPES = {"stdout": _commands.PIPE, "stderr": _commands.PIPE}
SPACE = ["loss=contrastive,supcon", "loss.margin=interval(0.2,1)", "optimizer.lr=tag(log,interval(1e-4,1e-2))"]


def line(*words):
    """`train -m`, with what is not of lenet left out."""
    return ["train", "-m", *(word for word in SHORT if not word.startswith("backbone.width")), *words]


def lab(*words):
    return cli.main(line(*words))


@pytest.fixture
def hunt(outputs, capsys):
    assert lab("search=random", "search.trials=3", *SPACE) == 0
    return outputs / "hunt", capsys.readouterr().out


def test_a_search_over_two_losses_trains_reports_and_goes_on(hunt, capsys):
    folder, said = hunt
    study = read_study("hunt")
    assert len(study.jobs) == 3
    values = {}
    for job in study.jobs:
        assert job.state() == "ok"
        assert ("loss.margin" in job.point) == (job.point["loss"] == "contrastive")
        metrics = job.folder.metrics()
        assert metrics["test"] == {}  # sealed
        values[job.run_id] = metrics["best"]
    assert {job.point["loss"] for job in study.jobs} == {"contrastive", "supcon"}
    best = min(values, key=values.get)
    assert f"best       val/verification/eer {values[best]:.4g} (low is better), run {best}" in said
    assert "3 points by random, 3 ok" in said
    done = read_json(folder / "search" / "done.json")
    assert done["states"] == dict.fromkeys(values, "ok")

    assert lab("search=random", "search.trials=3", *SPACE) == 0  # again: from what was noted
    again = capsys.readouterr().out
    assert "running" not in again
    assert f"run {best}" in again

    run = folder / best / "run.json"
    info = read_json(run)
    write_json(run, info | {"state": "killed"})
    assert valid_finished_search("hunt", read_study("hunt").facts["key"]) is None  # what was noted no longer holds
    write_json(run, info)

    assert lab("search=tpe", "search.trials=4", *SPACE) == 0  # further, by another sampler
    assert len(read_study("hunt").jobs) == 4
    assert capsys.readouterr().out.count("running") == 1

    assert lab("search=tpe", "search.trials=4", "loss=contrastive,triplet", *SPACE[1:]) == 2
    assert "drawn from another space: loss was contrastive,supcon and is contrastive,triplet" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["sqlite", "journal"])
def test_two_searches_that_begin_together_share_the_points(outputs, storage):
    words = line(
        "search=tpe", "search.trials=4", "search.startup=2", f"search.storage={storage}", "launcher.slots=1", *SPACE
    )
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    both = [_commands.start(["-m", "siamese_lab", *words], env=env, text=True, **PIPES) for _ in range(2)]
    for process in both:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    assert [job.state() for job in read_study("hunt").jobs] == ["ok"] * 4
    assert len(list(outputs.glob("hunt/*/run.json"))) == 4


def test_options_that_do_not_go_together_are_told_before_anything_runs(outputs, capsys):
    words = ["search=random", "search.trials=2", "loss=supcon,proxy_anchor", "miner=all,batch_hard"]
    assert lab(*words) == 2
    said = capsys.readouterr().err
    assert "loss=proxy_anchor miner=batch_hard" in said
    assert not any(outputs.glob("hunt/*/run.json"))
    assert not list((outputs / "hunt" / "jobs").glob("*.yaml"))
    assert not (outputs / "hunt" / "study.json").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["seed=1,2"], "a search evaluates each point by one run"),
        (["optimizer.lr=interval(0.2,1)", "search.trials=0"], "search.trials must be >= 1"),
        (["loss.margn=interval(0.2,1)"], "loss.margn"),
        (["loss.temperature=interval(1,0.2)"], "the smaller one first"),
        (["protocol=[verification],[one_shot]"], "cannot be held against each other"),
        (["loss=supcon,triplet", "search=cmaes"], "loss is chosen from a list"),
    ],
)
def test_what_cannot_be_searched_is_told_in_one_message(outputs, capsys, words, said):
    assert lab("search=random", *words) == 2
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told
    assert not (outputs / "hunt" / "study.json").exists()


def test_the_direction_is_that_of_the_first_protocol():
    assert headline_direction(SimpleNamespace(cfg=compose(["protocol=[retrieval,verification]"]))) == "high"
    assert headline_direction(SimpleNamespace(cfg=compose(["protocol=[verification,retrieval]"]))) == "low"


def test_zips_and_cases_are_refused(outputs, capsys):
    assert cli.main(["train", "-m", "search=random", *SPACE, "--case", "backbone=lenet"]) == 2
    assert "leave out --zip and --case" in capsys.readouterr().err
