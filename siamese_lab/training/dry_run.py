"""What a run would do: a few batches through the untrained network."""

from dataclasses import dataclass
from itertools import islice
from statistics import fmean
from typing import cast

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from siamese_lab.config.identity import resolved_hash
from siamese_lab.core.errors import LabError
from siamese_lab.core.text import printable
from siamese_lab.data.loader import BatchLoader
from siamese_lab.evaluation.evaluator import embed_ids
from siamese_lab.model.cost import count_parameters, multiply_adds
from siamese_lab.runs.folder import run_folder
from siamese_lab.structures.batch import Batch
from siamese_lab.structures.contracts import MinedSampling
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Pairs, Triplets
from siamese_lab.training.assemble import Experiment

PROBED = 10  # batches that go through the network


@dataclass(frozen=True)
class Probe:
    """What one batch holds: positives and negatives (pairs) or triplets, and whether the loss has a gradient on it."""

    positives: int
    negatives: int
    triplets: int | None
    gradient: bool


def describe(cfg: DictConfig, experiment: Experiment) -> list[str]:
    """The lines that `check` prints.

    Raises:
        LabError: if no probed batch has a gradient.
    """
    samples, twin, loss = experiment.samples, experiment.module.twin, experiment.module.loss
    shape = tuple(samples.images.shape[1:])
    ids = {part: samples.ids(part) for part in ("train", "val", "test")}
    classes = {part: len(torch.unique(samples.labels[some])) for part, some in ids.items()}
    parts = [f"{part} {len(some):,} images of {classes[part]:,} classes" for part, some in ids.items() if len(some)]
    parts += [f"no {part} part" for part, some in ids.items() if not len(some)]
    size = count_parameters(twin.backbone)
    weights = {"distance": cast(nn.Module, twin.distance), "loss": cast(nn.Module, loss)}
    heads = ", ".join(f"{name} {count_parameters(part):,}" for name, part in weights.items())
    loader = BatchLoader(samples, experiment.ids, experiment.labels, experiment.sampling)
    mined = mine_first_table(experiment, loader, cfg.evaluation.batch_size)
    probes = [probe(experiment, batch) for batch in islice(loader, PROBED)]
    idle = 1 - sum(p.gradient for p in probes) / len(probes)
    if idle == 1:
        first = probes[0]
        why = (
            "classes need two images each to form positives, and a batch needs two classes to form negatives"
            if not (first.positives and first.negatives)
            else "the loss costs nothing on any of them, or the embeddings cannot move: see loss, miner, backbone.dim"
        )
        counts = f"positives {first.positives}, negatives {first.negatives} in the first one"
        raise LabError(f"none of {len(probes)} batches gives a gradient: {counts}; {why}")
    missed = never_drawn(experiment, cfg.trainer.max_epochs, loader.table)
    firsts = [int((experiment.labels == label).nonzero()[0, 0]) for label in missed[:5].tolist()]
    names = [printable(samples.classes[int(samples.labels[experiment.ids[first]])]) for first in firsts]
    decided = experiment.decided
    return [
        f"data       {'; '.join(parts)}; images {'x'.join(map(str, shape))}, disjoint by {samples.disjoint}",
        f"network    {size:,} parameters ({heads}), {multiply_adds(twin.backbone, shape):,} multiply-adds an image, "
        f"embeddings of {twin.dim} dimensions",
        f"batch      {len(next(iter(loader)).ids)} images: {_mean_tuples(probes)}{mined}",
        f"gradient   {100 * idle:.0f} % of {len(probes)} batches without",
        f"classes    {len(missed):,} of {len(torch.unique(experiment.labels)):,} would never be drawn"
        + (f", e.g. {', '.join(names)}" if names else ""),
        f"training   {cfg.trainer.max_epochs} epochs of {len(loader):,} batches on {decided.accelerator}, "
        f"{decided.precision}, {decided.layout}",
        f"evaluated by  {', '.join(experiment.protocols)}; the best checkpoint by {next(iter(experiment.protocols))}",
        f"run        {run_folder(cfg.study, resolved_hash(cfg, samples.fingerprint)).path}",
    ]


def mine_first_table(experiment: Experiment, loader: BatchLoader, size: int) -> str:
    """Mines the table of the first epoch, where the sampling has no warm-up; returns words on whether it did."""
    if not isinstance(experiment.sampling, MinedSampling):
        return ""
    if not experiment.sampling.wants(0):
        return " (of the warm-up, before anything is mined)"
    twin = experiment.module.twin
    z = embed_ids(twin, experiment.samples, experiment.ids, size)
    loader.table = experiment.sampling.mine(z, twin.distance)
    return " (mined with the untrained network)"


def probe(experiment: Experiment, batch: Batch) -> Probe:
    """Sends one batch through the untrained network and the loss."""
    module, twin = experiment.module, experiment.module.twin
    with torch.no_grad():
        z = twin.backbone(module.on_after_batch_transfer(batch, 0).x).float()
    e = Embedded(z.requires_grad_(), batch.labels, batch.ids, distance=twin.distance, where=(batch.epoch, batch.step))
    tuples = batch.tuples if batch.tuples is not None else module.miner(e)
    loss, _ = module.loss(e, tuples)
    (gradient,) = torch.autograd.grad(loss, z)
    flowing = bool(gradient.isfinite().all() and gradient.abs().sum() > 0)
    if isinstance(tuples, Pairs):
        return Probe(int(tuples.same.sum()), int((~tuples.same).sum()), None, flowing)
    positives, negatives = e.positives(), e.negatives()
    implied = int((positives.sum(1) * negatives.sum(1)).sum())
    triplets = len(tuples.anchor) if isinstance(tuples, Triplets) else implied
    return Probe(int(positives.sum()) // 2, int(negatives.sum()) // 2, triplets, flowing)


def never_drawn(experiment: Experiment, epochs: int, table: Tensor | None = None) -> Tensor:
    """The training classes that no batch of the planned epochs holds.

    Args:
        experiment: the run.
        epochs: how many are planned.
        table: mined with the untrained network; None where there is none yet, or none is ever wanted.
    """
    unseen = torch.ones(int(experiment.labels.max()) + 1, dtype=torch.bool)
    for epoch in range(epochs):
        for ids, _ in experiment.sampling.batches(epoch, table):
            unseen[experiment.labels[ids]] = False
            if not unseen.any():
                return unseen.nonzero().flatten()
    return unseen.nonzero().flatten()


def _mean_tuples(probes: list[Probe]) -> str:
    pairs = fmean(p.positives for p in probes), fmean(p.negatives for p in probes)
    triplets = [p.triplets for p in probes if p.triplets is not None]
    more = f", {fmean(triplets):,.0f} triplets" if triplets else ""
    return f"{pairs[0]:,.0f} positive and {pairs[1]:,.0f} negative pairs{more}"
