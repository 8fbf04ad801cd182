from typing import Literal

from siamese_lab.metrics.retrieval import query_rows, retrieval_figures
from siamese_lab.metrics.tiles import check_tile, sort_by_label
from siamese_lab.statistics.influence import Figure
from siamese_lab.structures.embedded_set import EmbeddedSet


class Retrieval:
    """Retrieval: each image is a query, the gallery is all other images of the part.

    Figures, means over the queries in [0, 1], better high:
        map@r: mean average precision at R (the headline), R being how many other images the query's identity has.
        r_precision: share of hits among the R nearest.
        recall@1, recall@5, recall@10: whether a hit is among the nearest 1, 5, 10.
        mrr: mean reciprocal rank, 1 / rank of the nearest hit.

    A hit at the same distance as images of other identities is ranked behind them. An image that is the only one of its
    identity is no query, but stays in the gallery. Intervals are over identities, left out as queries and from the
    gallery.

    Source: Musgrave, Belongie, Lim, ECCV 2020, sec. 3.2 (MAP@R, R-precision).

    Args:
        tile: memory bound, >= 1: tile^2 distances are held at once (some 30 bytes each).

    Raises:
        ValueError: if tile is not positive.

    Examples:
        >>> import torch
        >>> from siamese_lab.distances.euclidean import Euclidean
        >>> from siamese_lab.protocols.retrieval import Retrieval
        >>> from siamese_lab.structures.embedded_set import EmbeddedSet
        >>> z = torch.tensor([[0.0], [1.0], [1.5], [3.5], [9.0], [9.5]])
        >>> part = EmbeddedSet(z, torch.tensor([0, 0, 1, 1, 2, 2]), ("a", "b", "c"), Euclidean())
        >>> figures = Retrieval().evaluate(part, {}, influences=False)
        >>> {name: round(figure.value, 4) for name, figure in figures.items()}
        {'map@r': 0.6667, 'recall@1': 0.6667, 'recall@5': 1.0, 'recall@10': 1.0, 'r_precision': 0.6667, 'mrr': 0.8056}
    """

    headline: str = "map@r"
    better: Literal["low", "high"] = "high"

    def __init__(self, tile: int = 2048) -> None:
        self.tile = check_tile(tile)

    def fits(self, embedded: EmbeddedSet) -> None:
        """Raises what `evaluate` would of these labels, whatever the embeddings."""
        query_rows(sort_by_label(embedded))

    def choose(self, embedded: EmbeddedSet) -> dict[str, float]:
        """Nothing is chosen."""
        return {}

    def evaluate(self, embedded: EmbeddedSet, chosen: dict[str, float], influences: bool = True) -> dict[str, Figure]:
        """The figures; `influences=False` gives values alone.

        Raises:
            LabError: if no identity has two images, or an embedding is not finite.
        """
        figures = retrieval_figures(embedded, self.tile, intervals=influences)
        return {self.headline: figures.pop(self.headline), **figures}
