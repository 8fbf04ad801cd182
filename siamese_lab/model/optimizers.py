"""Which parameters are trained at which rate, and how the rate runs over the training."""

import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Literal

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def parameter_groups(module: nn.Module, groups: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """Sorts the parameters of a module into the optimizer's groups.

    The first pattern that matches a name takes it; parameters that no pattern matches form the last group.

    Args:
        module: its parameters' names are what the patterns are held against, e.g. "backbone.trunk.0.0.weight",
            "distance.weight" or "loss.margin"; the prefix "twin." of a SiameseModule's is left out.
        groups: e.g. [{"match": "backbone.trunk.*", "lr": 1e-4}]; `match` is a shell pattern, the other keys are the
            optimizer's.

    Raises:
        ValueError: if a group has no `match`, or its pattern matches no parameter that is still free.
    """
    named = ((name.removeprefix("twin."), parameter) for name, parameter in module.named_parameters())
    free = {name: parameter for name, parameter in named if parameter.requires_grad}
    made: list[dict[str, object]] = []
    for group in groups:
        if "match" not in group:
            raise ValueError(
                f"each of optimizer.groups needs a key match, got {group}: e.g. {{match: 'backbone.trunk.*', lr: 1e-4}}"
            )
        names = [name for name in free if fnmatchcase(name, str(group["match"]))]
        if not names:
            raise ValueError(
                f"optimizer.groups: {group['match']!r} matches no parameter that is trained and in no earlier group; "
                f"there are e.g. {', '.join(list(free)[:3])}"
            )
        made.append({**{k: v for k, v in group.items() if k != "match"}, "params": [free.pop(name) for name in names]})
    return [*made, {"params": list(free.values())}] if free else made


def schedule(optimizer: Optimizer, name: Literal["constant", "cosine"], warmup: float, steps: int) -> LambdaLR:
    """Scales every group's learning rate at each step: a linear warm-up, then constant, or half a cosine down to 0.

    Args:
        optimizer: whose rates are scaled.
        name: "constant" or "cosine".
        warmup: share of all steps that the rate rises over, in [0, 1).
        steps: of the whole training.

    Raises:
        ValueError: if name or warmup is none of these.
    """
    if name not in ("constant", "cosine"):
        raise ValueError(f"optimizer.schedule.name must be constant or cosine, got {name!r}")
    if not 0 <= warmup < 1:
        raise ValueError(f"optimizer.schedule.warmup must lie in [0, 1), got {warmup}: it is a share of all steps")
    rising = round(warmup * steps)

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        if name == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1, steps - rising))))

    return LambdaLR(optimizer, factor)
