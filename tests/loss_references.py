"""Small problems that losses are computed on, and how near a reference they have to come."""

import torch

from siamese_lab.distances.cosine import Cosine
from siamese_lab.distances.euclidean import Euclidean

GRID = [(n, classes, dim) for n in (4, 9, 24) for classes in (2, 5) for dim in (2, 16)]
DTYPES = [torch.float32, torch.float64]


def circle(*degrees):
    """Points of the unit circle (N, 2), float64."""
    angles = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], 1)


def line(*places):
    """Points of a line (N, 1), float64."""
    return torch.tensor(places, dtype=torch.float64)[:, None]


def problem(n, classes, dim, dtype):
    """Random points (n, dim) and their labels."""
    g = torch.Generator().manual_seed(n + classes + dim)
    return torch.randn(n, dim, generator=g, dtype=torch.float64).to(dtype), torch.arange(n) % classes


def plain(value):
    """A loss, or what it returns, as a number."""
    return float((value[0] if isinstance(value, tuple) else value).detach())


def facts(result):
    """(active, tuples) of what a loss returns."""
    return int(result[1]["active"]), int(result[1]["tuples"])


def tolerance(dtype):
    """For pytest.approx."""
    return {"rel": 1e-4 if dtype == torch.float32 else 1e-10, "abs": 1e-5 if dtype == torch.float32 else 1e-10}


def cosines(z):
    """Cosine distances as nested lists, in float64."""
    return Cosine().matrix(z.double(), z.double()).tolist()


def chords(z):
    """Euclidean distances as nested lists, in float64."""
    return Euclidean().matrix(z.double(), z.double()).tolist()


def mean(values):
    """0 of nothing."""
    return sum(values) / max(1, len(values))
