"""Means and paired differences over seeds and identities: by hand, against references, and whether they keep what they promise."""

import time

import numpy as np
import pytest
import scipy.stats

from siamese_lab import stats
from siamese_lab.compare.estimates import difference, holm, mean

IDENTITIES = 100
IMAGES = 20


def named(row):
    return {f"i{c}": float(x) for c, x in enumerate(row)}


def study(rng, seeds, spread, shift=0.0, identities=IDENTITIES):
    """A configuration's error rates, one a seed, and their influences: `spread` is the scatter of seeds, identities, and both together.

    The scatter of seeds and of both is drawn anew; that of the identities (what makes them hard) must come from `hard`.
    """
    by_seed, hard, both = spread
    rate = 0.2 + shift + by_seed * rng.normal(size=(seeds, 1)) + hard[None] + both * rng.normal(size=(seeds, identities))
    errors = rng.binomial(IMAGES, np.clip(rate, 0, 1)) / IMAGES  # (S, C)
    return errors.mean(1), errors - errors.mean(1, keepdims=True)  # the influence of a mean over identities


def compared(rng, seeds, spread, shift=0.0, own=0.0):
    """The difference of two configurations that share the seeds' order and the identities; `own` = how much identities differ for them."""
    by_seed, by_identity, both = spread
    hard = by_identity * rng.normal(size=IDENTITIES)
    a = study(rng, seeds, (by_seed, hard + own * rng.normal(size=IDENTITIES), both), shift)
    b = study(rng, seeds, (by_seed, hard, both))
    return difference(a[0], list(map(named, a[1])), b[0], list(map(named, b[1])))


MIXES = {
    "seeds": (0.03, 0.05, 0.0),
    "identities": (0.002, 0.15, 0.0),
    "both": (0.005, 0.05, 0.15),
    "noise of the images": (0.0, 0.0, 0.0),
}


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("seeds", [3, 5])
def test_identical_configurations_are_called_different_in_at_most_7_percent(mix, seeds):
    rng = np.random.default_rng(seeds)
    found = [compared(rng, seeds, MIXES[mix]).p < 0.05 for _ in range(400)]
    assert 0.005 <= np.mean(found) <= 0.07


@pytest.mark.parametrize("mix", ["seeds", "both"])
def test_intervals_cover_a_known_difference(mix):
    rng = np.random.default_rng(7)
    found = [compared(rng, 5, MIXES[mix], shift=0.05, own=0.03) for _ in range(400)]
    assert 0.92 <= np.mean([one.low <= 0.05 <= one.high for one in found]) <= 0.99


def test_the_seeds_that_are_said_to_be_needed_show_the_difference():
    rng = np.random.default_rng(3)
    needed = np.median([compared(rng, 6, MIXES["seeds"], shift=0.05).needed or 1000 for _ in range(100)])
    shown = np.mean([compared(rng, int(needed), MIXES["seeds"], shift=0.05).p < 0.05 for _ in range(200)])
    assert 0.65 <= shown <= 0.95


def test_without_identities_it_is_the_paired_t_test():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5))
    ours, theirs = difference(a, [{}] * 5, b, [{}] * 5), scipy.stats.ttest_rel(a, b)
    low, high = theirs.confidence_interval()
    assert (ours.low, ours.high) == pytest.approx((low, high))
    assert ours.p == pytest.approx(theirs.pvalue, rel=1e-4)
    assert (ours.over, ours.seeds, ours.identities) == ("seeds", 5, 0)


def test_one_seed_is_the_paired_difference_over_identities():
    rng = np.random.default_rng(1)
    a, b = (named(row - row.mean()) for row in rng.normal(size=(2, 80)))
    ours, theirs = difference([0.3], [a], [0.2], [b]), stats.paired_difference(0.3, a, 0.2, b)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-3)
    assert ours.p == pytest.approx(theirs.p, rel=0.01)
    assert (ours.over, ours.needed) == ("identities", None)


def test_a_mean_by_hand():
    found = mean([0.1, 0.2, 0.3], [{}] * 3)
    half = scipy.stats.t.ppf(0.975, 2) * 0.1 / np.sqrt(3)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.2 - half, 0.2 + half))
    assert found.p is None


def test_one_seed_and_few_identities_give_no_interval():
    few = named(np.linspace(-1, 1, 10))
    found = difference([0.3], [few], [0.2], [few])
    assert (found.low, found.p, found.over) == (None, None, "nothing")
    assert "too few identities" in found.note


def test_other_identities_are_refused():
    with pytest.raises(ValueError, match="the same identities"):
        difference([0.3], [{"a": 0.0}], [0.2], [{"b": 0.0}])
    with pytest.raises(ValueError, match="the same seeds"):
        difference([0.3], [{}], [0.2, 0.3], [{}, {}])


def test_equal_runs_do_not_differ():
    row = named(np.linspace(-1, 1, 60))
    found = difference([0.3, 0.4], [row, row], [0.3, 0.4], [row, row])
    assert (found.value, found.p) == (0.0, 1.0)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        holm([1.5])


def test_a_thousand_differences_take_no_time():
    rng = np.random.default_rng(0)
    rows = [named(row) for row in rng.normal(size=(3, 500))]
    began = time.process_time()
    for _ in range(1000):
        difference([0.1, 0.2, 0.3], rows, [0.2, 0.2, 0.2], rows[::-1])
    assert time.process_time() - began < 5  # 0.3 to 0.6 s on a quiet machine: no loop over identities got in
