"""Small problems that losses are computed on, and how near a reference they have to come."""

import torch

from siamese_lab.distances.cosine import Cosine
from siamese_lab.distances.euclidean import Euclidean

GRID = [(n, classes, dim) for n in (4, 9, 24) for classes in (2, 5) for dim in (2, 16)]
LABELS = torch.tensor([0, 0, 0, 1, 1, 2, 2, 3])
NONE = torch.zeros(0, dtype=torch.long)
DTYPES = [torch.float32, torch.float64]


def points(n=8, seed=0, dtype=torch.float64):
    """Random embeddings (n, 5) with a gradient."""
    return (
        torch.randn(n, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype).requires_grad_()
    )


def circle(*degrees, dtype=torch.float64):
    """Points of the unit circle (N, 2)."""
    angles = torch.tensor(degrees, dtype=dtype).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], 1)


def line(*places):
    """Points of a line (N, 1), float64."""
    return torch.tensor(places, dtype=torch.float64)[:, None]


def problem(n, classes, dim, dtype, seed=0):
    """Random points (n, dim) and their labels."""
    g = torch.Generator().manual_seed(seed + n + classes + dim)
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
