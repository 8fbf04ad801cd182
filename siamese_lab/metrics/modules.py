"""The figures as `torchmetrics.Metric` classes, for `self.log` in any LightningModule.

`update(z, labels)` keeps embeddings z (N, D) and labels (N,); torchmetrics gathers them over the processes. `compute()`
evaluates them exactly, in tiles and on their device, and returns the protocols' number, a float64 scalar in [0, 1]. In
a `torchmetrics.MetricCollection` these metrics share the embeddings.

`update(z, labels, ids)` also takes the rows' numbers in the data set (N,). Each id then counts once, whatever a
DistributedSampler repeats, and rows are sorted by id, so the number of processes changes nothing. Every process must
call `update` at least once; one without rows passes tensors of length 0.

`compute` raises a LabError where the figure is undefined, as without a positive pair. Lightning's sanity check sees few
batches and may meet this: set `Trainer(num_sanity_val_steps=0)`.
"""

import torch

from siamese_lab.core.checks import require_at_least
from siamese_lab.metrics.embedding_metric import EmbeddingMetric
from siamese_lab.metrics.episodes import check_episode_sizes, draw_episodes
from siamese_lab.metrics.pairs import Pairs
from siamese_lab.metrics.recognition import Compare, check_compare, recognition_error
from siamese_lab.metrics.retrieval import recall_at, retrieval_figures
from siamese_lab.metrics.tiles import TILE, check_tile
from siamese_lab.metrics.verification import PairSelection, check_far, tar_name, verification_figures
from siamese_lab.structures.contracts import Distance
from siamese_lab.structures.embedded_set import EmbeddedSet


class EqualErrorRate(EmbeddingMetric):
    """EER of verification: the rate at which false accepts and false rejects are equal. Lower is better.

    It lies on the straight line between the two nearest thresholds, a distance each. A positive and a negative pair at
    the same distance are accepted together.

    Args:
        distance: smaller = more alike; None = Euclidean.
        pairs: "all" pairs i < j, or how many are drawn (>= 2), half of them positive.
        seed: of the drawn pairs, >= 0.
        tile: rows compared at once, >= 1; memory grows with its square.
        **kwargs: of `torchmetrics.Metric`.

    Raises:
        ValueError: if pairs or tile is out of its range.

    >>> z = torch.tensor([[0.0], [1.0], [3.0], [4.0], [6.0]])
    >>> metric = EqualErrorRate()
    >>> metric.update(z, torch.tensor([0, 0, 0, 1, 1]))
    >>> round(float(metric.compute()), 4)
    0.2143
    """

    higher_is_better = False

    def __init__(
        self, distance: Distance | None = None, pairs: Pairs = "all", seed: int = 0, tile: int = TILE, **kwargs: object
    ) -> None:
        super().__init__(distance, **kwargs)
        self.selection = PairSelection(pairs, seed, tile)

    def evaluate(self, embedded: EmbeddedSet) -> float:
        """The EER; raises a LabError if there is no positive or no negative pair."""
        return verification_figures(embedded, self.selection)["eer"].value


class TrueAcceptRate(EmbeddingMetric):
    """TAR@FAR of verification: the share of positive pairs that are accepted. Higher is better.

    The threshold is the largest that accepts at most the share `far` of the negative pairs. With fewer than 10 / far
    negative pairs the figure is coarse.

    Args:
        far: false accept rate, in (0, 1).
        distance, pairs, seed, tile, **kwargs: see `EqualErrorRate`.

    Raises:
        ValueError: if far, pairs or tile is out of its range.

    >>> z = torch.tensor([[0.0], [1.0], [3.0], [4.0], [6.0]])
    >>> metric = TrueAcceptRate(far=0.2)
    >>> metric.update(z, torch.tensor([0, 0, 0, 1, 1]))
    >>> round(float(metric.compute()), 4)
    0.75
    """

    higher_is_better = True

    def __init__(
        self,
        far: float = 1e-3,
        distance: Distance | None = None,
        pairs: Pairs = "all",
        seed: int = 0,
        tile: int = TILE,
        **kwargs: object,
    ) -> None:
        super().__init__(distance, **kwargs)
        (self.far,) = check_far([far])
        self.selection = PairSelection(pairs, seed, tile)

    def evaluate(self, embedded: EmbeddedSet) -> float:
        """The TAR; raises a LabError if there is no positive or no negative pair."""
        return verification_figures(embedded, self.selection, far=[self.far])[tar_name(self.far)].value


class RecallAtK(EmbeddingMetric):
    """Recall@k: the share of queries with an image of their class among the k nearest others. Higher is better.

    Every row is a query against all others; a row that is the only one of its class is no query, but stays in the
    gallery. Where images of other classes are as near as the nearest one of the query's class, they come first.

    Args:
        k: neighbours, >= 1.
        distance, tile, **kwargs: see `EqualErrorRate`.

    Raises:
        ValueError: if k or tile is out of its range.

    >>> z = torch.tensor([[0.0], [1.0], [3.0], [4.0], [6.0]])
    >>> metric = RecallAtK(k=1)
    >>> metric.update(z, torch.tensor([0, 0, 0, 1, 1]))
    >>> round(float(metric.compute()), 4)
    0.6
    """

    higher_is_better = True

    def __init__(self, k: int = 1, distance: Distance | None = None, tile: int = TILE, **kwargs: object) -> None:
        super().__init__(distance, **kwargs)
        require_at_least("k", k, 1, "it is the number of neighbours")
        self.k, self.tile = k, check_tile(tile)

    def evaluate(self, embedded: EmbeddedSet) -> float:
        """The recall; raises a LabError if no class has two rows."""
        return recall_at(embedded, self.k, self.tile)


class MeanAveragePrecisionAtR(EmbeddingMetric):
    """MAP@R: the mean over the queries of (sum of the precision at each hit among the R nearest) / R. Higher is better.

    R is the number of other rows of the query's class. Queries, gallery and ties are those of `RecallAtK`.

    Source: Musgrave, Belongie, Lim, ECCV 2020, eq. 3.

    Args:
        distance, tile, **kwargs: see `EqualErrorRate`.

    Raises:
        ValueError: if tile is not positive.

    >>> z = torch.tensor([[0.0], [1.0], [3.0], [4.0], [6.0]])
    >>> metric = MeanAveragePrecisionAtR()
    >>> metric.update(z, torch.tensor([0, 0, 0, 1, 1]))
    >>> round(float(metric.compute()), 4)
    0.65
    """

    higher_is_better = True

    def __init__(self, distance: Distance | None = None, tile: int = TILE, **kwargs: object) -> None:
        super().__init__(distance, **kwargs)
        self.tile = check_tile(tile)

    def evaluate(self, embedded: EmbeddedSet) -> float:
        """The MAP@R; raises a LabError if no class has two rows."""
        return retrieval_figures(embedded, self.tile, intervals=False)["map@r"].value


class OneShotError(EmbeddingMetric):
    """N-way K-shot error: the share of queries whose own class is not strictly the nearest one. Lower is better.

    Episodes are drawn with a seed from the classes with enough rows. They depend on the order of the rows within a
    class: pass ids to make them independent of it.

    Args:
        way: classes in an episode, >= 2; chance is 1 - 1 / way.
        shot: support rows of each class, >= 1.
        queries: query rows of each class, >= 1.
        episodes: how many are drawn, >= 1.
        compare: the distance to a class is that to the "nearest" of its shots or the "mean" over its shots.
        seed: of the draw, >= 0.
        distance, **kwargs: see `EqualErrorRate`.

    Raises:
        ValueError: if an argument is out of its range.

    >>> z = torch.tensor([[0.0], [1.0], [3.0], [4.0], [6.0]])
    >>> metric = OneShotError(way=2, episodes=100)
    >>> metric.update(z, torch.tensor([0, 0, 0, 1, 1]))
    >>> round(float(metric.compute()), 4)
    0.2
    """

    higher_is_better = False

    def __init__(
        self,
        way: int = 20,
        shot: int = 1,
        queries: int = 1,
        episodes: int = 1000,
        compare: Compare = "nearest",
        seed: int = 0,
        distance: Distance | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(distance, **kwargs)
        check_episode_sizes(way, shot, queries, episodes)
        self.way, self.shot, self.queries, self.episodes = way, shot, queries, episodes
        self.compare, self.seed = check_compare(compare), seed

    def evaluate(self, embedded: EmbeddedSet) -> float:
        """The error; raises a LabError if fewer than `way` classes have `shot + queries` rows."""
        generator = torch.Generator().manual_seed(self.seed)
        drawn = draw_episodes(embedded.labels, self.episodes, self.way, self.shot, self.queries, generator)
        return recognition_error(embedded, drawn, self.compare, intervals=False, independent=False).value
