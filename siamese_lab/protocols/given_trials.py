from typing import Literal

from siamese_lab.metrics.recognition import Compare, QueryOutcomes, check_compare, classify_queries, recognition_error
from siamese_lab.statistics.influence import Figure
from siamese_lab.structures.embedded_set import EmbeddedSet
from siamese_lab.structures.samples import Episodes

REMEDY = "add their files to data.root (Omniglot's are all_runs.zip), or take protocol=[one_shot], which draws its own"


class GivenTrials:
    """Recognition trials that a data set's publisher fixed, such as Omniglot's 20 official one-shot runs.

    Figures: error, the share of wrong queries in [0, 1], better low; the headline. Each query is evaluated alone and a
    tie counts against the model. The interval is over identities; where fewer than 10 of them have an error it is
    Wilson's, which takes the trials as independent (those of one run share a support set).

    Source: Lake, Salakhutdinov, Tenenbaum, Science 2015 (the 20 runs).

    Args:
        trials: their name in the data set, e.g. "official".
        compare: the distance to a class is that to the `nearest` of its shots or the `mean` over its shots.

    Raises:
        ValueError: if `compare` is neither.

    Examples:
        >>> import torch
        >>> from siamese_lab.distances.euclidean import Euclidean
        >>> from siamese_lab.protocols.given_trials import GivenTrials
        >>> from siamese_lab.structures.embedded_set import EmbeddedSet
        >>> from siamese_lab.structures.samples import Episodes
        >>> z = torch.tensor([[0.0], [1.0], [3.0], [1.4]])
        >>> runs = Episodes(torch.tensor([[[0], [2]]]), torch.tensor([[1, 3]]), torch.tensor([[0, 1]]), ("run01",))
        >>> part = EmbeddedSet(z, torch.tensor([0, 0, 1, 1]), ("a", "b"), Euclidean(), trials={"official": runs})
        >>> GivenTrials("official").evaluate(part, {})["error"].value
        0.5
    """

    headline: str = "error"
    better: Literal["low", "high"] = "low"

    def __init__(self, trials: str, compare: Compare = "nearest") -> None:
        self.trials, self.compare = trials, check_compare(compare)

    def fits(self, embedded: EmbeddedSet) -> None:
        """Raises what `evaluate` would of these trials, whatever the embeddings."""
        self._episodes(embedded)

    def choose(self, embedded: EmbeddedSet) -> dict[str, float]:
        """Nothing is chosen."""
        return {}

    def evaluate(self, embedded: EmbeddedSet, chosen: dict[str, float], influences: bool = True) -> dict[str, Figure]:
        """The error over the trials.

        Raises:
            LabError: if the data have no trials of this name.
        """
        episodes = self._episodes(embedded)
        return {"error": recognition_error(embedded, episodes, self.compare, intervals=influences, independent=True)}

    def classify_queries(self, embedded: EmbeddedSet) -> QueryOutcomes:
        """What each query was taken for."""
        return classify_queries(embedded, self._episodes(embedded), self.compare)

    def _episodes(self, embedded: EmbeddedSet) -> Episodes:
        return embedded.episodes(self.trials, REMEDY)
