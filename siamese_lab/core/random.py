"""Random numbers as a function of where in training they are drawn."""

import numpy as np
import torch


def generator(*where: int) -> torch.Generator:
    """A CPU generator that depends on all of `where`, e.g. (seed, purpose, epoch, step), and on nothing else.

    The numbers are mixed (numpy's SeedSequence), so that neighbouring seeds and steps give unrelated streams.
    """
    state = int(np.random.SeedSequence(where).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(state >> 1)  # manual_seed takes a signed number
