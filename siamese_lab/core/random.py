"""Random numbers as a function of where in training they are drawn."""

from enum import IntEnum

import numpy as np
import torch


class Stream(IntEnum):
    """What random numbers are drawn for: each purpose has a stream of its own, independent of all others.

    The numbers are part of what a seed means. A new purpose takes a new number; a number never changes.
    """

    PK_CLASSES = 0
    PK_IMAGES = 1
    RANDOM_PAIRS = 2
    RANDOM_TRIPLETS = 3
    HARD_PAIRS = 4
    HARD_TRIPLETS = 5
    HARD_WINDOW_POSITIVES = 6
    HARD_WINDOW_NEGATIVES = 7
    LAP_PAIRS_MINING = 8
    LAP_PAIRS_BATCHES = 9
    HIERARCHICAL_IMAGES = 10
    HIERARCHICAL_GROUPS = 11
    HIERARCHICAL_CLASSES = 12
    EPISODES_CLASSES = 13
    EPISODES_IMAGES = 14
    BALANCED_CLASSES = 15
    BALANCED_IMAGES = 16
    AUGMENT = 100
    PYTORCH_METRIC_LEARNING_LOSS = 101
    PYTORCH_METRIC_LEARNING_MINER = 102
    DISTANCE_WEIGHTED_MINER = 200
    RANK_WINDOW_MINER = 201


def generator(*where: int) -> torch.Generator:
    """A CPU generator that depends on all of `where`, e.g. (seed, Stream.AUGMENT, epoch, step), and on nothing else.

    The numbers are mixed (numpy's SeedSequence), so that neighbouring seeds and steps give unrelated streams.
    """
    state = int(np.random.SeedSequence([int(part) for part in where]).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(state >> 1)  # manual_seed takes a signed number
