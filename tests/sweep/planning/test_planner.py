"""What a sweep asks for: grids, zips, cases, study files, axes that collapse; and what is refused."""

import json
import subprocess
import sys

import pytest

from siamese_lab.commands.plan import describe
from siamese_lab.core.errors import LabError
from siamese_lab.runs.study import read_study
from siamese_lab.sweep.planning import grid, planner, study_file
from tests import _commands
from tests.conftest import FEW, ROOT, SMALL
from tests.sweep.search._helpers import finish

WORDS = [*SMALL, *FEW]


def points(found):
    return [job.point for job in found.jobs]


@pytest.fixture(autouse=True)
def _outputs(outputs):
    outputs.mkdir(parents=True, exist_ok=True)


def test_a_grid_runs_every_value_with_every_other_and_the_seed_varies_slowest():
    found = planner.plan_study([*WORDS, "loss=contrastive,triplet", "loss.margin=0.2,0.5", "seed=1,2"])
    assert [tuple(p[key] for key in ("seed", "loss", "loss.margin")) for p in points(found)] == [
        (seed, loss, margin) for seed in "12" for loss in ("contrastive", "triplet") for margin in ("0.2", "0.5")
    ]
    assert len({job.run_id for job in found.jobs}) == 8
    assert found.study.startswith("loss_x_margin-")


def test_an_axis_that_an_option_lacks_collapses_and_that_is_said():
    found = planner.plan_study([*WORDS, "loss=supcon,triplet", "loss.margin=0.2,0.5", "seed=1,2"])
    assert [p for p in points(found) if p["loss"] == "supcon"] == [
        {"loss": "supcon", "seed": "1"},
        {"loss": "supcon", "seed": "2"},
    ]
    assert len(found.jobs) == 6
    assert found.notes == ["loss=supcon has no loss.margin: it runs once, not 2 times"]


def test_a_fixed_value_that_only_some_options_have_is_dropped_for_the_others():
    found = planner.plan_study([*WORDS, "loss=supcon,triplet", "loss.margin=0.3"])
    assert [p["loss"] for p in points(found)] == ["supcon", "triplet"]
    assert "margin: 0.3" in found.configs[found.jobs[1].run_id]


def test_zips_and_cases():
    words = [*WORDS, "loss=contrastive,triplet", "loss.margin=1.0,0.2", "seed=1,2"]
    assert [(p["loss"], p["loss.margin"]) for p in points(planner.plan_study(words, zips=["loss,loss.margin"]))] == [
        *(("contrastive", "1.0"), ("triplet", "0.2")) * 2
    ]
    cases = ["loss=contrastive loss.margin=1.0", "loss=supcon"]
    found = points(planner.plan_study([*WORDS, "seed=1,2"], cases=cases))
    assert [p["loss"] for p in found] == ["contrastive", "supcon"] * 2


def test_ranges_and_globs_of_hydra():
    fixed, swept, ranges = grid.read_axes(
        ["seed=range(1,4)", "backbone=glob(l*)", "a=tag(log,interval(1e-4,1))", "b=[1,2]"],
        {"backbone": ["conv4", "lenet"]},
    )
    assert (fixed, swept, list(ranges)) == (["b=[1,2]"], {"seed": ["1", "2", "3"], "backbone": ["lenet"]}, ["a"])


REFUSED = {
    "no option has the key, nor has the usual one": (
        ["loss=supcon,triplet", "loss.magrin=0.1,0.2"],
        "no key loss.magrin: did you mean loss.margin, a ",
    ),
    "no option has the key": (
        ["loss=triplet,contrastive", "loss.magrin=0.1,0.2"],
        "no key loss.magrin: did you mean loss.margin?",
    ),
    "no such option": (["loss=triplt,contrastive"], "no loss=triplt: did you mean triplet?"),
    "a value of another type": (
        ["loss=triplet", "loss.margin=0.1,abc"],
        "loss.margin must be a number, got the text 'abc'",
    ),
    "an empty value": (["loss=triplet", "loss.margin="], "loss.margin= has no value"),
    "no axis": (["loss=triplet"], "a sweep needs an axis"),
    "a seed that is none": (["seed=1,x"], "seed must be a whole number"),
    "what does not go together": (
        ["loss=supcon,triplet", "miner=all,batch_hard"],
        "--skip-unfit leaves such combinations out",
    ),
    "the folder of plain runs": (["seed=1,2", "study=single"], "study=single is where runs lie"),
    "no end of values": (["loss=triplet", "loss.margin=interval(0,1)"], "look for the best with search=tpe"),
    "two launchers": (["seed=1,2", "launcher.slots=1,2"], "a study has one launcher"),
    "a misspelt study file": (["study=backbone_x_loss_x_margn"], "did you mean backbone_x_loss_x_margin?"),
    "no word": (["seed=1,2", "a b"], "is no override"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_sweeps_are_refused_before_anything_is_written(outputs, case):
    words, said = REFUSED[case]
    with pytest.raises(LabError) as error:
        planner.plan_study([*WORDS, *words])
    assert said in str(error.value)
    assert list(outputs.iterdir()) == []


def test_zips_of_other_lengths_are_refused():
    with pytest.raises(LabError, match="needs axes of one length, got loss: 2, seed: 3"):
        planner.plan_study([*WORDS, "loss=contrastive,triplet", "seed=1,2,3"], zips=["loss,seed"])
    with pytest.raises(LabError, match=r"loss\.margin is none"):
        planner.plan_study([*WORDS, "loss=contrastive,triplet"], zips=["loss,loss.margin"])


def test_unfit_combinations_are_left_out_where_the_user_says_so():
    found = planner.plan_study([*WORDS, "loss=supcon,triplet", "miner=all,batch_hard"], skip_unfit=True)
    assert [(p["loss"], p["miner"]) for p in points(found)] == [
        ("supcon", "all"),
        ("triplet", "all"),
        ("triplet", "batch_hard"),
    ]
    assert "is left out" in found.notes[0]


def written(tmp_path, text):
    (tmp_path / "own" / "studies").mkdir(parents=True)
    (tmp_path / "own" / "studies" / "mine.yaml").write_text(text)
    return [tmp_path / "own"]


def test_a_study_file(tmp_path):
    own = written(
        tmp_path,
        """
        axes: {loss: [contrastive, triplet], loss.margin: [0.2, 0.5]}
        seeds: [1, 2]
        exclude: [{loss: triplet, loss.margin: 0.5}]
        overrides: {sampling.steps: 7}
        budget: {runs: 5}
        """,
    )
    found = planner.plan_study([*SMALL, "study=mine"], own)
    assert (found.study, len(found.jobs)) == ("mine", 6)
    assert {"loss": "triplet", "loss.margin": "0.5", "seed": "1"} not in points(found)
    assert "steps: 7" in found.configs[found.jobs[0].run_id]
    with pytest.raises(LabError, match="has 6 runs, its budget allows 5"):
        planner.refuse_over_budget(found)
    assert len(planner.plan_study([*SMALL, "study=mine", "seed=1,2,3,4"], own).jobs) == 12  # the command line wins


def test_exclusions_may_name_a_seed_spell_numbers_otherwise_and_have_spaces(tmp_path):
    own = written(
        tmp_path,
        """
        axes: {loss: [triplet], loss.margin: [0.2, 0.50], name: [c d, e]}
        seeds: [1, 2]
        exclude: [{seed: 1, name: c d}, {loss.margin: 0.5, name: e}]
        budget: {time: 10:00:00}
        """,
    )
    found = planner.plan_study([*SMALL, "study=mine"], own)
    assert found.facts["budget"] == {"time": "10:00:00"}
    assert not [p for p in points(found) if p["seed"] == "1" and "c" in p["name"]]
    assert not [p for p in points(found) if p["loss.margin"] in ("0.5", "0.50") and p["name"] == "e"]
    assert found.jobs


def test_a_search_takes_no_exclusions(tmp_path):
    own = written(tmp_path, "axes: {loss.margin: 'interval(0,1)'}\nexclude: [{loss: triplet}]")
    with pytest.raises(LabError, match="a search cannot leave out"):
        planner.plan_study([*SMALL, "study=mine", "search=tpe"], own)


def test_every_misspelt_option_and_key_is_told_at_once():
    with pytest.raises(LabError) as error:
        planner.plan_study([*WORDS, "loss=triplt,contrastve", "backbone=lenet,conv5"])
    assert all(name in str(error.value) for name in ("loss=triplt", "loss=contrastve", "backbone=conv5"))
    with pytest.raises(LabError) as error:
        planner.plan_study([*WORDS, "loss=triplet", "loss.magrin=1,2", "sampling.stepz=3,4"])
    assert all(name in str(error.value) for name in ("loss.magrin", "sampling.stepz"))


def test_a_folder_of_options_that_is_none_is_refused(tmp_path):
    with pytest.raises(LabError, match="--config-dir needs a folder"):
        planner.plan_study([*WORDS, "seed=1,2"], [tmp_path / "nowhere"])


BAD_FILES = {
    "a: [1]": "no key a",
    "axis: {seed: [1]}": "no key axis: did you mean axes?",
    "axes: [seed]": "axes must be a mapping",
    "seeds: []": "seeds is an empty list",
    "axes: {seed: {a: 1}}": "seed must be a list of values",
    "- a": "must be a mapping",
    "a: &a\n  b: *a": "nested too deeply, or refers to itself",
    "axes: {seed: [1, 2]": "is no yaml",
    "cases: [loss]": "cases must be a list of mappings",
    "budget: {rnus: 3}": "no key budget.rnus: did you mean runs?",
    "seeds: [1]\nbudget: {runs: many}": "budget.runs must be a whole number >= 1, got 'many'",
    "seeds: [1]\nbudget: {time: soon}": "budget.time must be HH:MM:SS, got 'soon'",
    "seeds: [1, 2]\nexclude: [{sed: 1}]": "exclude names sed, which no run of this study sets: did you mean seed?",
}


@pytest.mark.parametrize("text", BAD_FILES)
def test_bad_study_files(tmp_path, text):
    own = written(tmp_path, text)
    with pytest.raises(LabError) as error:
        planner.plan_study([*SMALL, "study=mine"], own)
    assert BAD_FILES[text] in str(error.value)


def test_the_studies_of_the_lab_can_be_planned(capsys):
    for name in study_file.study_file_names():
        found = planner.plan_study([f"study={name}"])
        planner.refuse_over_budget(found)
        assert len(found.jobs) >= 6


def test_the_plan_of_a_finished_study_needs_neither_torch_nor_hydra(outputs):
    words = [*WORDS, "loss=supcon,triplet", "seed=1,2", "study=held"]
    first = planner.plan_study(words)
    first.write()
    for job in first.jobs:
        finish(job, 0.1)
    code = (
        "import sys, json; from siamese_lab.sweep.planning.planner import plan_study; "
        "found = plan_study(json.loads(sys.argv[1])); "
        "print(json.dumps([[job.run_id for job in found.jobs], 'torch' in sys.modules, 'hydra' in sys.modules]))"
    )
    began = _commands.processor_time()
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(words)], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert _commands.processor_time() - began < 3  # seconds; 0.3 s on a quiet machine
    assert json.loads(done.stdout) == [[job.run_id for job in first.jobs], False, False]


def test_a_further_value_extends_the_study():
    planner.plan_study([*WORDS, "loss=supcon", "seed=1,2", "study=grows"]).write()
    planner.plan_study([*WORDS, "loss=supcon", "seed=3", "loss.temperature=0.1,0.2", "study=grows"]).write()
    study = read_study("grows")
    assert study.axes == {"seed": ["1", "2", "3"], "loss.temperature": ["0.1", "0.2"]} | {"seed": study.axes["seed"]}
    assert len(study.jobs) == 4


def test_runs_of_a_default_that_changed_are_not_reused(tmp_path):
    own = written(tmp_path, "axes: {seed: [1, 2]}")
    (tmp_path / "own" / "loss").mkdir()
    file = tmp_path / "own" / "loss" / "mine.yaml"
    text = "_target_: siamese_lab.losses.supcon.SupConLoss\ntemperature: 0.1\nsum: out\n"
    file.write_text(text)
    words = [*SMALL, *FEW, "loss=mine", "study=mine"]
    before = planner.plan_study(words, own)
    before.write()
    file.write_text(text.replace("0.1", "0.07"))
    after = planner.plan_study(words, own)
    assert {one.run_id for one in after.superseded} == {job.run_id for job in before.jobs}
    assert after.superseded[0].changes == ["loss.temperature 0.1 -> 0.07"]
    assert "2 earlier runs of the study mine are not reused" in after.notes[0]
    after.write()
    assert [job.run_id for job in read_study("mine").jobs] == [job.run_id for job in after.jobs]


def test_the_words_of_a_plan():
    lines = describe(planner.plan_study([*WORDS, "loss=supcon,triplet", "seed=1,2", "launcher.slots=3"]))
    text = "\n".join(lines)
    assert "runs       4: 4 queued; 4 to do, 3 at once" in text
    assert "time       unknown" in text
