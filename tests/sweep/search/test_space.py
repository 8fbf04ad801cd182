"""What a search draws from, and how its values are written."""

import random

import pytest

from siamese_lab.core.errors import LabError
from siamese_lab.sweep.search.axes import Choices, Numbers
from tests.sweep.search._helpers import HAVE, WORDS, space_of


def value_keys(chosen):
    return {"optimizer.lr"} | {key for key, losses in HAVE.items() if chosen.get("loss", "triplet") in losses}


@pytest.mark.parametrize(
    ("word", "axis"),
    [
        ("loss=contrastive,triplet", Choices("loss", ("contrastive", "triplet"))),
        ("loss=choice(supcon,triplet)", Choices("loss", ("supcon", "triplet"))),
        ("loss=glob(*,exclude=s*)", Choices("loss", ("contrastive", "triplet"))),
        ("loss.margin=0.2,1e-1", Choices("loss.margin", ("0.2", "0.1"))),
        ("trainer.ema=null,0.9", Choices("trainer.ema", ("null", "0.9"))),
        ("data.train_scripts=[GREEK],[GREEK,COPTIC]", Choices("data.train_scripts", ("[GREEK]", "[GREEK,COPTIC]"))),
        ("loss.margin=interval(0.05,1)", Numbers("loss.margin", 0.05, 1)),
        ("optimizer.lr=tag(log,interval(1e-4,1e-2))", Numbers("optimizer.lr", 1e-4, 1e-2, log=True)),
        ("backbone.width=int(interval(16,64))", Numbers("backbone.width", 16, 64, whole=True)),
        ("backbone.width=tag(int,log,interval(15.5,64.5))", Numbers("backbone.width", 16, 64, log=True, whole=True)),
        ("backbone.width=range(16,65,16)", Numbers("backbone.width", 16, 64, step=16, whole=True)),
        ("backbone.width=range(64,0,-16)", Numbers("backbone.width", 16, 64, step=16, whole=True)),
        ("loss.margin=range(0.1,0.5,0.1)", Numbers("loss.margin", 0.1, 0.4, step=0.1)),
    ],
)
def test_an_override_becomes_an_axis(word, axis):
    assert space_of(word).axes == (axis,)


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("loss.margin=interval(1,0.05)", "the smaller one first"),
        ("loss.margin=interval(0,inf)", "two finite numbers"),
        ("loss.margin=interval(0,nan)", "two finite numbers"),
        ("optimizer.lr=tag(log,interval(0,1))", "above 0"),
        ("optimizer.lr=tag(lgo,interval(1,2))", "no tag lgo"),
        ("optimizer.lr=tag(log,range(0.1,1,0.1))", "has no steps"),
        ("backbone.width=range(3,1)", "is empty"),
        ("loss=triplet,triplet", "names a value twice"),
        ("loss=glob(x*)", "names no value"),
        ("loss.margin=glob(*)", "loss.margin is none"),
        ("loss=triplet", "takes one value"),
        ("seed=1,2", "compare the best points over seeds"),
        ("protocol=[verification],[one_shot]", "cannot be held against each other"),
        ("data=glyphs,omniglot", "cannot be held against each other"),
        ("search.trials=1,2", "does not change what a run computes"),
    ],
)
def test_what_cannot_be_an_axis_is_refused(word, words):
    with pytest.raises(LabError, match=words):
        space_of(word)


def test_all_misfits_are_told_at_once():
    with pytest.raises(LabError, match=r"(?s)seed.*smaller one first"):
        space_of("seed=1,2", "loss.margin=interval(1,0)")
    with pytest.raises(LabError, match="needs an axis"):
        space_of()


def test_only_the_values_that_the_options_have_are_drawn():
    space, rng = space_of(*WORDS), random.Random(0)
    seen = set()
    for _ in range(100):
        point = space.draw(lambda _, axis: axis.draw(rng), value_keys)
        loss = point.values["loss"]
        seen.add(loss)
        assert list(point.values) == (
            ["loss", "optimizer.lr"] if loss == "supcon" else ["loss", "loss.margin", "optimizer.lr"]
        )
        assert set(point.stored) == {"loss", "optimizer.lr"} | (set() if loss == "supcon" else {f"loss.margin[{loss}]"})
    assert seen == {"contrastive", "supcon", "triplet"}


def test_values_are_drawn_evenly_and_stay_in_their_range():
    rng = random.Random(0)
    log = Numbers("a", 1e-4, 1e-2, log=True)
    drawn = [log.draw(rng) for _ in range(2000)]
    assert 1e-4 <= min(drawn) < 1.1e-4 < 0.9e-2 < max(drawn) <= 1e-2
    assert 0.45 < sum(value < 1e-3 for value in drawn) / 2000 < 0.55
    steps = Numbers("a", 0.1, 0.4, step=0.1)
    assert {steps.draw(rng) for _ in range(200)} == {0.1, 0.2, 0.3, 0.4}
    whole = Numbers("a", 1, 3, whole=True)
    assert {whole.draw(rng) for _ in range(200)} == {1, 2, 3}


@pytest.mark.parametrize(
    ("axis", "value", "text"),
    [
        (Numbers("a", 0.05, 1), 0.123456789, "0.1235"),
        (Numbers("a", 0.99, 0.999), 0.99512345, "0.995123"),
        (Numbers("a", 1, 1000), 123.456, "123.5"),
        (Numbers("a", 1e-5, 1e-1, log=True), 1.23456e-5, "1.235e-05"),
        (Numbers("a", 0.12345, 1), 0.12345, "0.1235"),
        (Numbers("a", 0.12345, 1), 0.123449, "0.12345"),
        (Numbers("a", 16, 64, whole=True), 32, "32"),
        (Numbers("a", 0.1, 0.4, step=0.1), 0.1 + 0.2, "0.3"),
        (Numbers("a", 0.5, 0.5), 0.5, "0.5"),
    ],
)
def test_numbers_are_written_as_a_person_would(axis, value, text):
    assert axis.as_word(value) == text
    assert axis.low <= float(axis.as_word(value)) <= axis.high
