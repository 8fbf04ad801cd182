"""A part of a data set with the results of its evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from siamese_lab.metrics.recognition import Confusion
from siamese_lab.metrics.roc import Curves
from siamese_lab.statistics.influence import Figure
from siamese_lab.structures.embedded_set import EmbeddedSet
from siamese_lab.structures.samples import Samples


@dataclass(frozen=True, eq=False)
class EvaluatedPart:
    """The validation or the test part, evaluated with the weights of one epoch.

    Args:
        part: which one.
        figures: {"<protocol>/<figure>": Figure}.
        chosen: by protocol, what was chosen on validation, such as a threshold.
        embedded: its N embeddings; None where the part has no images.
        samples: its images and names; None where they are not loaded.
        ids: (N,) the sample behind each embedding.
        curves: of the protocols that have error curves.
        confusions: of the protocols that recognise: what each query was taken for.
    """

    part: Literal["val", "test"]
    figures: Mapping[str, Figure] = field(default_factory=dict)
    chosen: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    embedded: EmbeddedSet | None = None
    samples: Samples | None = None
    ids: Tensor | None = None
    curves: Mapping[str, Curves] = field(default_factory=dict)
    confusions: Mapping[str, Confusion] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """How plots call it: "test part" or "validation part"."""
        return "test part" if self.part == "test" else "validation part"

    @property
    def threshold(self) -> float | None:
        """The accepted distance that the first protocol with a threshold chose; None where none did."""
        return next((values["threshold"] for values in self.chosen.values() if "threshold" in values), None)
