"""From a checked config to the objects of a run."""

from dataclasses import dataclass, field

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from torch import Tensor

from siamese_lab.config.compatibility import refuse_misfits
from siamese_lab.config.instantiate import build
from siamese_lab.config.trust import EVERYTHING, Trust
from siamese_lab.core.errors import LabError
from siamese_lab.core.hardware import Decided
from siamese_lab.data.load import load_data
from siamese_lab.evaluation.evaluator import refuse_unfit, trials_name
from siamese_lab.model.build_module import build_module, refuse_chunks
from siamese_lab.model.build_twin import build_twin
from siamese_lab.model.device import decide_device
from siamese_lab.model.siamese import SiameseModule
from siamese_lab.structures.contracts import EvaluationProtocol, Sampling
from siamese_lab.structures.samples import Samples


@dataclass(frozen=True)
class Experiment:
    """Everything of one run, built.

    `ids` (n,) and `labels` (n,), 0..C-1, are those of the training part; `trust` says whose code it was built from.
    """

    samples: Samples
    ids: Tensor
    labels: Tensor
    sampling: Sampling
    module: SiameseModule
    protocols: dict[str, EvaluationProtocol]
    decided: Decided
    callbacks: dict[str, pl.Callback] = field(default_factory=dict)
    trust: Trust = EVERYTHING


def assemble(cfg: DictConfig, *, samples: Samples | None = None, trust: Trust = EVERYTHING) -> Experiment:
    """Builds a run.

    Args:
        cfg: from `config.compose`.
        samples: the data, where they are loaded already.
        trust: whose code the config may build from.

    Raises:
        LabError: if a part cannot be built, or parts do not fit each other.
    """
    decided = decide_device(cfg)  # before the first large tensor: the allocator's settings do not reach back
    samples = samples if samples is not None else load_data(cfg, trust=trust)
    ids = samples.ids("train")
    if len(ids) == 0:
        raise LabError("the training part of the data is empty: give it a larger share of the split")
    classes, labels = torch.unique(samples.labels[ids], return_inverse=True)
    if len(classes) < 2:
        given = f"the training part has {len(classes)}"
        raise LabError(f"training needs at least two classes, {given}: nothing could be told apart")
    groups = {name: (codes[ids], names) for name, (codes, names) in samples.groups.items()}
    sampling = build(cfg.sampling, trust=trust, labels=labels, groups=groups, seed=cfg.seed)
    batch = len(next(iter(sampling.batches(0))).ids)
    if batch % cfg.trainer.devices:
        share = f"the {batch} images of a batch, which the processes share"
        raise LabError(f"trainer.devices={cfg.trainer.devices} must divide {share}")
    twin = build_twin(cfg, tuple(samples.images.shape[1:]), trust=trust)
    module = build_module(cfg, twin, len(classes), steps=len(sampling), trust=trust)
    refuse_misfits(module.loss, module.miner, sampling, module.twin.distance, module.memory)
    refuse_chunks(module)
    protocols = {str(name): build(node, trust=trust) for name, node in (cfg.get("protocol") or {}).items()}
    if not protocols:
        raise LabError("at least one protocol is needed to evaluate the run: e.g. protocol=[verification]")
    first, protocol = next(iter(protocols.items()))
    if trials_name(protocol) is not None:
        chooses = "the first protocol chooses the best checkpoint on validation"
        raise LabError(f"{chooses}, and {first} evaluates test trials: name another first")
    refuse_unfit(samples, protocols)
    if cfg.trainer.patience is not None and not len(samples.ids("val")):
        raise LabError("trainer.patience needs a validation part, and the data have none: set trainer.patience=null")
    # made again by Lightning; here, a bad rate is refused before the run begins
    optimizer = module.configure_optimizers()["optimizer"]
    if not any(group["initial_lr"] > 0 for group in optimizer.param_groups):
        raise LabError("a learning rate of 0 for all parameters would train nothing: set optimizer.lr, e.g. 1e-3")
    callbacks = {str(name): build(node, trust=trust) for name, node in (cfg.get("callback") or {}).items()}
    return Experiment(samples, ids, labels, sampling, module, protocols, decided, callbacks, trust)


def network(experiment: Experiment) -> tuple[tuple[int, ...], int]:
    """What the data decide of the network: the shape of an image and the number of training classes."""
    return tuple(experiment.samples.images.shape[1:]), int(experiment.labels.max()) + 1
