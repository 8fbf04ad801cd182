"""Which identities train and which evaluate: drawn by a seed, independent of their order."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from siamese_lab.core.checks import require_within
from siamese_lab.core.errors import LabError
from siamese_lab.core.text import printable
from siamese_lab.structures.samples import PARTS, TEST, TRAIN, UNUSED, VAL


def shuffle_names(names: Sequence[str], seed: int) -> list[str]:
    """Distinct names sorted by hashes of seed and name: the same everywhere, and stable when a name is added."""
    return sorted(set(names), key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())


def split_by(keys: Sequence[str], val: float, test: float, seed: int, least: int = 2) -> Tensor:
    """Parts (N,) int64 of N samples, where all of one key (an identity, a group) fall to one part.

    Args:
        keys: (N,) the key of each sample.
        val, test: shares of the distinct keys, 0 to 1, together below 1; 0 makes no such part.
        seed: of the draw, >= 0.
        least: keys that each part must have: with fewer than 2 identities there is no negative pair.

    Raises:
        ValueError: for shares out of range, or too few keys for the parts asked.
    """
    check_shares(val=val, test=test)
    order = shuffle_names(keys, seed)
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


def check_shares(**shares: float) -> None:
    """Raises a ValueError unless each share, by the name of its parameter, is in [0, 1) and their sum below 1."""
    for name, share in shares.items():
        require_within(name, share, "[0, 1)", "it is a share of the identities")
    if not sum(shares.values()) < 1:
        values = " + ".join(map(str, shares.values()))
        raise ValueError(f"{' + '.join(shares)} must leave something to train on, got {values}")


def refuse_overlap(labels: Tensor, split: Tensor, classes: Sequence[str]) -> None:
    """Raises a LabError if an identity stands in two parts.

    Args:
        labels: (N,) indices into `classes`.
        split: (N,) the part of each sample; UNUSED ones do not count.
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
            "figures would be those of identities that were trained on; move them, or set data.disjoint=image if only "
            "the images are to differ"
        )
