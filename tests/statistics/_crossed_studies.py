"""Simulated studies: error rates of configurations over seeds and identities, with known scatter of each kind."""

import numpy as np

IDENTITIES = 100
IMAGES = 20

# scatter of seeds, of identities for all configurations alike (which cancels), of identities for each configuration
# (which does not), and of seed and identity together
MIXES = {
    "seeds": (0.05, 0.05, 0.0, 0.0),
    "identities": (0.0, 0.1, 0.08, 0.0),
    "interaction": (0.0, 0.05, 0.0, 0.12),
    "noise of the images": (0.0, 0.0, 0.0, 0.0),
    "all": (0.01, 0.05, 0.05, 0.05),
}


def named(row):
    """Influences (C,) by the names of the identities."""
    return {f"i{c}": float(x) for c, x in enumerate(row)}


def study(rng, mix, seeds, shifts=(0.0, 0.0)):
    """Error rates (K, S, C) of K configurations, whose true rates differ by their `shifts`."""
    by_seed, alike, own, both = MIXES[mix]
    hard, k = alike * rng.normal(size=IDENTITIES), len(shifts)
    rate = 0.25 + hard + np.asarray(shifts)[:, None, None] + by_seed * rng.normal(size=(k, seeds, 1))
    rate = rate + own * rng.normal(size=(k, 1, IDENTITIES)) + both * rng.normal(size=(k, seeds, IDENTITIES))
    return rng.binomial(IMAGES, np.clip(rate, 0, 1)) / IMAGES


def values_and_influences(rates):
    """What `difference` takes, of one configuration (S, C); the influence on a mean is the distance to it."""
    return rates.mean(1), [named(row - row.mean()) for row in rates]
