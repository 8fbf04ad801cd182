from collections.abc import Mapping

from torch import Tensor, nn

from siamese_lab.structures.contracts import Consumes, Loss, Property
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples

MOST_DEMANDING_LAST: tuple[Consumes, ...] = ("labels", "pairs", "triplets", "episodes")


class WeightedSum(nn.Module):
    """Several losses on the same batch: the sum of weight times value.

    It consumes what its most demanding part consumes. Parts that consume labels go with any others and ignore tuples;
    a part that consumes pairs takes triplets as pairs. Episodes go with nothing but labels.

    Args:
        parts: the losses by name.
        weights: >= 0, for each of these names; not all 0.

    Raises:
        ValueError: if names or weights do not fit, or parts do not go together.

    Examples:
        >>> import torch
        >>> from siamese_lab.losses.contrastive import ContrastiveLoss
        >>> from siamese_lab.losses.triplet import TripletLoss
        >>> from siamese_lab.losses.weighted_sum import WeightedSum
        >>> from siamese_lab.structures.embedded import Embedded
        >>> e = Embedded(torch.tensor([[0.0], [1.0], [1.5], [5.0]]), torch.tensor([0, 0, 1, 1]))
        >>> parts = {"pull": ContrastiveLoss(margin=1.0), "order": TripletLoss(margin=1.0)}
        >>> loss, facts = WeightedSum(parts, {"pull": 1.0, "order": 0.5})(e)
        >>> round(loss.item(), 4), round(facts["loss/pull"].item(), 4), round(facts["loss/order"].item(), 4)
        (7.6375, 6.6875, 1.9)
    """

    # of conf/loss/weighted_sum.yaml; an object's own follow from its parts
    consumes: Consumes = "labels"
    requires: tuple[Property, ...] = ()
    uses_memory: bool = True

    def __init__(self, parts: Mapping[str, Loss], weights: Mapping[str, float]) -> None:
        super().__init__()
        if not parts or set(parts) != set(weights):
            raise ValueError(
                f"weights must name the same losses as parts, got weights for {list_names(weights)}: the parts are "
                f"{list_names(parts)}; there must be at least one"
            )
        for name, weight in weights.items():
            if not 0 <= weight < float("inf"):
                raise ValueError(f"weights.{name} must be >= 0, got {weight}: the loss is multiplied by it")
            if not name.isidentifier() or name in dir(nn.ModuleDict()):
                raise ValueError(f"parts cannot hold {name!r}: choose another name, of letters, digits and underscores")
        if not any(weights.values()):
            raise ValueError("weights are all 0: nothing would be learned")
        consumed = {name: part.consumes for name, part in parts.items()}
        if "episodes" in consumed.values() and not {"episodes", "labels"} >= set(consumed.values()):
            kinds = ", ".join(f"{name} consumes {kind}" for name, kind in consumed.items())
            raise ValueError(
                f"parts do not go together: {kinds}, and of an episode neither pairs nor triplets can be made"
            )
        self.consumes = max(consumed.values(), key=MOST_DEMANDING_LAST.index)
        self.uses_memory = any(part.uses_memory for part in parts.values())
        self.requires = tuple(dict.fromkeys(one for part in parts.values() for one in part.requires))
        self.parts, self.weights = nn.ModuleDict(parts), dict(weights)  # type: ignore[arg-type] # they are modules

    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum, its parts' facts added up, and each part's value, without its weight, as `loss/<name>`."""
        total = e.zero()
        facts: dict[str, Tensor] = {}
        for name, part in self.parts.items():
            value, counts = part(e, tuples)
            total = total + self.weights[name] * value
            for key, count in counts.items():
                facts[key] = facts[key] + count if key in facts else count
            facts[f"loss/{name}"] = value.detach()
        return total, facts


def list_names(names: Mapping[str, object]) -> str:
    """Names for a message."""
    return ", ".join(names) or "none"
