"""Recognition trials that a data set's publisher fixed, such as Omniglot's 20 official one-shot runs."""

from typing import Literal

from siamese_lab.metrics.recognition import Compare, Outcomes, check_compare, error, named, outcomes
from siamese_lab.statistics.influence import Figure
from siamese_lab.structures.embedded_set import EmbeddedSet
from siamese_lab.structures.samples import Episodes

REMEDY = "add their files to data.root (Omniglot's are all_runs.zip), or take protocol=[one_shot], which draws its own"


class GivenTrials:
    """Evaluates the publisher's episodes as they are.

    Figures: error, the share of wrong queries in [0, 1], better low; the headline. Each query is evaluated alone and a
    tie counts against the model. The interval is over identities; where fewer than 10 of them have an error it is
    Wilson's, which takes the trials as independent (each has an image of its own, but those of one run share a support
    set).

    Source: Lake, Salakhutdinov, Tenenbaum, Science 2015 (the 20 runs).

    Args:
        trials: the name that the data set files them under, e.g. "official".
        compare: the distance to a class is that to the `nearest` of its shots or the `mean` over its shots; one shot:
            the same.

    Raises:
        ValueError: if `compare` is neither.
    """

    headline: str = "error"
    better: Literal["low", "high"] = "low"

    def __init__(self, trials: str, compare: Compare = "nearest") -> None:
        self.trials, self.compare = trials, check_compare(compare)

    def fits(self, embedded: EmbeddedSet) -> None:
        """Raises what `evaluate` would of these trials, whatever the embeddings."""
        self._given(embedded)

    def choose(self, embedded: EmbeddedSet) -> dict[str, float]:
        """Nothing is chosen."""
        return {}

    def evaluate(self, embedded: EmbeddedSet, chosen: dict[str, float], influences: bool = True) -> dict[str, Figure]:
        """The error over the trials.

        Raises:
            LabError: if the data have no trials of this name.
        """
        return {"error": error(embedded, self._given(embedded), self.compare, intervals=influences, independent=True)}

    def outcomes(self, embedded: EmbeddedSet) -> Outcomes:
        """What each query was taken for."""
        return outcomes(embedded, self._given(embedded), self.compare)

    def _given(self, embedded: EmbeddedSet) -> Episodes:
        episodes: Episodes = named(embedded.trials, self.trials, "trials", REMEDY)
        return episodes
