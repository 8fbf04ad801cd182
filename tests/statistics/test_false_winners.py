"""Of studies of identical configurations, how many call one of them better than another: at most 5 % are promised."""

from math import comb

import numpy as np
import pytest

from siamese_lab.statistics.estimates import difference
from tests.statistics._crossed_studies import MIXES, study, values_and_influences


def false_winners(rng, mix, configurations, seeds, studies):
    """The share of studies in which the best configuration is shown to be better than one that is its equal, as
    `contrasts` tests it.
    """
    wrong = 0
    for _ in range(studies):
        rates = study(rng, mix, seeds, shifts=(0.0,) * configurations)
        ranked = sorted(rates, key=lambda one: one.mean())
        best, *rest = map(values_and_influences, [ranked[0], *ranked[:-4:-1]])  # the three worst are the likeliest
        gains = [difference(*one, *best, comparisons=comb(configurations, 2)) for one in rest]
        assert all((gain.low > 0) == (gain.adjusted_p < 0.05) for gain in gains)
        wrong += any(gain.low > 0 for gain in gains)
    return wrong / studies


def test_the_best_of_ten_equal_configurations_is_seldom_called_better():
    found = false_winners(np.random.default_rng(0), "seeds", 10, 10, 150)
    assert found <= 0.07  # 3.2 % of 600 studies; adjusted for the nine shown differences alone it was 14.8 %


@pytest.mark.slow
@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("configurations", [2, 3, 6, 10, 30])
def test_at_most_5_percent_of_studies_have_a_false_winner(configurations, seeds, mix):
    studies = 600
    found = false_winners(np.random.default_rng(100 * configurations + seeds), mix, configurations, seeds, studies)
    print(f"{configurations:2d} configurations, {seeds:2d} seeds, {mix}: {found:.1%}")
    assert found <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / studies)
