"""Evaluates the sealed test part of finished runs."""

from collections.abc import Sequence

from siamese_lab.config.trust import LAB_ONLY, Trust
from siamese_lab.runs.folder import RunFolder
from siamese_lab.runs.influences import influences_file, write_influences
from siamese_lab.runs.metrics_file import write_metrics
from siamese_lab.runs.seal import log_opening


def open_test_part(folders: Sequence[RunFolder], command: str, trust: Trust = LAB_ONLY) -> None:
    """Evaluates the sealed test part of runs from their checkpoints, and adds the figures to their metrics.json.

    Thresholds stay those that each run chose on validation. The opening is logged before any figure is computed.

    Args:
        folders: finished runs; those that have test figures already are left as they are.
        command: the command line that asks for it, for the log.
        trust: the packages whose code the runs' configs, which may come from elsewhere, may build.

    Raises:
        LabError: if a run is not finished, has no checkpoint, or its data are no longer those it was trained on.
    """
    # these take seconds to import, which a comparison without --open-test does not pay
    from siamese_lab.config.compose import EVALUATED, read_config
    from siamese_lab.config.instantiate import build
    from siamese_lab.core.errors import LabError
    from siamese_lab.data.load import load_data
    from siamese_lab.evaluation.evaluator import embed_part, evaluate_part
    from siamese_lab.evaluation.records import error_curves, plain_figures, thin_curve
    from siamese_lab.model.build_twin import load_twin
    from siamese_lab.model.device import decide_device
    from siamese_lab.runs.error_curves import curves_file, write_curves
    from siamese_lab.structures.samples import Samples

    known = {folder: folder.metrics() for folder in folders}
    sealed = [folder for folder in folders if known[folder].get("sealed")]
    configs = {folder: read_config(folder.path / "config.yaml", EVALUATED, trust) for folder in sealed}
    loaded: dict[str, Samples] = {}
    for folder, cfg in configs.items():
        data = str(cfg.data)
        samples = loaded[data] if data in loaded else loaded.setdefault(data, load_data(cfg, trust=trust))
        if samples.fingerprint != known[folder]["data"]["fingerprint"]:
            raise LabError(
                f"the data have changed since the run {folder.path} was trained: put them back, or train the study anew"
            )
    # once it is known that the test part can be evaluated, and before any figure of it is
    for study in {folder.path.parent for folder in sealed}:
        log_opening(study, [folder.run_id for folder in sealed if folder.path.parent == study], command)
    for folder, cfg in configs.items():
        metrics, samples = known[folder], loaded[str(cfg.data)]
        twin = load_twin(folder, cfg, trust=trust).to(decide_device(cfg, "auto").device)
        protocols = {str(name): build(node, trust=trust) for name, node in cfg.protocol.items()}
        size, ids = cfg.evaluation.batch_size, samples.ids("test")
        seen = embed_part(twin, samples, ids, size) if len(ids) else None
        figures = evaluate_part(twin, samples, "test", protocols, metrics["chosen"], size, seen=seen)
        drawn = error_curves(protocols, seen) if seen is not None else {}
        write_curves(curves_file(folder.path, "test"), {name: thin_curve(curve) for name, curve in drawn.items()})
        write_influences(influences_file(folder.path, "test"), figures)
        write_metrics(folder.path, metrics | {"test": plain_figures(figures), "sealed": False})
