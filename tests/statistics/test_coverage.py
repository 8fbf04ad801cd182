"""How often the intervals of a run's figures hold the truth: 95 % are promised."""

import numpy as np
import pytest
import torch

from siamese_lab.distances.euclidean import Euclidean
from siamese_lab.protocols.one_shot import OneShot
from siamese_lab.protocols.retrieval import Retrieval
from siamese_lab.protocols.verification import Verification
from siamese_lab.structures.embedded_set import EmbeddedSet


def unequal_people(rng, identities, noise):
    """Embeddings of identities with 2 to 14 images each, some of which scatter much more than others."""
    images = rng.integers(2, 15, identities)
    labels = np.repeat(np.arange(identities), images)
    scatter = noise * np.exp(0.5 * rng.normal(size=identities))
    z = rng.normal(size=(identities, 16))[labels] + scatter[labels][:, None] * rng.normal(size=(len(labels), 16))
    z = torch.tensor(z / np.linalg.norm(z, axis=1, keepdims=True), dtype=torch.float32)
    return EmbeddedSet(z, torch.tensor(labels), tuple(map(str, range(identities))), Euclidean())


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.3, 0.45, 0.6, 0.8, 1.1])
@pytest.mark.parametrize("identities", [60, 100, 200])
def test_intervals_cover_the_truth_from_middling_figures_to_the_ceiling(identities, noise):
    """The truth is what a figure is on average over the draws."""
    rng = np.random.default_rng([identities, int(100 * noise)])
    protocols = (Verification(grid=256), Retrieval(), OneShot(way=20, episodes=200))
    seen = {}
    for _ in range(300):
        people = unequal_people(rng, identities, noise)
        for protocol in protocols:
            for name, figure in protocol.evaluate(people, {"threshold": 0.9}).items():
                seen.setdefault(name, []).append(figure)
    covered = {}
    for name, figures in seen.items():
        truth = np.mean([figure.value for figure in figures])
        given = [figure for figure in figures if figure.low is not None]
        if len(given) >= 100:
            covered[name] = np.mean([figure.low <= truth <= figure.high for figure in given])
            print(f"{identities} identities, {name} {truth:.3f}: {covered[name]:.1%} of {len(given)}")
    assert 0.93 <= np.mean(list(covered.values())) <= 0.985
    assert min(covered.values()) >= 0.87
