"""Matrices of distances that have no form as a matrix product: pair by pair, in tiles."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

TILE = 2**20  # numbers that a tile holds at once: 4 MiB in float32, which stay in a CPU's cache


def tiled(head: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor, width: int, tile: int = TILE) -> Tensor:
    """Distances (N, M) of the rows of a (N, D) to those of b (M, D), in memory of a few tiles beside the result.

    Where there is more than one tile, each is computed again for its gradient, so that none is kept.

    Args:
        head: distances (n, m) of x (n, 1, D) to y (1, m, D).
        a: (N, D).
        b: (M, D).
        width: numbers that the head holds at once for one pair.
        tile: numbers that a tile holds at once.
    """
    columns = max(1, min(len(b), tile // width))
    rows = max(1, tile // (width * columns))
    if len(a) <= rows and len(b) <= columns:
        return head(a[:, None], b[None])
    lines = []
    for x in a.split(rows):
        line = [_checkpointed(head, x, y) for y in b.split(columns)]
        lines.append(torch.cat(line, 1) if len(line) > 1 else line[0])
    return torch.cat(lines)


def _checkpointed(head: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
    if not torch.is_grad_enabled():
        return head(x[:, None], y[None])
    distances: Tensor = checkpoint(head, x[:, None], y[None], use_reentrant=False, preserve_rng_state=False)
    return distances
