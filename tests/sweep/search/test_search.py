"""Which jobs a search gives, and what it makes of how they end."""

import math
import os

import pytest

from siamese_lab.config.compose import compose
from siamese_lab.core.errors import LabError
from siamese_lab.core.files import read_json, write_json
from siamese_lab.core.processes import start_ticks
from siamese_lab.runs.study import read_study
from siamese_lab.sweep.search import trials
from siamese_lab.sweep.search.samplers import refuse_space
from siamese_lab.sweep.search.search import TO_RETRY, Search, read_settings
from siamese_lab.sweep.search.space import refuse_other_space
from siamese_lab.sweep.search.trials import end_state, is_point, latest_trials
from tests.sweep.search import _helpers as search_parts
from tests.sweep.search._helpers import WORDS, begin, error, finish, go, point, source, space_of

NUMBERS = ("loss.margin=interval(0.05,1)", "optimizer.lr=tag(log,interval(1e-4,1e-2))")


def states(drawn):
    return sorted(end_state(t) for t in latest_trials(drawn.trials.all()).values())


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_as_many_points_as_asked_for_and_no_more_over_several_calls(outputs, sampler):
    axes = space_of(*WORDS)
    first = go(source(axes, 15, sampler, startup=5))
    assert len({job.run_id for job in first}) == 15
    assert go(source(axes, 15, sampler, startup=5)) == []
    more = go(source(axes, 20, sampler, startup=5))
    # nothing that began again with the seed would draw new ones
    assert len({job.run_id for job in [*first, *more]}) == 20
    assert [job.run_id for job in read_study("s").jobs] == [job.run_id for job in [*first, *more]]
    assert all(job.file("yaml").exists() for job in first)


def test_the_same_seed_draws_the_same_points(outputs):
    axes = space_of(*WORDS)
    one, two, other = (
        [job.point for job in go(source(axes, 8, "tpe", study=name, startup=4, seed=seed))]
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert one == two != other


def test_a_conditional_margin_is_drawn_for_the_losses_that_have_one(outputs):
    jobs = go(source(space_of(*WORDS), 20))
    for job in jobs:
        assert ("loss.margin" in job.point) == (job.point["loss"] != "supcon")
    assert {job.point["loss"] for job in jobs} == {"contrastive", "supcon", "triplet"}


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp"])
def test_a_space_whose_points_are_all_known_ends_the_search(outputs, sampler):
    drawn = source(space_of("loss=contrastive,supcon,triplet", "loss.margin=0.2,0.5"), 40, sampler, startup=3)
    assert len(go(drawn)) == 5  # supcon has no margin
    assert drawn.exhausted
    again = source(space_of("loss=contrastive,supcon,triplet", "loss.margin=0.2,0.5"), 40, sampler, startup=3)
    assert go(again) == []
    repeats = [t for t in again.trials.all() if "repeats" in t.user_attrs]
    assert repeats
    assert all(t.state.name == "COMPLETE" for t in repeats)  # told at once, as the finished run has it


def test_a_run_that_is_finished_answers_its_point(outputs):
    axes = space_of("loss=contrastive,triplet")
    known, _ = point({"loss": "triplet"})
    finish(known, 0.25)
    drawn = source(axes, 2)
    assert [job.point for job in go(drawn)] == [{"loss": "contrastive"}]
    assert {t.user_attrs["run"]: end_state(t) for t in drawn.trials.all() if is_point(t)}[known.run_id] == "ok"
    assert {t.user_attrs["run"]: t.value for t in drawn.trials.all() if is_point(t)}[known.run_id] == 0.25


def test_a_killed_run_is_tried_again_so_often(outputs):
    killed = []

    def train(job):
        if not killed or killed[0] == job.run_id:
            killed.append(job.run_id)
            return "killed"
        return (finish(job, error(job.point)), "ok")[1]

    drawn = source(space_of(*WORDS), 4, retries=2)
    jobs = go(drawn, train)
    assert len(killed) == 3
    assert len(jobs) == 6
    assert states(drawn) == ["killed", "ok", "ok", "ok"]
    assert go(source(space_of(*WORDS), 4, retries=2)) == []


def test_a_failed_run_is_tried_again_by_the_next_call(outputs):
    drawn = source(space_of(*WORDS), 3)
    first = go(drawn, lambda job: "failed")
    assert states(drawn) == ["failed"] * 3
    later = source(space_of(*WORDS), 3)
    later.trials.retry(TO_RETRY)
    assert sorted(job.run_id for job in go(later)) == sorted(job.run_id for job in first)
    assert states(later) == ["ok"] * 3


def test_a_run_that_diverges_is_learnt_from_and_ends_nothing(outputs):
    ends = iter(["diverged", "nan", "oom", "ok", "ok", "ok", "ok", "ok"])

    def train(job):
        end = next(ends)
        if end in ("nan", "ok"):
            finish(job, math.nan if end == "nan" else error(job.point))
        return "ok" if end == "nan" else end

    drawn = source(space_of(*WORDS), 8, "tpe", startup=2)
    assert len(go(drawn, train)) == 8
    assert states(drawn) == ["diverged", "diverged", "ok", "ok", "ok", "ok", "ok", "oom"]
    assert [t.state.name for t in drawn.trials.all()][:3] == ["PRUNED", "PRUNED", "FAIL"]


def test_figures_that_are_better_high_are_searched_upwards(outputs):
    drawn = source(space_of(*WORDS), 3, better="high")
    go(drawn, lambda job: (finish(job, 1 - error(job.point), better="high"), "ok")[1])
    assert drawn.trials.study.best_value == max(t.value for t in drawn.trials.all())
    with pytest.raises(LabError, match="better low, and the search looks for one better high"):
        go(source(space_of(*WORDS), 4, better="high"))
    with pytest.raises(LabError, match="a study of its own"):
        source(space_of(*WORDS), 3, better="low")


def test_the_validation_curve_prunes(outputs):
    drawn = source(space_of(*WORDS), 4, prunes="median", startup=2)
    for _ in range(2):
        job = drawn.next_job()
        begin(job, [0.4, 0.3, 0.2, 0.1])
        assert drawn.should_continue(job)
        finish(job, 0.1)
        drawn.record_end(job, "ok")
    job = drawn.next_job()
    assert drawn.should_continue(job)  # nothing is known yet
    begin(job, [0.9])
    assert drawn.should_continue(job)  # every run gets two epochs
    begin(job, [0.9, math.nan, 0.8])
    assert not drawn.should_continue(job)
    drawn.record_end(job, "pruned")
    good = drawn.next_job()
    begin(good, [0.3, 0.2, 0.1])
    assert drawn.should_continue(good)
    drawn.record_end(good, "ok")  # without figures: nothing that could be learnt
    assert [t.state.name for t in drawn.trials.all()] == ["COMPLETE", "COMPLETE", "PRUNED", "PRUNED"]
    assert drawn.trials.all()[2].value == 0.8


def test_options_that_do_not_go_together_are_counted_aside(outputs):
    def picky(values):
        if values.get("loss") == "supcon":
            raise LabError("supcon needs something else")
        return point(values)

    drawn = source(space_of(*WORDS), 10)
    drawn._point_job = picky
    assert len(go(drawn)) == 10
    assert all("needs something else" in t.user_attrs["unfit"] for t in drawn.trials.all() if not is_point(t))

    def never(values):
        raise LabError("no way")

    hopeless = source(space_of(*WORDS), 10, study="hopeless")
    hopeless._point_job = never
    with pytest.raises(LabError, match="none of 50 points drawn can run; the last one: no way"):
        go(hopeless)


def test_a_process_of_another_machine_counts_as_gone_after_a_silence(outputs, monkeypatch):
    theirs = source(space_of(*WORDS), 3)
    theirs.trials.worker["host"] = "elsewhere"
    job = theirs.next_job()
    ours = source(space_of(*WORDS), 3)
    monkeypatch.setattr(trials, "SILENCE", -1)
    assert ours.trials.end_lost() == []  # seen for the first time
    theirs.trials._heartbeat_at = -trials.HEARTBEAT
    theirs.trials.send_heartbeat()
    assert ours.trials.end_lost() == []  # it has given a sign of life since
    assert len(ours.trials.end_lost()) == 1
    assert job.run_id in [one.run_id for one in go(ours)]
    theirs.record_end(job, "ok")  # it was not gone after all: nobody minds
    assert states(ours) == ["ok"] * 3


def test_a_process_that_is_killed_while_it_draws_holds_nothing_up(outputs, monkeypatch):
    monkeypatch.setattr(trials, "PATIENCE", 0.1)
    ours = source(space_of(*WORDS), 3)
    ours.trials.study.ask()  # by a process that had no time to put its name to it
    jobs = [ours.next_job(), ours.next_job(), ours.next_job()]
    assert [job is None for job in jobs] == [False, False, True]  # it may still draw the third
    assert ours.has_more()
    before = len(ours.trials.all())
    assert ours.next_job() is None
    assert len(ours.trials.all()) == before
    monkeypatch.setattr(trials, "NAMELESS", 0.0)
    monkeypatch.setattr(ours, "_idle_since", -1.0)
    assert ours.next_job() is not None


def test_two_sources_share_the_points(outputs):
    one, two = source(space_of(*WORDS), 6), source(space_of(*WORDS), 6)
    two.trials.worker |= {"pid": os.getppid(), "ticks": start_ticks(os.getppid())}
    running = [one.next_job(), two.next_job(), one.next_job(), two.next_job(), one.next_job(), two.next_job()]
    assert len({job.run_id for job in running}) == 6
    assert one.next_job() is None
    assert one.has_more()
    for i, job in enumerate(running):
        finish(job, error(job.point))
        (one, two)[i % 2].record_end(job, "ok")
    assert not one.has_more()
    assert not two.has_more()


@pytest.mark.parametrize("sampler", ["cmaes", "gp"])
def test_samplers_of_numbers(outputs, sampler):
    drawn = source(space_of(*NUMBERS), 12, sampler, startup=5)
    assert len(go(drawn)) == 12
    later = [t.value for t in drawn.trials.all()[6:]]
    assert min(later) < min(t.value for t in drawn.trials.all()[:5]) + 0.1


def test_cmaes_refuses_choices_and_single_axes():
    with pytest.raises(LabError, match="loss is chosen from a list: use search=tpe"):
        refuse_space("cmaes", space_of(*WORDS))
    with pytest.raises(LabError, match="two axes or more"):
        refuse_space("cmaes", space_of(NUMBERS[0]))
    refuse_space("cmaes", space_of(*NUMBERS))


def test_another_space_is_refused(outputs):
    drawn = source(space_of(*WORDS), 3)
    study = drawn.trials.study
    # of a search that was refused before its first point
    refuse_other_space(study, space_of("loss=triplet,supcon"), ["seed=0"])
    refuse_other_space(study, space_of(*WORDS), ["seed=0", "search=tpe", "search.trials=3"])
    go(drawn)
    refuse_other_space(study, space_of(*WORDS), ["search=random", "seed=0"])
    with pytest.raises(LabError, match=r"loss was contrastive,supcon,triplet and is contrastive,triplet.*study=NAME"):
        refuse_other_space(study, space_of("loss=contrastive,triplet", *WORDS[1:]), ["seed=0"])
    with pytest.raises(LabError, match=r"optimizer.lr was 0.0001 to 0.01 \(log\) and is no axis"):
        refuse_other_space(study, space_of(*WORDS[:2]), ["seed=0"])
    with pytest.raises(LabError, match="fixed overrides were seed=0 and are seed=1"):
        refuse_other_space(study, space_of(*WORDS), ["seed=1"])


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("search.trials=0", "trials must be >= 1, got 0"),
        ("search.startup=0", "startup must be >= 1"),
        ("search.retries=-1", "retries must be >= 0"),
        ("search.storage=trials.db", "sqlite, journal or the URL"),
        ("search.storage=postgresql://me:secret@host/name", "must hold no password"),
    ],
)
def test_values_out_of_range_are_refused(word, words):
    section = compose(["search=tpe", word]).search
    with pytest.raises(LabError, match=words):
        read_settings(dict(section))


@pytest.mark.parametrize(
    ("word", "words"), [("search.sampler=tep", "tpe"), ("search.prune=medina", "median"), ("search.trails=1", "trials")]
)
def test_misspelt_settings_are_refused(word, words):
    with pytest.raises(LabError, match=words):
        compose(["search=tpe", word])


def test_every_option_makes_a_search():
    for name in ("tpe", "random", "cmaes", "gp"):
        section = dict(compose([f"search={name}", "search.prune=hyperband"]).search)
        assert read_settings(section) == Search(sampler=name, startup=5 if name == "cmaes" else 10, prune="hyperband")


def test_the_test_part_is_not_looked_at(outputs):
    drawn = source(space_of(*WORDS), 2)

    def train(job):
        finish(job, error(job.point))
        path = job.folder.path / "metrics.json"
        write_json(path, read_json(path) | {"test": {"verification/eer": {"value": 0.0}}})
        return "ok"

    jobs = go(drawn, train)
    assert sorted(t.value for t in drawn.trials.all()) == sorted(search_parts.error(job.point) for job in jobs)
