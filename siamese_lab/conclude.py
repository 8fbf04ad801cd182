"""The end of a run: its best epoch is judged, and everything that a finished run has is written."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, Literal

from omegaconf import DictConfig
from torch import Tensor

from siamese_lab import board, confusion, curves, files, influences, judging, opening, untrained
from siamese_lab.assembly import Lab
from siamese_lab.board_hparams import write_columns
from siamese_lab.callbacks.speed import Speed
from siamese_lab.callbacks.validation import Validation
from siamese_lab.checkpoint import BEST, LAST, restore
from siamese_lab.protocols.judged import Judged
from siamese_lab.protocols.roc import Curves
from siamese_lab.runs import RunFolder
from siamese_lab.stats import Figure


def conclude(cfg: DictConfig, folder: RunFolder, lab: Lab, validation: Validation, speed: Speed) -> dict[str, Figure]:
    """Judges the best epoch on validation and, unless the run belongs to a study, on the test part; writes all of it.

    Args:
        cfg: the run's.
        folder: the run's.
        lab: everything built; the module gets the weights of the best epoch.
        validation: what was seen on the way.
        speed: how fast it went.

    Returns:
        The figures of the part that the run shows, named "<protocol>/<figure>".
    """
    size, samples, protocols = cfg.evaluation.batch_size, lab.samples, lab.protocols
    seconds, best = speed.elapsed, validation.best
    epoch = restore(lab.module, folder.path / "checkpoints" / (BEST if best is not None else LAST))
    sealed = opening.sealed(folder)
    part: Literal["val", "test"] = "val" if sealed else "test"
    ids: dict[str, Tensor] = {name: samples.ids(name) for name in dict.fromkeys(("val", part))}
    seen = _kept(lab, validation)
    seen |= {name: judging.judged(lab.module, samples, rows, size) for name, rows in ids.items() if len(rows) and name not in seen}
    chosen = judging.choose(lab.module, samples, protocols, size, seen=seen.get("val"))
    if not sealed:
        opening.note(folder.path.parent, [folder.run_id], "the run itself")
    figures = {name: judging.judge(lab.module, samples, name, protocols, chosen, size, seen=seen.get(name)) for name in ids}
    for name, found in figures.items():
        influences.write(influences.file(folder.path, name), found)
    drawn = {name: error_curves(protocols, one) for name, one in seen.items()}
    for name, by_protocol in drawn.items():
        curves.write(curves.file(folder.path, name), {protocol: curves.of(curve) for protocol, curve in by_protocol.items()})
    schema = {"schema": files.SCHEMA_VERSION}
    names = [samples.classes[label] for label in samples.labels[lab.ids].unique().tolist()]
    files.write_json(folder.path / "classes.json", schema | {"train": names})
    metrics = {
        **schema,
        "sealed": sealed,
        "test": plain(figures.get("test", {})),
        "val": plain(figures["val"]),
        "untrained": plain(untrained.figures(cfg, lab, part, folder.path.parent / "untrained" if sealed else None)),
        "best": best[validation.monitor] if best is not None else None,
        "chosen": chosen,
        "epoch": epoch,
        "training": {
            "seconds": round(seconds, 1),
            "steps": speed.steps,
            "images_per_second": speed.rate,
            "first_step": speed.first_step,
        },
        "history": validation.history,
        "data": {"disjoint": samples.disjoint, "fingerprint": samples.fingerprint},
    }
    files.write_json(folder.path / "metrics.json", metrics)
    step = int(best["step"]) if best is not None else speed.steps
    began = datetime.fromisoformat(folder.info()["started"]).timestamp()
    board.write(
        folder.path,
        cfg,
        figures[part],
        best or {},
        protocols,
        chosen,
        step=step,
        began=began,
        seen=seen.get(part),
        samples=samples,
        ids=ids[part],
        part=part,
        drawn=drawn.get(part, {}),
        confused=confusion.of(lab.module, samples, part, protocols, size, seen.get(part)),
    )
    write_columns(folder.path.parent)
    return figures[part]


def error_curves(protocols: Mapping[str, Any], seen: Judged) -> dict[str, Curves]:
    """The curves of the protocols that have them."""
    return {name: protocol.curves(seen) for name, protocol in protocols.items() if hasattr(protocol, "curves")}


def plain(figures: dict[str, Figure]) -> dict[str, dict[str, Any]]:
    """Figures as metrics.json holds them: without their influences."""
    return {name: {key: value for key, value in asdict(figure).items() if key != "influence"} for name, figure in figures.items()}


def _kept(lab: Lab, validation: Validation) -> dict[str, Judged]:
    """The validation part, where it was embedded by the best epoch's weights in this process."""
    return {} if validation.seen is None else {"val": replace(validation.seen, distance=lab.module.encoder()["distance"])}
