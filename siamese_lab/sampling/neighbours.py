"""The nearest images of other classes, exactly, in tiles."""

from typing import Any

import torch
from torch import Tensor


@torch.no_grad()
def nearest_others(z: Tensor, labels: Tensor, distance: Any, k: int, tile: int = 1024) -> Tensor:
    """For each row of z the k rows of other labels that lie nearest, nearest first.

    Exact; memory is that of a few tiles of `tile` x `tile` distances and the result.

    Args:
        z: (N, D).
        labels: (N,).
        distance: with matrix(a, b).
        k: neighbours; no label may leave fewer rows than that.
        tile: rows of a tile.

    Returns:
        (N, k) int64 row numbers, on the CPU.

    Raises:
        ValueError: if some row has fewer than k rows of other labels.
    """
    most = int(labels.bincount(minlength=1).max()) if len(labels) else 0
    if len(labels) - most < k:
        raise ValueError(f"neighbours must be at most {len(labels) - most}, got {k}: the largest class leaves no more images of others")
    found = []
    for start in range(0, len(z), tile):
        rows = slice(start, start + tile)
        best = z.new_full((len(z[rows]), k), torch.inf)
        who = torch.zeros(best.shape, dtype=torch.long, device=z.device)
        for begin in range(0, len(z), tile):
            columns = slice(begin, begin + tile)
            d = distance.matrix(z[rows], z[columns]).masked_fill(labels[rows, None] == labels[None, columns], torch.inf)
            near, at = d.topk(min(k, d.shape[1]), largest=False)
            best, pick = torch.cat([best, near], 1).topk(k, largest=False)
            who = torch.cat([who, at + begin], 1).gather(1, pick)
        found.append(who.cpu())
    return torch.cat(found)
