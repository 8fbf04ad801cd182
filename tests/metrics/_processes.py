"""The torchmetrics classes, and one of several processes that evaluate them. Imports little, to start fast."""

import torch
import torch.distributed as dist

from siamese_lab.metrics.modules import (
    EqualErrorRate,
    MeanAveragePrecisionAtR,
    OneShotError,
    RecallAtK,
    TrueAcceptRate,
)
from tests.protocols._data import clusters

METRICS = {
    "eer": EqualErrorRate,
    "eer of drawn pairs": lambda **given: EqualErrorRate(pairs=400, seed=3, **given),
    "tar": lambda **given: TrueAcceptRate(far=0.05, **given),
    "recall@1": RecallAtK,
    "recall@5": lambda **given: RecallAtK(k=5, **given),
    "map@r": MeanAveragePrecisionAtR,
    "one shot": lambda **given: OneShotError(way=5, shot=2, episodes=50, seed=4, **given),
}


def evaluate_share(rank, world, path):
    """One process of several: takes every other row, process 1 some of process 0's rows once more."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{path}/meeting", rank=rank, world_size=world)
    embedded = clusters(uneven=True)
    mine = torch.arange(rank, len(embedded.z), world)
    if rank == 1:
        mine = torch.cat([mine, torch.arange(0, 10, 2)])
    found = {}
    for key, make in METRICS.items():
        metric = make()
        for rows in mine.split(16):
            metric.update(embedded.z[rows], embedded.labels[rows], ids=rows)
        found[key] = float(metric.compute())
        alone = make()
        rows = mine if rank == 0 else mine[:0]  # a process without rows
        alone.update(embedded.z[rows], embedded.labels[rows])
        found[f"{key} alone"] = float(alone.compute())
    torch.save(found, path / f"{rank}.pt")
    dist.destroy_process_group()
