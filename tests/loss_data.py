"""Points and problems that the tests of losses share."""

import torch

LABELS = torch.tensor([0, 0, 0, 1, 1, 2, 2, 3])
NONE = torch.zeros(0, dtype=torch.long)
GRID = [(n, classes, dim) for n in (4, 9, 24) for classes in (2, 5) for dim in (2, 16)]


def points(n=8, seed=0, dtype=torch.float64):
    """Random embeddings with a gradient."""
    return torch.randn(n, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype).requires_grad_()


def circle(*degrees, dtype=torch.float64):
    """Points of the unit circle."""
    angles = torch.tensor(degrees, dtype=dtype).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], 1)


def problem(n, classes, dim, dtype, seed=0):
    """Random embeddings with labels in turn."""
    g = torch.Generator().manual_seed(seed + n + classes + dim)
    return torch.randn(n, dim, generator=g, dtype=torch.float64).to(dtype), torch.arange(n) % classes


def plain(value):
    """A loss as a number."""
    return float(value.detach())


def tolerance(dtype):
    """How near a number of this precision has to come to the reference."""
    return {"rel": 1e-4 if dtype == torch.float32 else 1e-10, "abs": 1e-5 if dtype == torch.float32 else 1e-10}
