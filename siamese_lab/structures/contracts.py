"""What the lab asks of each kind of option: a loss, miner, sampling, distance, and so on.

An option is an ordinary class that has these attributes and methods; it is derived from nothing of ours. A test holds
every option against its contract with mypy. Shapes: B images in a batch, D dimensions of an embedding, R rows (those of
the batch, then those of a memory), A <= R anchors (the rows of the batch), P pairs, N samples.

A constructor refuses a value with a ValueError whose message begins with the parameter's name, as in "margin must be
> 0, got -1.0: ..."; by this first word the user is told which key of the config it is.
"""

from collections.abc import Iterator
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from siamese_lab.distances._contract import Distance as Distance
from siamese_lab.distances._contract import Property as Property
from siamese_lab.statistics.influence import Figure
from siamese_lab.structures.batch import DrawnBatch
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.embedded_set import EmbeddedSet
from siamese_lab.structures.parameters import Parameters
from siamese_lab.structures.samples import Samples
from siamese_lab.structures.tuples import Tuples

Consumes = Literal["pairs", "triplets", "labels", "episodes"]
"""What a loss works on. `labels`: all of the batch at once; it takes no tuples."""

Produces = Literal["all", "labels", "pairs", "triplets", "episodes"]
"""What a miner or a sampling forms. `all` (a miner) and `labels` (a sampling): no tuples, the labels imply them."""


class Backbone(Protocol):
    """Embeds images: a Sequential of a trunk and a head, called with x (B, C, H, W) in [0, 1] -> (B, D)."""

    dim: int
    """D."""

    normalise: bool
    """Whether every embedding has norm 1; the mean over several views is then put on the unit sphere again."""

    def forward(self, x: Tensor, /) -> Tensor:
        """Embeddings (B, D) of x (B, C, H, W)."""


class Loss(Protocol):
    """What is lowered. May own weights."""

    consumes: Consumes
    requires: tuple[Property, ...]
    """What the run's distance must have."""

    uses_memory: bool
    """Whether rows of a memory mean anything to it."""

    def __call__(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """As `forward`."""

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, a scalar with a graph, and facts: "active" and "tuples" count tuples, each a scalar.

        A batch without a valid tuple gives a zero that has a graph. `tuples=None` means all that the labels imply.
        """


class Miner(Protocol):
    """Forms tuples of a batch from its embeddings, without gradient, on their device."""

    produces: Produces

    def __call__(self, e: Embedded, /) -> Tuples:
        """Tuples over the rows of e, the first of each an anchor; None for all that the labels imply."""


class Memory(Protocol):
    """Keeps rows of earlier batches."""

    def __call__(self, e: Embedded) -> Embedded:
        """As `forward`."""

    def forward(self, e: Embedded) -> Embedded:
        """The batch with further rows behind its own; these are no anchors and carry no gradient."""


class Sampling(Protocol):
    """Draws the batches of an epoch: a function of (seed, epoch, table). Holds no state."""

    produces: Produces

    def __len__(self) -> int:
        """Batches an epoch; the same in every epoch."""

    def batches(self, epoch: int, table: Tensor | None = None) -> Iterator[DrawnBatch]:
        """The batches of an epoch; `table` is what was mined last, None before that."""


@runtime_checkable
class MinedSampling(Sampling, Protocol):
    """A sampling that draws from a table of hard examples, mined between epochs."""

    def wants(self, epoch: int) -> bool:
        """Whether the embeddings of the training part are to be mined before this epoch (from 0)."""

    def mine(self, z: Tensor, distance: Distance, epoch: int = 0) -> Tensor:
        """The table, of the embeddings z (N, D) of the training part."""


class Augmentation(Protocol):
    """Changes images at random. It draws its own parameters and applies them."""

    def draw(self, n: int, g: torch.Generator) -> Parameters:
        """Parameters of n images, drawn on the CPU, so that they depend on neither device nor processes."""

    def apply(self, x: Tensor, parameters: Parameters) -> Tensor:
        """Images (B, C, H, W), floating point in [0, 1], each changed by its own parameters."""

    def views(self, n: int) -> Parameters:
        """Parameters of n fixed views of any image, the same in every run; the first one changes nothing."""


class EvaluationProtocol(Protocol):
    """Evaluates embeddings of one part of a data set. Never sees a model."""

    headline: str
    """The figure that the best epoch is chosen by, where this is the run's first protocol."""

    better: Literal["low", "high"]
    """Which values of the headline are better."""

    def fits(self, embedded: EmbeddedSet) -> None:
        """Raises the LabError that `evaluate` would raise of these labels, whatever the embeddings."""

    def choose(self, embedded: EmbeddedSet) -> dict[str, float]:
        """What is chosen on validation, e.g. {"threshold": 0.7}; empty where nothing is."""

    def evaluate(self, embedded: EmbeddedSet, chosen: dict[str, float], influences: bool = True) -> dict[str, Figure]:
        """The figures by name. `influences=False` gives values alone, which is quicker."""


@runtime_checkable
class GivenEpisodes(Protocol):
    """A protocol that evaluates episodes which the publisher of a data set fixed, instead of a part of it."""

    trials: str
    """The name that the data set files them under."""


class Dataset(Protocol):
    """Reads a data set."""

    def load(self) -> Samples:
        """All of it, decoded, with labels, groups and the split."""
