"""The figures of a network with its starting weights: what those of the trained one are held against."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from siamese_lab.evaluation.evaluator import choose, embed_part, evaluate_part
from siamese_lab.model.build_twin import build_twin
from siamese_lab.runs.provenance import code_hash
from siamese_lab.runs.untrained import read_untrained, untrained_file, write_untrained
from siamese_lab.statistics.influence import Figure
from siamese_lab.training.assemble import Experiment, network

DECIDE = ("seed", "backbone", "distance", "augment", "protocol", "evaluation", "trainer.precision")
"""What the figures follow from, beside the data: runs of a study that differ in their loss alone share them."""


def untrained_figures(
    cfg: DictConfig, experiment: Experiment, part: str, shared: Path | None = None
) -> dict[str, Figure]:
    """Values without intervals, named "<protocol>/<figure>".

    Args:
        cfg: the run's.
        experiment: the run's.
        part: "val" or "test".
        shared: a folder of figures that other runs have left; gets these ones. None = always computed.
    """
    if shared is None:
        return _compute(cfg, experiment, part)
    decided = [OmegaConf.to_container(OmegaConf.create({"value": OmegaConf.select(cfg, key)})) for key in DECIDE]
    device = str(experiment.module.device.type)
    file = untrained_file(shared, [decided, part, experiment.samples.fingerprint, device, code_hash()])
    found = read_untrained(file)
    if found is None:
        found = _compute(cfg, experiment, part)
        write_untrained(file, found)
    return found


def _compute(cfg: DictConfig, experiment: Experiment, part: str) -> dict[str, Figure]:
    twin = build_twin(cfg, network(experiment)[0]).to(experiment.module.device)
    size, samples, protocols = cfg.evaluation.batch_size, experiment.samples, experiment.protocols
    val = samples.ids("val")
    seen = embed_part(twin, samples, val, size) if len(val) else None
    chosen = choose(twin, samples, protocols, size, seen=seen)
    reused = seen if part == "val" else None
    return evaluate_part(twin, samples, part, protocols, chosen, size, influences=False, seen=reused)
