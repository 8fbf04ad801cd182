"""Words to points: what is fixed, what is swept, and what no sweep can mean."""

import pytest

from siamese_lab.core.errors import LabError
from siamese_lab.sweep.planning import grid, study_file

OPTIONS = {"loss": ["contrastive", "triplet"], "backbone": ["conv4", "lenet"]}


def test_the_last_word_of_a_key_counts():
    assert grid.read_axes(["seed=1,2", "seed=3"], OPTIONS) == (["seed=3"], {}, {})
    assert grid.read_axes(["seed=3", "seed=1,2"], OPTIONS) == ([], {"seed": ["1", "2"]}, {})


def test_an_added_key_keeps_its_plus():
    assert grid.read_axes(["+loss.power=1,2", "+loss.other=3"], OPTIONS) == (
        ["+loss.other=3"],
        {"+loss.power": ["1", "2"]},
        {},
    )


WRONG = {
    "~loss": "~loss would leave out what every run needs",
    "loss={margin:0.2}": "in a sweep loss takes an option; write a value as loss.KEY=",
    "backbone=glob(z*)": "fits no option of backbone",
    "loss=": "has no value",
}


@pytest.mark.parametrize("word", WRONG)
def test_words_that_no_sweep_can_take(word):
    with pytest.raises(LabError) as error:
        grid.read_axes(["seed=1,2", word], OPTIONS)
    assert WRONG[word] in str(error.value)


def test_all_wrong_words_are_told_at_once():
    with pytest.raises(LabError) as error:
        grid.read_axes(list(WRONG), OPTIONS)
    assert all(said in str(error.value) for said in WRONG.values())


def test_the_seed_varies_slowest_and_cases_cross_with_axes():
    found = grid.grid_points({"loss": ["a", "b"], "seed": ["1", "2"]}, cases=[{"x": "1"}, {"x": "2"}])
    assert [(p["seed"], p["x"], p["loss"]) for p in found] == [
        (s, x, loss) for s in "12" for x in "12" for loss in "ab"
    ]


def test_cases_may_not_hold_what_a_study_has_one_of_nor_repeat_an_axis():
    with pytest.raises(LabError, match="study is the same for all runs"):
        grid.read_case("study=x loss=triplet")
    with pytest.raises(LabError, match=r"launcher\.slots is the same for all runs"):
        grid.read_case("launcher.slots=2")
    with pytest.raises(LabError, match="loss is both an axis and in a case"):
        grid.grid_points({"loss": ["a", "b"]}, cases=[{"loss": "c"}])


def test_sweeps_without_measure_are_refused_before_they_fill_the_memory():
    _, swept, _ = grid.read_axes(["seed=range(0,1000000000)"], OPTIONS)
    with pytest.raises(LabError, match="more than 100,000 points"):
        grid.grid_points(swept)
    with pytest.raises(LabError, match="more than 100,000 points"):
        grid.grid_points({key: list(map(str, range(1000))) for key in "abc"})


@pytest.mark.parametrize(
    "value", ["a,b", "c d", "it's", "null", "true", "f(x)", "back\\slash", "end,\\", "\\'", "a=b", ""]
)
def test_texts_of_a_study_file_stay_one_text(value):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    written = study_file.as_word(value)
    _, swept, _ = grid.read_axes([f"name={written},plain"], {})
    assert len(swept["name"]) == 2
    for one in (written, swept["name"][0]):
        assert OverridesParser.create().parse_override(f"name={one}").value() == value


def test_numbers_that_yaml_reads_as_text_stay_numbers():
    assert study_file.as_word("1e-3") == "1e-3"  # PyYAML wants 1.0e-3
