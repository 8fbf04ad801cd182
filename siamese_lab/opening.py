"""The sealed test part: the runs of a study compute no figure of it until somebody opens it, and every opening is logged."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from siamese_lab import files, influences
from siamese_lab.runs import RunFolder

PLAIN = "single"  # the folder of runs that belong to no study


def sealed(folder: RunFolder) -> bool:
    """Whether the run belongs to a study: its end then shows validation figures, and none of the test part."""
    return folder.study != PLAIN


def log(study: Path) -> list[dict[str, Any]]:
    """The openings of a study's folder so far, oldest first: `at`, `command`, `runs`.

    Raises:
        LabError: if the log is broken.
    """
    path = study / "openings.json"
    found: list[dict[str, Any]] = files.read_json(path).get("openings", []) if path.exists() else []
    return found


def note(study: Path, run_ids: Sequence[str], command: str) -> None:
    """Logs an opening, before anything is computed: one that fails half-way has still been one.

    Args:
        study: its folder.
        run_ids: of the runs whose test figures are computed.
        command: that asked for them.
    """
    with files.writing(study), FileLock(study / ".openings.lock"):
        entry = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "command": command, "runs": list(run_ids)}
        files.write_json(study / "openings.json", {"schema": files.SCHEMA_VERSION, "openings": [*log(study), entry]})


def open_test(folders: Sequence[RunFolder], command: str) -> None:
    """Judges the test part of runs whose test figures are not known, from their checkpoints, and adds the figures to their metrics.json.

    Thresholds stay those that each run chose on validation.

    Args:
        folders: finished runs; those that have test figures already are left as they are.
        command: that asks for it, for the log.

    Raises:
        LabError: if a run is not finished, has no checkpoint, or its data are no longer those it was trained on.
    """
    from dataclasses import asdict

    from siamese_lab import config, curves, judging
    from siamese_lab.assembly import decide, load
    from siamese_lab.batch import Samples
    from siamese_lab.binding import build
    from siamese_lab.checkpoint import trained
    from siamese_lab.conclude import error_curves
    from siamese_lab.errors import LabError

    known = {folder: folder.metrics() for folder in folders}
    shut = [folder for folder in folders if known[folder].get("sealed")]
    for study in {folder.path.parent for folder in shut}:
        note(study, [folder.run_id for folder in shut if folder.path.parent == study], command)
    loaded: dict[str, Samples] = {}
    for folder in shut:
        metrics, cfg = known[folder], config.read(folder.path / "config.yaml")
        key = str(cfg.data)
        samples = loaded[key] if key in loaded else loaded.setdefault(key, load(cfg, trusted=False))
        if samples.fingerprint != metrics["data"]["fingerprint"]:
            raise LabError(f"the data have changed since the run {folder.path} was trained: put them back, or train the study anew")
        module = trained(folder, cfg).to(decide(cfg, "auto").device)
        protocols = {str(name): build(node, trusted=False) for name, node in cfg.protocol.items()}
        size, ids = cfg.evaluation.batch_size, samples.ids("test")
        seen = judging.judged(module, samples, ids, size) if len(ids) else None
        figures = judging.judge(module, samples, "test", protocols, metrics["chosen"], size, seen=seen)
        drawn = error_curves(protocols, seen) if seen is not None else {}
        curves.write(curves.file(folder.path, "test"), {name: curves.of(curve) for name, curve in drawn.items()})
        influences.write(influences.file(folder.path, "test"), figures)
        test: Mapping[str, Any] = {name: {k: v for k, v in asdict(f).items() if k != "influence"} for name, f in figures.items()}
        files.write_json(folder.path / "metrics.json", metrics | {"test": test, "sealed": False})
