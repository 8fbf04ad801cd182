from collections.abc import Mapping

from torch import Tensor, nn

from siamese_lab.adapters import pytorch_metric_learning as adapter
from siamese_lab.core.random import Stream
from siamese_lab.structures.contracts import Consumes, Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Pairs, Triplets, Tuples, as_triplets

OF_LABELS = ("FastAPLoss", "InstanceLoss", "NCALoss", "PNPLoss", "RankedListLoss", "SmoothAPLoss")
OF_TRIPLETS = ("DynamicSoftMarginLoss", "MarginLoss", "TripletMarginLoss")
GIVEN = ("num_classes", "embedding_size", "descriptors_dim")


class PytorchMetricLearning(nn.Module):
    """A loss of the library pytorch-metric-learning, by its name there.

    It compares embeddings by its default distance in the library, mostly the cosine or the Euclidean distance of
    normalised embeddings; the run's own distance only evaluates, so choose one that ranks alike. Rows of a memory are
    its reference embeddings. A loss that owns class weights (its signature names num_classes) or ranks a whole batch
    consumes labels, one that forms triplets consumes triplets, all others pairs; what labels imply is passed as pairs
    from both ends, without pairs of one image.

    Source: Musgrave, Belongie, Lim, "PyTorch Metric Learning", 2020; version 2.9 and later, `pip install
    siamese-lab[pml]`.

    Args:
        dim: dimensions of an embedding, given by the backbone.
        classes: of the training part, given by the data.
        name: of the class, e.g. "CircleLoss".
        arguments: of its constructor, checked against its signature; None = its defaults. Not its distance, reducer and
            other objects.

    Raises:
        LabError: if the library is not installed.
        ValueError: if there is no such loss, or the arguments do not fit it.

    Examples:
        >>> import torch
        >>> from siamese_lab.losses.pytorch_metric_learning import PytorchMetricLearning
        >>> from siamese_lab.structures.embedded import Embedded
        >>> z = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.6, 0.8]])
        >>> e = Embedded(z, torch.tensor([0, 0, 1, 1]))
        >>> criterion = PytorchMetricLearning(dim=2, classes=2, name="ContrastiveLoss", arguments={"neg_margin": 1.0})
        >>> loss, facts = criterion(e)
        >>> round(loss.item(), 4), facts["tuples"].item()
        (1.131, 12)
    """

    # of conf/loss/pytorch_metric_learning.yaml; an object's own follow from the name
    consumes: Consumes = "pairs"
    requires: tuple[Property, ...] = ()
    uses_memory: bool = True

    def __init__(
        self,
        *,
        dim: int,
        classes: int,
        name: str = "MultiSimilarityLoss",
        arguments: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__()
        arguments = dict(arguments or {})
        given = {"num_classes": classes, "embedding_size": dim, "descriptors_dim": dim}
        self.loss = adapter.build_component("losses", name, arguments, given)
        accepted, settings = adapter.accepted_parameters(type(self.loss)), vars(self.loss)
        owns = any(key in accepted and accepted[key].default is accepted[key].empty for key in GIVEN)
        self.consumes = "labels" if owns or name in OF_LABELS else "triplets" if name in OF_TRIPLETS else "pairs"
        self.draws = settings.get("triplets_per_anchor", "all") != "all"  # it draws its own triplets
        self.uses_memory = (
            name in losses_with_references()
            and self.consumes != "labels"
            and not self.draws
            and not settings.get("swap", False)  # with swap the library takes the wrong rows of the references
        )

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss; both facts count the tuples passed (pairs from both ends), as the library counts no active ones."""
        indices, count = self._indices(e, tuples)
        z, labels = e.z[: e.anchors], e.labels[: e.anchors]
        references = {"ref_emb": e.z, "ref_labels": e.labels} if self.uses_memory and len(z) < len(e.z) else {}
        if not count:
            value = e.zero()
        else:
            with adapter.seeded(e.z.device, Stream.PYTORCH_METRIC_LEARNING_LOSS, *e.where):
                value = self.loss(z, labels, indices, **references).sum()  # a few give it as (1,)
        number = labels.new_tensor(count)
        return e.zero() + value, {"active": number, "tuples": number}

    def _indices(self, e: Embedded, tuples: Tuples) -> tuple[tuple[Tensor, ...] | None, int]:
        """The library's indices_tuple, and how many tuples those are."""
        if self.consumes == "labels" or (self.draws and tuples is None):
            return None, len(e.z[: e.anchors])
        if self.consumes == "triplets":
            triplets = as_triplets(e, tuples)
            return tuple(triplets), len(triplets.anchor)
        if isinstance(tuples, Triplets):
            return tuple(tuples), 2 * len(tuples.anchor)
        if isinstance(tuples, Pairs):
            left, right, same = tuples
            return (left[same], right[same], left[~same], right[~same]), len(same)
        if tuples is not None:
            raise ValueError(
                "a loss that consumes pairs got an episode: choose a sampling that produces labels or pairs"
            )
        positives, negatives = e.positives().nonzero(as_tuple=True), e.negatives().nonzero(as_tuple=True)
        return (*positives, *negatives), len(positives[0]) + len(negatives[0])


def losses_with_references() -> list[str]:
    """The losses that take reference embeddings, by what the library says."""
    from pytorch_metric_learning.losses import CrossBatchMemory  # here: an optional dependency

    return list(CrossBatchMemory.supported_losses())
