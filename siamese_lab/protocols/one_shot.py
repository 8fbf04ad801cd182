from typing import Literal

import torch

from siamese_lab.metrics.episodes import check_episode_sizes, draw_episodes
from siamese_lab.metrics.recognition import Compare, QueryOutcomes, check_compare, classify_queries, recognition_error
from siamese_lab.statistics.influence import Figure
from siamese_lab.structures.embedded_set import EmbeddedSet
from siamese_lab.structures.samples import Episodes


class OneShot:
    """N-way K-shot recognition of unseen classes in drawn episodes, the same for every model.

    Figures: error, the share of wrong queries in [0, 1], better low; the headline. Each query gets the nearest support
    class; it is evaluated alone, a tie counts against the model, and no support set holds its query. Never compare
    errors within groups with errors across them: on Omniglot's 20-way trials they differ by a factor of about 2.3. The
    interval is over identities, left out as queries and as alternatives.

    Source: Lake et al. 2011 and Vinyals et al. 2016, sec. 4 (episodes).

    Args:
        way: classes in an episode, >= 2; chance is 1 - 1 / way.
        shot: support images of each class, >= 1.
        queries: query images of each class, >= 1.
        episodes: how many are drawn, >= 1; way * queries trials each.
        within: a group (e.g. "alphabet") that all classes of an episode come from; null = across all classes.
        compare: the distance to a class is that to the `nearest` of its shots or the `mean` over its shots.
        seed: of the draw, >= 0.

    Raises:
        ValueError: if an argument is out of its range.

    Examples:
        >>> import torch
        >>> from siamese_lab.distances.euclidean import Euclidean
        >>> from siamese_lab.protocols.one_shot import OneShot
        >>> from siamese_lab.structures.embedded_set import EmbeddedSet
        >>> z = torch.tensor([[0.0], [1.0], [1.5], [3.5], [9.0], [9.5]])
        >>> part = EmbeddedSet(z, torch.tensor([0, 0, 1, 1, 2, 2]), ("a", "b", "c"), Euclidean())
        >>> figures = OneShot(way=2, queries=1, episodes=50).evaluate(part, {})
        >>> figures["error"].value
        0.09
    """

    headline: str = "error"
    better: Literal["low", "high"] = "low"

    def __init__(
        self,
        way: int = 20,
        shot: int = 1,
        queries: int = 1,
        episodes: int = 1000,
        within: str | None = None,
        compare: Compare = "nearest",
        seed: int = 0,
    ) -> None:
        check_episode_sizes(way, shot, queries, episodes)
        self.way, self.shot, self.queries, self.episodes = way, shot, queries, episodes
        self.within, self.compare, self.seed = within, check_compare(compare), seed

    def fits(self, embedded: EmbeddedSet) -> None:
        """Raises what `evaluate` would of these labels and groups, whatever the embeddings."""
        self._draw(embedded, 1)

    def choose(self, embedded: EmbeddedSet) -> dict[str, float]:
        """Nothing is chosen."""
        return {}

    def evaluate(self, embedded: EmbeddedSet, chosen: dict[str, float], influences: bool = True) -> dict[str, Figure]:
        """The error over the episodes that the seed draws from these labels.

        Raises:
            LabError: if the data lack the group, or classes with enough images.
        """
        drawn = self._draw(embedded, self.episodes)
        return {"error": recognition_error(embedded, drawn, self.compare, intervals=influences, independent=False)}

    def classify_queries(self, embedded: EmbeddedSet) -> QueryOutcomes:
        """What each query of these episodes was taken for."""
        return classify_queries(embedded, self._draw(embedded, self.episodes), self.compare)

    def _draw(self, embedded: EmbeddedSet, episodes: int) -> Episodes:
        groups = None
        if self.within is not None:
            groups = embedded.group(self.within, "set within=null to draw across all classes")
        generator = torch.Generator().manual_seed(self.seed)
        return draw_episodes(embedded.labels, episodes, self.way, self.shot, self.queries, generator, groups)
