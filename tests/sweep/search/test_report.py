"""What a search says in the end: importances that are known, its best point, its pictures."""

import io

import numpy as np
import pytest
from PIL import Image

from siamese_lab.sweep.search.importance import importance
from siamese_lab.sweep.search.plots import TriedPoint, best_so_far, history_plot, importance_plot, value_plots
from siamese_lab.sweep.search.report import report
from tests.sweep.search._helpers import HAVE, WORDS, error, finish, go, source, space_of

COSTS = {"contrastive": 0.3, "supcon": 0.0, "triplet": 0.15}


def cost(values):
    """The loss decides 81 % of the variance over the space, the margin 19 %, the rate nothing."""
    return COSTS[values["loss"]] + 0.3 * abs(float(values["trainer.ema"]) - 0.3)


@pytest.mark.parametrize("sampler", [pytest.param("random", marks=pytest.mark.slow), "tpe"])
def test_importances_are_of_the_space_however_it_was_drawn(outputs, sampler):
    axes = space_of(
        "loss=contrastive,supcon,triplet", "trainer.ema=interval(0,1)", "optimizer.lr=tag(log,interval(1e-4,1e-2))"
    )
    drawn = source(axes, 30, sampler)
    go(drawn, lambda job: (finish(job, cost(job.point)), "ok")[1])
    shares = importance([(t.value, t.params) for t in drawn.trials.all()], axes)
    assert list(shares) == ["loss", "trainer.ema", "optimizer.lr"]
    assert shares["loss"] == pytest.approx(0.81, abs=0.12)
    assert shares["optimizer.lr"] < 0.03
    assert sum(shares.values()) == pytest.approx(1)


def test_a_value_that_few_options_have_counts_as_much_as_they_are():
    axes = space_of(*WORDS[:2])
    rng = np.random.default_rng(0)
    points = []
    for loss in ("contrastive", "supcon", "triplet"):
        for margin in rng.uniform(0.05, 1, 200):
            drawn = {"loss": loss} | ({f"loss.margin[{loss}]": margin} if loss in HAVE["loss.margin"] else {})
            points.append(((margin if loss == "triplet" else 0.5), drawn))
    shares = importance(points, axes)
    assert shares["loss.margin[triplet]"] > 0.95
    assert shares["loss.margin[contrastive]"] < 0.01


@pytest.mark.parametrize("points", [[], [(0.1, {"loss": "triplet"})] * 9, [(0.1, {"loss": "triplet"})] * 20])
def test_no_importance_of_few_or_equal_points(points):
    assert importance(points, space_of("loss=triplet,supcon")) == {}


def test_the_report_names_the_best_point_and_the_command(outputs):
    drawn = source(space_of(*WORDS), 14)
    jobs = go(
        drawn,
        lambda job: "diverged" if job.point["loss"] == "contrastive" else (finish(job, error(job.point)), "ok")[1],
    )
    folder = outputs / "s" / "search"
    said = "\n".join(
        report(drawn, folder, ["seed=0", "data.train_scripts=[GREEK, COPTIC]", "search=random", "study=s"], "random")
    )
    best = min((job for job in jobs if job.point["loss"] != "contrastive"), key=lambda job: error(job.point))
    chosen = " ".join(f"{key}={value}" for key, value in best.point.items())
    diverged = sum(job.point["loss"] == "contrastive" for job in jobs)
    assert diverged
    assert f"14 points by random, {14 - diverged} ok, {diverged} diverged" in said
    assert (
        f"best       val/verification/eer {error(best.point):.4g} (low is better), run {best.run_id}: {chosen}" in said
    )
    assert f"siamese-lab train seed=0 'data.train_scripts=[GREEK, COPTIC]' {chosen}" in said
    assert f"study=s_best 'data.train_scripts=[GREEK, COPTIC]' {chosen} seed=1,2,3,4,5" in said
    assert f"chosen as the best of {14 - diverged}" in said


def test_a_search_without_a_figure_says_so(outputs):
    drawn = source(space_of(*WORDS), 2)
    go(drawn, lambda job: "failed")
    said = "\n".join(report(drawn, outputs / "s" / "search", [], "random"))
    assert "no run has finished with a figure" in said
    assert "fewer than 10 finished points" in said
    assert (outputs / "s" / "search" / "history.png").exists()


def test_pictures_are_drawn_once(outputs):
    folder = outputs / "s" / "search"
    drawn = source(space_of(*WORDS), 12)
    go(drawn)
    report(drawn, folder, [], "random")
    times = {}
    for name in ("history.png", "importance.png", "values.png"):
        with Image.open(folder / name) as picture:
            assert min(picture.size) > 250
            assert len(np.unique(np.asarray(picture.convert("L")))) > 20
        times[name] = (folder / name).stat().st_mtime_ns
    report(source(space_of(*WORDS), 12), folder, [], "random")
    assert {name: (folder / name).stat().st_mtime_ns for name in times} == times


def test_the_best_so_far_goes_the_right_way():
    assert best_so_far([3, 1, 2, 0], "low") == [3, 1, 1, 0]
    assert best_so_far([3, 1, 4], "high") == [3, 3, 4]
    assert best_so_far([], "low") == []


@pytest.mark.parametrize("count", [1, 2, 20])
def test_pictures_of_all_kinds_of_points(count):
    states = [
        ("ok", 0.2),
        ("pruned", 0.4),
        ("diverged", None),
        ("failed", None),
        ("running", None),
        ("timeout", 0.3),
        ("pruned", None),
    ]
    tried = [
        TriedPoint(value, state, {"loss": "triplet", "optimizer.lr": 1e-3}) for state, value in (states * 3)[:count]
    ]
    axes = space_of("loss=triplet,contrastive", "optimizer.lr=tag(log,interval(1e-4,1e-2))")
    for figure in (
        history_plot(tried, "val/verification/eer", "low", "s"),
        value_plots(tried, {axis.key: axis for axis in axes.axes}, "val/verification/eer", "s"),
        importance_plot({"loss": 0.8, "optimizer.lr": 0.2}, 12, "s"),
    ):
        held = io.BytesIO()
        figure.savefig(held, format="png")
        assert held.getbuffer().nbytes > 5000
