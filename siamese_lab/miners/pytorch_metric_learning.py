from collections.abc import Mapping

import torch

from siamese_lab.adapters import pytorch_metric_learning as adapter
from siamese_lab.core.random import Stream
from siamese_lab.structures.contracts import Produces
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Pairs, Triplets


class PytorchMetricLearning:
    """A miner of the library pytorch-metric-learning, by its name there.

    It compares embeddings by its default distance in the library, not by the run's. Pairs of one image are left out.
    Random draws are a function of (seed, epoch, step). With a memory it mines among all rows and keeps the tuples of
    the batch's own anchors: time and memory grow with the square of all rows, for miners of all triplets with the cube.

    Source: Musgrave, Belongie, Lim, "PyTorch Metric Learning", 2020; version 2.9 and later, `pip install
    siamese-lab[pml]`.

    Args:
        seed: given by the run.
        name: of the class, e.g. "BatchHardMiner".
        arguments: of its constructor, checked against its signature; None = its defaults. Not its distance and other
            objects.

    Raises:
        LabError: if the library is not installed.
        ValueError: if there is no such miner, or the arguments do not fit it.

    Examples:
        >>> import torch
        >>> from siamese_lab.miners.pytorch_metric_learning import PytorchMetricLearning
        >>> from siamese_lab.structures.embedded import Embedded
        >>> e = Embedded(torch.tensor([[0.0], [1.0], [1.5], [2.5], [5.0]]), torch.tensor([0, 0, 1, 0, 1]))
        >>> [part.tolist() for part in PytorchMetricLearning(name="BatchHardMiner")(e)]
        [[0, 1, 2, 3, 4], [1, 0, 4, 0, 2], [2, 2, 1, 2, 1]]
    """

    # of conf/miner/pytorch_metric_learning.yaml; an object's own follows from the name
    produces: Produces = "triplets"

    def __init__(
        self, *, seed: int = 0, name: str = "BatchHardMiner", arguments: Mapping[str, object] | None = None
    ) -> None:
        self.miner = adapter.build_component("miners", name, dict(arguments or {}), {})
        self.seed = seed
        points = torch.randn(24, 8, generator=torch.Generator().manual_seed(0))
        self.produces = "triplets" if isinstance(self(Embedded(points, torch.arange(24) % 4)), Triplets) else "pairs"

    @torch.no_grad()
    def __call__(self, e: Embedded) -> Pairs | Triplets:
        """Triplets, or pairs seen from their left ends."""
        with adapter.seeded(e.z.device, self.seed, Stream.PYTORCH_METRIC_LEARNING_MINER, *e.where):
            found = self.miner(e.z.detach(), e.labels)
        ids, anchors = e.rows(), len(e.z[: e.anchors])
        if len(found) == 3:
            anchor, positive, negative = found
            fit = (anchor < anchors) & (ids[anchor] != ids[positive])
            return Triplets(anchor[fit], positive[fit], negative[fit])
        left, right = torch.cat([found[0], found[2]]), torch.cat([found[1], found[3]])
        same = torch.arange(len(left), device=left.device) < len(found[0])
        fit = (left < anchors) & (ids[left] != ids[right])
        return Pairs(left[fit], right[fit], same[fit])
