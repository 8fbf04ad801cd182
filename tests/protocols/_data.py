"""Synthetic embeddings that the tests of the protocols share."""

import torch
from torch import nn

from siamese_lab.distances.euclidean import Euclidean
from siamese_lab.structures.embedded_set import EmbeddedSet


class Hamming(nn.Module):
    """Whole numbers: many ties."""

    def pairwise(self, a, b):
        return (a - b).abs().sum(-1).round()

    def matrix(self, a, b):
        return torch.cdist(a, b, p=1).round()


def clusters(identities=30, images=6, dim=4, spread=0.6, seed=0, uneven=False):
    generator = torch.Generator().manual_seed(seed)
    sizes = (
        torch.randint(1, images + 1, (identities,), generator=generator)
        if uneven
        else torch.full((identities,), images)
    )
    labels = torch.arange(identities).repeat_interleave(sizes)
    z = torch.randn(identities, dim, generator=generator)[labels]
    z = z + spread * torch.randn(len(labels), dim, generator=generator)
    z = (
        z * 256
    ).round() / 256  # squared distances are then exact in float32, so that no tiling or processor reorders two pairs
    mixed = torch.randperm(len(labels), generator=generator)
    return EmbeddedSet(z[mixed], labels[mixed], tuple(f"id{i}" for i in range(identities)), Euclidean())


def with_distance(embedded, distance, scale=1.0):
    return EmbeddedSet(embedded.z * scale, embedded.labels, embedded.classes, distance)
