"""The end of a run: its best epoch is evaluated, and everything that a finished run has is written."""

from dataclasses import replace
from datetime import datetime
from typing import Literal

import torch
from omegaconf import DictConfig
from torch import Tensor

from siamese_lab.evaluation.confusion import confusions
from siamese_lab.evaluation.evaluator import choose, embed_part, evaluate_part
from siamese_lab.evaluation.records import error_curves, plain_figures, thin_curve
from siamese_lab.metrics.evaluated_part import EvaluatedPart
from siamese_lab.model.checkpoint import BEST, LAST, restore
from siamese_lab.runs.error_curves import curves_file, write_curves
from siamese_lab.runs.folder import RunFolder
from siamese_lab.runs.influences import influences_file, write_influences
from siamese_lab.runs.metrics_file import write_classes, write_metrics
from siamese_lab.runs.seal import is_sealed, log_opening
from siamese_lab.runs.untrained import untrained_folder
from siamese_lab.statistics.influence import Figure
from siamese_lab.structures.embedded_set import EmbeddedSet
from siamese_lab.tensorboard.hparams import write_columns
from siamese_lab.tensorboard.writer import write_events
from siamese_lab.training.assemble import Experiment
from siamese_lab.training.throughput import Throughput
from siamese_lab.training.untrained import untrained_figures
from siamese_lab.training.validation import Validation


def finish_run(
    cfg: DictConfig, folder: RunFolder, experiment: Experiment, validation: Validation, throughput: Throughput
) -> dict[str, Figure]:
    """Evaluates the best epoch and writes all that a finished run has.

    Validation is always evaluated, the test part unless the run belongs to a study.

    Args:
        cfg: the run's.
        folder: the run's.
        experiment: everything built; the module gets the weights of the best epoch.
        validation: what was seen on the way.
        throughput: how fast it went.

    Returns:
        The figures of the part that the run shows, named "<protocol>/<figure>".
    """
    size, samples, protocols = cfg.evaluation.batch_size, experiment.samples, experiment.protocols
    seconds, best = throughput.elapsed, validation.best
    checkpoint = folder.path / "checkpoints" / (BEST if best is not None else LAST)
    epoch = restore(experiment.module, checkpoint, experiment.module.device)
    twin = experiment.module.evaluated
    sealed = is_sealed(folder)
    part: Literal["val", "test"] = "val" if sealed else "test"
    ids: dict[str, Tensor] = {name: samples.ids(name) for name in dict.fromkeys(("val", part))}
    seen: dict[str, EmbeddedSet] = {}
    if validation.seen is not None:  # embedded by the best epoch's weights in this process
        seen["val"] = replace(validation.seen, distance=twin.distance)
    unseen = {name: rows for name, rows in ids.items() if len(rows) and name not in seen}
    seen |= {name: embed_part(twin, samples, rows, size) for name, rows in unseen.items()}
    chosen = choose(twin, samples, protocols, size, seen=seen.get("val"))
    if not sealed:
        log_opening(folder.path.parent, [folder.run_id], "the run itself")
    figures = {name: evaluate_part(twin, samples, name, protocols, chosen, size, seen=seen.get(name)) for name in ids}
    curves = {name: error_curves(protocols, one) for name, one in seen.items()}
    for name, found in figures.items():
        write_influences(influences_file(folder.path, name), found)
    for name, drawn in curves.items():
        write_curves(curves_file(folder.path, name), {protocol: thin_curve(curve) for protocol, curve in drawn.items()})
    names = [samples.classes[label] for label in torch.unique(samples.labels[experiment.ids]).tolist()]
    write_classes(folder.path, names)
    shared = untrained_folder(folder.path.parent) if sealed else None
    metrics = {
        "sealed": sealed,
        "test": plain_figures(figures.get("test", {})),
        "val": plain_figures(figures["val"]),
        "untrained": plain_figures(untrained_figures(cfg, experiment, part, shared)),
        "best": best[validation.monitor] if best is not None else None,
        "chosen": chosen,
        "epoch": epoch,
        "training": {"seconds": round(seconds, 1), "steps": throughput.steps}
        | {"images_per_second": throughput.rate, "first_step": throughput.first_step},
        "history": validation.history,
        "data": {"disjoint": samples.disjoint, "fingerprint": samples.fingerprint},
    }
    write_metrics(folder.path, metrics)
    step = int(best["step"]) if best is not None else throughput.steps
    began = datetime.fromisoformat(folder.info()["started"]).timestamp()
    shown, confused = seen.get(part), confusions(twin, samples, part, protocols, size, seen.get(part))
    drawn = curves.get(part, {})
    evaluated = EvaluatedPart(part, figures[part], chosen, shown, samples, ids[part], drawn, confused)
    write_events(folder.path, cfg, evaluated, best or {}, step=step, began=began)
    write_columns(folder.path.parent)
    return figures[part]
