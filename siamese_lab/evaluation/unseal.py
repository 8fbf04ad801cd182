"""Evaluates the sealed test part of finished runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from siamese_lab.core.files import write_json
from siamese_lab.runs.folder import RunFolder
from siamese_lab.runs.influences import influences_file, write_influences
from siamese_lab.runs.seal import log_opening


def open_test_part(folders: Sequence[RunFolder], command: str) -> None:
    """Evaluates the test part of runs whose test figures are not known, from their checkpoints, and adds the figures to
    their metrics.json.

    Thresholds stay those that each run chose on validation.

    Args:
        folders: finished runs; those that have test figures already are left as they are.
        command: that asks for it, for the log.

    Raises:
        LabError: if a run is not finished, has no checkpoint, or its data are no longer those it was trained on.
    """
    from dataclasses import asdict

    from siamese_lab.config.compose import EVALUATED, read_config
    from siamese_lab.config.instantiate import build
    from siamese_lab.core.errors import LabError
    from siamese_lab.data.load import load_data
    from siamese_lab.evaluation.evaluator import embed_part, evaluate_part
    from siamese_lab.evaluation.records import error_curves, thin_curve
    from siamese_lab.model.build_twin import load_twin
    from siamese_lab.model.device import decide_device
    from siamese_lab.runs.error_curves import curves_file, write_curves
    from siamese_lab.structures.samples import Samples

    known = {folder: folder.metrics() for folder in folders}
    shut = [folder for folder in folders if known[folder].get("sealed")]
    for study in {folder.path.parent for folder in shut}:
        log_opening(study, [folder.run_id for folder in shut if folder.path.parent == study], command)
    loaded: dict[str, Samples] = {}
    for folder in shut:
        metrics, cfg = known[folder], read_config(folder.path / "config.yaml", EVALUATED)
        key = str(cfg.data)
        samples = loaded[key] if key in loaded else loaded.setdefault(key, load_data(cfg, trusted=False))
        if samples.fingerprint != metrics["data"]["fingerprint"]:
            raise LabError(
                f"the data have changed since the run {folder.path} was trained: put them back, or train the study anew"
            )
        twin = load_twin(folder, cfg).to(decide_device(cfg, "auto").device)
        protocols = {str(name): build(node, trusted=False) for name, node in cfg.protocol.items()}
        size, ids = cfg.evaluation.batch_size, samples.ids("test")
        seen = embed_part(twin, samples, ids, size) if len(ids) else None
        figures = evaluate_part(twin, samples, "test", protocols, metrics["chosen"], size, seen=seen)
        drawn = error_curves(protocols, seen) if seen is not None else {}
        write_curves(curves_file(folder.path, "test"), {name: thin_curve(curve) for name, curve in drawn.items()})
        write_influences(influences_file(folder.path, "test"), figures)
        test: Mapping[str, Any] = {
            name: {k: v for k, v in asdict(f).items() if k != "influence"} for name, f in figures.items()
        }
        write_json(folder.path / "metrics.json", metrics | {"test": test, "sealed": False})
