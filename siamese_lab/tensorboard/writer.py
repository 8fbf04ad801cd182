"""What a finished run shows in TensorBoard. Event files are a view: nothing reads them back."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from siamese_lab.metrics.recognition import Confusion
from siamese_lab.metrics.roc import Curves
from siamese_lab.plots import verification as plots
from siamese_lab.plots.confusion import confusion_pictures
from siamese_lab.plots.hard_pairs import hard_pair_pictures
from siamese_lab.statistics.influence import Figure
from siamese_lab.structures.embedded_set import EmbeddedSet
from siamese_lab.structures.samples import Samples
from siamese_lab.tensorboard import hparams, projector
from siamese_lab.tensorboard.event_files import whole, without_tensorflow

PARTS = {"test": "test part", "val": "validation part"}
PR_POINTS = 127  # what the precision-recall tab takes


def write_events(
    path: Path,
    cfg: DictConfig,
    figures: Mapping[str, Figure],
    best: Mapping[str, float],
    protocols: Mapping[str, Any],
    chosen: Mapping[str, Mapping[str, float]],
    *,
    step: int,
    began: float,
    seen: EmbeddedSet | None = None,
    samples: Samples | None = None,
    ids: Tensor | None = None,
    part: Literal["test", "val"] = "test",
    drawn: Mapping[str, Curves] | None = None,
    confused: Mapping[str, Confusion] | None = None,
) -> None:
    """Adds to the run's event files: figures, hyperparameters, the config, the pictures of verification, the projector.

    Tags: `best/<protocol>/<figure>` (validation, at the epoch that was chosen), `test/<protocol>/<figure>` unless the
    test part is sealed; under `<part>/<protocol>/` of a protocol that has curves the pictures `distances`, `roc` and
    `det`, the histograms `distances/same` and `distances/different`, and the curve `precision_recall`, whose threshold
    t is the distance (1 - t) x the largest one; of one that recognises the pictures `matrix` and `confusions`; and
    `<part>/pairs/farthest_same` and `<part>/pairs/nearest_different`.

    Args:
        path: the run folder.
        cfg: from `config.compose`.
        figures: of the part that is shown, named "<protocol>/<figure>".
        best: the validation figures at the chosen epoch, named "val/<protocol>/<figure>"; other keys are passed over.
        protocols: by name.
        chosen: by protocol, on validation.
        step: optimizer steps behind the weights that were evaluated.
        began: time.time() at the start of the run.
        seen: the evaluated part; None where there is none: no pictures then.
        samples: where its images are, for the projector.
        ids: (N,) the sample behind each row of `seen`.
        part: which one is shown.
        drawn: the curves of the protocols that have them, where they are there already.
        confused: what the protocols that recognise took for what, from `confusion.of`.
    """
    without_tensorflow()
    from torch.utils.tensorboard import SummaryWriter

    with whole(path, "*.board"), SummaryWriter(str(path), filename_suffix=".board") as writer:
        shown = {name.replace("val/", "best/", 1): value for name, value in best.items() if name.startswith("val/")}
        if part == "test":
            shown |= {f"test/{name}": figure.value for name, figure in figures.items()}
        for tag, value in shown.items():
            writer.add_scalar(tag, value, step)
        writer.file_writer.add_summary(hparams.started(hparams.hyperparameters(cfg), _line(path, cfg), began))
        writer.file_writer.add_summary(hparams.ended("ok", time.time()))
        text = OmegaConf.to_yaml(cfg, resolve=True)
        writer.add_text("config", "    " + text.replace("\n", "\n    "), step)  # indented, it is shown as it stands
        if seen is None:
            return
        if drawn is None:
            drawn = {name: protocol.curves(seen) for name, protocol in protocols.items() if hasattr(protocol, "curves")}
        for name, curve in drawn.items():
            threshold = chosen.get(name, {}).get("threshold")
            _verification(writer, f"{part}/{name}", curve, seen, threshold, _title(name, figures, PARTS[part]), step)
        if samples is None:
            return
        for name, trials in (confused or {}).items():
            _add(writer, f"{part}/{name}", confusion_pictures(trials, samples, f"{name}, {PARTS[part]}"), step)
        if ids is not None:
            threshold = next((values["threshold"] for values in chosen.values() if "threshold" in values), None)
            _add(writer, f"{part}/pairs", hard_pair_pictures(seen, samples, ids, threshold, PARTS[part]), step)
            projector.write_projector(path, seen, samples, ids, "test" if part == "test" else "validation")


def _line(path: Path, cfg: DictConfig) -> str:
    """What the run's line in HPARAMS is called; the id keeps runs of one name on lines of their own."""
    return path.name if cfg.get("name") is None else f"{cfg.name} {path.name}"


def _add(writer: Any, prefix: str, pictures: Mapping[str, np.ndarray], step: int) -> None:
    for name, picture in pictures.items():
        writer.add_image(f"{prefix}/{name}", picture, step, dataformats="HWC")


def _verification(
    writer: Any,
    prefix: str,
    curves: Curves,
    seen: EmbeddedSet,
    threshold: float | None,
    titles: tuple[str, ...],
    step: int,
) -> None:
    pictures = {
        "distances": plots.distances(curves, seen.distance, threshold, titles[0]),
        "roc": plots.roc(curves, threshold, titles[1]),
        "det": plots.det(curves, threshold, titles[2]),
    }
    _add(writer, prefix, {name: plots.pixels(picture) for name, picture in pictures.items()}, step)
    kinds = {
        "same": (curves.same_histogram, curves.same_total),
        "different": (curves.different_histogram, curves.different_total),
    }
    middles = (curves.bins[1:] + curves.bins[:-1]) / 2
    for name, (counts, total) in kinds.items():
        low, high = curves.bins[:-1][counts > 0].min(), curves.bins[1:][counts > 0].max()
        sums = float((counts * middles).sum()), float((counts * middles**2).sum())
        writer.add_histogram_raw(
            f"{prefix}/distances/{name}", low, high, total, *sums, curves.bins[1:].tolist(), counts.tolist(), step
        )
    writer.add_pr_curve_raw(f"{prefix}/precision_recall", *precision_recall(curves), step, PR_POINTS)


def precision_recall(curves: Curves, points: int = PR_POINTS) -> tuple[np.ndarray, ...]:
    """tp, fp, tn, fn, precision, recall, each (points,), at evenly spaced distances from the largest down to 0.

    Precision depends on how many different pairs there are to one same pair; it is 1 where nothing is accepted.
    """
    place = np.searchsorted(curves.threshold, np.linspace(curves.threshold[-1], 0, points), side="right") - 1
    tp, fp = (np.where(place >= 0, counts[place], 0) for counts in (curves.true_accepts, curves.false_accepts))
    accepted = tp + fp
    precision = np.where(accepted > 0, tp / np.maximum(accepted, 1), 1.0)
    return tp, fp, curves.different_total - fp, curves.same_total - tp, precision, tp / curves.same_total


def _title(name: str, figures: Mapping[str, Figure], part: str) -> tuple[str, ...]:
    """Titles of the three pictures, with the figures they show."""
    eer, auc = figures.get(f"{name}/eer"), figures.get(f"{name}/auc")
    error = f", equal error rate {100 * eer.value:.2f} %" if eer else ""
    area = f", area under the curve {100 * auc.value:.2f} %" if auc else ""
    return (
        f"Distances in the {part}{error}",
        f"Verification on the {part}{area}",
        f"Error trade-off on the {part}{error}",
    )
