"""What a finished run shows in TensorBoard. Event files are a view: nothing reads them back."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf

from siamese_lab.metrics.evaluated_part import EvaluatedPart
from siamese_lab.metrics.roc import Curves
from siamese_lab.plots._style import pixels
from siamese_lab.plots.confusion import confusion_plots
from siamese_lab.plots.hard_pairs import hard_pair_plots
from siamese_lab.plots.verification import det_plot, distance_histograms, roc_plot
from siamese_lab.structures.contracts import Distance
from siamese_lab.tensorboard import hparams
from siamese_lab.tensorboard.event_files import complete_file, without_tensorflow
from siamese_lab.tensorboard.projector import write_projector

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

PR_POINTS = 127  # what the precision-recall tab takes


def write_events(
    path: Path, cfg: DictConfig, evaluated: EvaluatedPart, best: Mapping[str, float], *, step: int, began: float
) -> None:
    """Adds to the run's event files: figures, hyperparameters, the config, the plots of verification, the projector.

    Tags: `best/<protocol>/<figure>` (validation, at the epoch that was chosen), `test/<protocol>/<figure>` unless the
    test part is sealed; under `<part>/<protocol>/` of a protocol that has curves the plots `distances`, `roc` and
    `det`, the histograms `distances/same` and `distances/different`, and the curve `precision_recall`, whose threshold
    t is the distance (1 - t) x the largest one; of one that recognises the plots `matrix` and `confusions`; and
    `<part>/pairs/farthest_same` and `<part>/pairs/nearest_different`.

    Args:
        path: the run folder.
        cfg: from `config.compose`.
        evaluated: the part that is shown; without embeddings there are no plots.
        best: the validation figures at the chosen epoch, named "val/<protocol>/<figure>"; other keys are passed over.
        step: optimizer steps behind the weights that were evaluated.
        began: time.time() at the start of the run.
    """
    without_tensorflow()
    # here: TensorBoard takes long to import
    from torch.utils.tensorboard import SummaryWriter

    with complete_file(path, "*.board"), SummaryWriter(str(path), filename_suffix=".board") as writer:
        shown = {name.replace("val/", "best/", 1): value for name, value in best.items() if name.startswith("val/")}
        if evaluated.part == "test":
            shown |= {f"test/{name}": figure.value for name, figure in evaluated.figures.items()}
        for tag, value in shown.items():
            writer.add_scalar(tag, value, step)
        writer.file_writer.add_summary(hparams.start_summary(hparams.hyperparameters(cfg), _line(path, cfg), began))
        writer.file_writer.add_summary(hparams.end_summary("ok", time.time()))
        text = OmegaConf.to_yaml(cfg, resolve=True)
        writer.add_text("config", "    " + text.replace("\n", "\n    "), step)  # indented, it is shown as it stands
        _add_plots(writer, path, evaluated, step)


def _line(path: Path, cfg: DictConfig) -> str:
    """What the run's line in HPARAMS is called; the id keeps runs of one name on lines of their own."""
    return path.name if cfg.get("name") is None else f"{cfg.name} {path.name}"


def _add_plots(writer: "SummaryWriter", path: Path, evaluated: EvaluatedPart, step: int) -> None:
    """All that needs the embeddings of the part, its images, or both."""
    embedded, samples, ids, part = evaluated.embedded, evaluated.samples, evaluated.ids, evaluated.part
    if embedded is None:
        return
    for protocol in evaluated.curves:
        _add_verification(writer, evaluated, embedded.distance, protocol, step)
    if samples is None:
        return
    for name, trials in evaluated.confusions.items():
        _add_images(writer, f"{part}/{name}", confusion_plots(trials, samples, f"{name}, {evaluated.title}"), step)
    if ids is not None:
        _add_images(
            writer, f"{part}/pairs", hard_pair_plots(embedded, samples, ids, evaluated.threshold, evaluated.title), step
        )
        write_projector(path, embedded, samples, ids, "test" if part == "test" else "validation")


def _add_images(writer: "SummaryWriter", prefix: str, images: Mapping[str, NDArray[np.uint8]], step: int) -> None:
    for name, image in images.items():
        writer.add_image(f"{prefix}/{name}", image, step, dataformats="HWC")


def _add_verification(
    writer: "SummaryWriter", evaluated: EvaluatedPart, distance: Distance, protocol: str, step: int
) -> None:
    curves, prefix = evaluated.curves[protocol], f"{evaluated.part}/{protocol}"
    threshold, titles = evaluated.chosen.get(protocol, {}).get("threshold"), _titles(evaluated, protocol)
    figures = {
        "distances": distance_histograms(curves, distance, threshold, titles[0]),
        "roc": roc_plot(curves, threshold, titles[1]),
        "det": det_plot(curves, threshold, titles[2]),
    }
    _add_images(writer, prefix, {name: pixels(figure) for name, figure in figures.items()}, step)
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


def precision_recall(
    curves: Curves, points: int = PR_POINTS
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """tp, fp, tn, fn, precision, recall, each (points,), at evenly spaced distances from the largest down to 0.

    Precision depends on how many different pairs there are to one same pair; it is 1 where nothing is accepted.
    """
    place = np.searchsorted(curves.threshold, np.linspace(curves.threshold[-1], 0, points), side="right") - 1
    tp, fp = (np.where(place >= 0, counts[place], 0) for counts in (curves.true_accepts, curves.false_accepts))
    accepted = tp + fp
    precision = np.where(accepted > 0, tp / np.maximum(accepted, 1), 1.0)
    return tp, fp, curves.different_total - fp, curves.same_total - tp, precision, tp / curves.same_total


def _titles(evaluated: EvaluatedPart, protocol: str) -> tuple[str, str, str]:
    """Titles of the three plots, with the figures they show."""
    eer, auc = (evaluated.figures.get(f"{protocol}/{name}") for name in ("eer", "auc"))
    error = f", equal error rate {100 * eer.value:.2f} %" if eer else ""
    area = f", area under the curve {100 * auc.value:.2f} %" if auc else ""
    part = evaluated.title
    return (
        f"Distances in the {part}{error}",
        f"Verification on the {part}{area}",
        f"Error trade-off on the {part}{error}",
    )
