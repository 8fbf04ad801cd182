"""Which identities train and which evaluate: seeded, and independent of the order in which they are met."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from siamese_lab.core.errors import LabError
from siamese_lab.core.text import printable
from siamese_lab.structures.samples import PARTS, TEST, TRAIN, UNUSED, VAL


def shuffled(names: Sequence[str], seed: int) -> list[str]:
    """Distinct names in an order drawn by the seed.

    The order is that of hashes of seed and name: the same on every machine and version, and a name added or removed
    leaves the others' order as it was.
    """
    return sorted(set(names), key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())


def split_by(keys: Sequence[str], val: float, test: float, seed: int, least: int = 2) -> Tensor:
    """Parts (N,) int64 of N things, where all of one key (an identity, a group) fall to one part.

    Args:
        keys: (N,) the key of each thing.
        val, test: shares of the distinct keys, 0 to 1, together below 1; 0 makes no such part.
        seed: of the draw, >= 0.
        least: keys that each part must have: with fewer than 2 identities there is no negative pair.

    Raises:
        ValueError: for shares out of range, or too few keys for the parts asked.
    """
    for name, share in (("val", val), ("test", test)):
        if not 0 <= share < 1:
            raise ValueError(f"{name} must be a share of 0 to 1, got {share}")
    if not val + test < 1:
        raise ValueError(f"val + test must leave something to train on, got {val} + {test}")
    order = shuffled(keys, seed)
    counts = [max(least, round(share * len(order))) if share else 0 for share in (test, val)]
    if len(order) - sum(counts) < least:
        parts = 1 + sum(count > 0 for count in counts)
        raise ValueError(
            f"{parts} parts of at least {least} each need more than there are: {len(order)}; set a share to 0, or add "
            "some"
        )
    part_of = dict.fromkeys(order, TRAIN)
    part_of |= dict.fromkeys(order[: counts[0]], TEST)
    part_of |= dict.fromkeys(order[counts[0] : sum(counts)], VAL)
    return torch.tensor([part_of[key] for key in keys], dtype=torch.int64)


def refuse_overlap(labels: Tensor, split: Tensor, classes: Sequence[str]) -> None:
    """Refuses a split in which an identity stands in two parts.

    Args:
        labels: (N,) indices into `classes`.
        split: (N,) the part of each sample; UNUSED ones do not count.

    Raises:
        LabError: naming identities that do.
    """
    stands = torch.zeros(len(classes), len(PARTS), dtype=torch.bool)
    used = split != UNUSED
    stands[labels[used], split[used]] = True
    both = (stands.sum(1) > 1).nonzero().flatten().tolist()
    if both:
        names = {code: name for name, code in PARTS.items()}
        shown = "; ".join(
            f"{printable(classes[i])} in {' and '.join(names[int(p)] for p in stands[i].nonzero())}" for i in both[:5]
        )
        raise LabError(
            f"{len(both)} identit{'y stands' if len(both) == 1 else 'ies stand'} in more than one part ({shown}): "
            "figures would be those of identities that were trained on; "
            "move them, or say data.disjoint=image if only the images are to differ"
        )
