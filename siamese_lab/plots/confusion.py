"""Plots of one-shot recognition: a confusion matrix of classes or groups, and the most frequent confusions."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from siamese_lab.metrics.recognition import Confusion
from siamese_lab.plots._style import LABEL, LIGHT, SHADES, SMALL, TINY, new_figure, pixels
from siamese_lab.plots.contact_sheet import contact_sheet, short_name
from siamese_lab.structures.samples import Samples

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 40  # classes, or groups, whose matrix can be read
TOP = 24  # confusions shown with their images


def confusion_plots(found: Confusion, samples: Samples, title: str) -> dict[str, NDArray[np.uint8]]:
    """Plots as uint8 (H, W, 3), those that there is something to show in.

    - `matrix`: of the classes, or of their groups where the classes are too many.
    - `confusions`: the most frequent ones, with images.

    Args:
        found: the trials.
        samples: where their images and names are.
        title: which protocol, on which part.
    """
    plots = {}
    labels = samples.labels[found.query_ids], samples.labels[found.answer_ids]
    for kind, (codes, names) in {"classes": (samples.labels, samples.classes), **samples.groups}.items():
        asked, taken = codes[found.query_ids], codes[found.answer_ids]
        present = torch.cat([asked, taken]).unique()
        if 2 <= len(present) <= MOST and (kind == "classes" or bool((asked != taken).any())):
            rows, columns = (torch.searchsorted(present, some) for some in (asked, taken))
            shares = confusion_shares(rows, columns, len(present))
            heading = f"{title}: what each {'class' if kind == 'classes' else kind} is taken for"
            plots["matrix"] = pixels(_matrix_plot(shares, [names[code] for code in present.tolist()], heading))
            break
    some = frequent_confusions(*labels, found.wrong)
    if len(some):
        asked_for = torch.bincount(labels[0])
        images = [samples.gather(ids[some[:, 0]]) for ids in (found.query_ids, found.answer_ids)]
        words = [
            f"{short_name(samples.classes[labels[0][first]])}\n"
            f"taken for {short_name(samples.classes[labels[1][first]])}\n"
            f"{times} of its {int(asked_for[labels[0][first]]):,} trials"
            for first, times in some.tolist()
        ]
        trials = f"{int(found.wrong.sum()):,} of {len(found.wrong):,} trials are wrong"
        heading = f"{title}: the most frequent confusions, query | taken for. {trials}"
        plots["confusions"] = contact_sheet(images, words, heading)
    return plots


def frequent_confusions(asked: Tensor, taken: Tensor, wrong: Tensor, top: int = TOP) -> Tensor:
    """The pairs of classes that are confused most often, most frequent first.

    Returns (n, 2) int64: the first such trial, and their number.

    Args:
        asked: (T,) the class of the query.
        taken: (T,) the class it was taken for.
        wrong: (T,) bool.
        top: this many at most.
    """
    trials = wrong.nonzero().flatten()
    key = asked[trials] * (int(taken.max()) + 1 if len(taken) else 1) + taken[trials]
    values, inverse, counts = key.unique(return_inverse=True, return_counts=True)
    first = torch.full_like(values, len(wrong)).scatter_reduce(0, inverse, trials, "amin")
    order = counts.argsort(descending=True, stable=True)[:top]
    return torch.stack([first[order], counts[order]], 1)


def confusion_shares(asked: Tensor, taken: Tensor, classes: int) -> NDArray[np.float64]:
    """Shares (C, C) in [0, 1] of the trials of a row's class that were taken for the column's class.

    A row adds up to 1; it is NaN where its class has no trial.

    Args:
        asked: (T,) codes below `classes`.
        taken: (T,) likewise.
        classes: C.
    """
    counts = torch.bincount(asked * classes + taken, minlength=classes**2).view(classes, classes).double()
    return (counts / counts.sum(1, keepdim=True)).numpy()


def _matrix_plot(shares: NDArray[np.float64], names: list[str], title: str) -> "Figure":
    n = len(names)
    side = 3.2 + 0.17 * max(n, 6)
    figure = new_figure(side + 0.8, side)
    axes = figure.add_subplot()
    off = np.where(np.eye(n, dtype=bool), 0, np.nan_to_num(shares))
    shown = axes.imshow(100 * shares, cmap=SHADES, vmin=0, vmax=max(100 * float(off.max()), 1.0), aspect="equal")
    axes.set_xticks(range(n), [short_name(name) for name in names], rotation=90, fontsize=TINY, parse_math=False)
    axes.set_yticks(range(n), [short_name(name) for name in names], fontsize=TINY, parse_math=False)
    axes.set_xlabel("taken for", fontsize=LABEL)
    axes.set_ylabel("asked", fontsize=LABEL)
    axes.set_title(title, fontsize=LABEL, color=LIGHT.ink, parse_math=False)
    if n <= 12:
        for (row, column), share in np.ndenumerate(shares):
            dark = row == column or share > 0.6 * off.max()
            if np.isfinite(share):
                text = axes.text(column, row, f"{100 * share:.1f}", ha="center", va="center", fontsize=SMALL)
                text.set_color(LIGHT.paper if dark else LIGHT.ink)
    # the scale ends at the largest confusion: one up to 100 % would show the diagonal alone
    figure.colorbar(shown, ax=axes, shrink=0.8, extend="max", label="% of the trials of a row")
    return figure
