"""What the queries of one-shot recognition were taken for, with the images behind it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from siamese_lab import judging
from siamese_lab.batch import Samples
from siamese_lab.model import SiameseModule
from siamese_lab.protocols.judged import Judged


class Confusion(NamedTuple):
    """T trials: sample ids `asked` (T,) of the query and `taken` (T,) of the support image it was taken for; `wrong` (T,) bool."""

    asked: Tensor
    taken: Tensor
    wrong: Tensor


def of(
    module: SiameseModule, samples: Samples, part: str, protocols: Mapping[str, Any], batch_size: int, seen: Judged | None
) -> dict[str, Confusion]:
    """By protocol, for those that recognise; the publisher's trials belong to the test part.

    Args:
        module: the model.
        samples: the data set.
        part: "val" or "test".
        protocols: by name.
        batch_size: images embedded at once.
        seen: the part, judged; None where there is none.
    """
    made = {}
    for name, protocol in protocols.items():
        given = judging.trial(protocol)
        if not hasattr(protocol, "outcomes") or (given is None and seen is None) or (given is not None and part != "test"):
            continue
        ids, judged = samples.ids(part), seen
        if given is not None:
            episodes = samples.trials[given]
            ids = torch.cat([episodes.support.flatten(), episodes.query.flatten()]).unique()
            judged = judging.judged(module, samples, ids, batch_size, given)
        found = protocol.outcomes(judged)
        made[name] = Confusion(ids[found.asked], ids[found.taken], found.wrong)
    return made
