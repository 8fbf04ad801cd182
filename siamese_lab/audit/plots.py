"""Plots of a label audit: thumbnails of images that are confused or duplicated, side by side."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from siamese_lab.audit.label_noise import DuplicatePairs, LabelAudit
from siamese_lab.plots._style import LIGHT, TICK, TINY, new_figure
from siamese_lab.plots.contact_sheet import COLUMNS, short_name
from siamese_lab.plots.thumbnails import thumbnails

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GAP = 2  # pixels between two thumbnails


def draw_suspects(audit: LabelAudit, top: int) -> "Figure | None":
    """The most suspicious images, each beside a typical image of its label and its nearest image of another label.

    None where nothing is known.

    Args:
        audit: from `label_noise.audit_labels`.
        top: this many at most.
    """
    n = min(top, len(audit.nearest), int((audit.suspicion >= 0).sum()))
    places, others = audit.order[:n], audit.nearest[:n]
    images = [audit.samples.gather(audit.ids[some]) for some in (places, audit.typical[audit.labels[places]], others)]
    shares = (100 * audit.suspicion[places]).tolist()
    words = [
        f"{rank}: labelled {short_name(audit.file_and_class(place)[1])}\nlike {short_name(audit.names[like])}\n"
        f"suspicion {share:.0f} %"
        for rank, (place, like, share) in enumerate(
            zip(places.tolist(), audit.resembles[:n].tolist(), shares, strict=True), 1
        )
    ]
    return _strips(
        images, words, "Likely wrong labels: the image | the most typical of its label | the nearest of another label"
    )


def draw_duplicates(audit: LabelAudit, top: int) -> "Figure | None":
    """The likely duplicates with the nearest embeddings; None where there are none.

    Args:
        audit: from `label_noise.audit_labels`.
        top: this many pairs at most.
    """
    pairs = DuplicatePairs(*(column[:top] for column in audit.duplicates))
    words = []
    for rank, (a, b, distance, grey) in enumerate(zip(*(column.tolist() for column in pairs), strict=True), 1):
        one, other = audit.file_and_class(a)[1], audit.file_and_class(b)[1]
        second = "the same label" if one == other else short_name(other)
        words.append(f"{rank}: {short_name(one)}\n{second}\n{100 * distance:.1f} % apart, {grey:.1f} grey levels")
    images = [audit.samples.gather(audit.ids[some]) for some in (pairs.left, pairs.right)]
    return _strips(
        images,
        words,
        "Likely duplicates: distance in % of the median one\nto the nearest image, mean difference of the pixels",
    )


def _strips(images: Sequence[Tensor], words: Sequence[str], title: str) -> "Figure | None":
    """One strip for each image of each of `images`, all (n, C, H, W), under its words."""
    if not words:
        return None
    shown = [F.pad(thumbnails(some), (GAP, GAP), value=255) for some in images]  # (n, 3, h, w + 2 GAP)
    rows, columns = math.ceil(len(words) / COLUMNS), min(COLUMNS, len(words))
    height, width = shown[0].shape[2], sum(some.shape[3] for some in shown)
    size = (2.6 * max(columns, 2), 0.7 + rows * (0.65 + 2.4 * height / width))
    figure = new_figure(*size, title, title_size=TICK)
    for place, text in enumerate(words):
        axes = figure.add_subplot(rows, columns, place + 1)
        axes.imshow(torch.cat([some[place] for some in shown], 2).permute(1, 2, 0).numpy(), interpolation="nearest")
        axes.set_title(text, fontsize=TINY, color=LIGHT.ink, parse_math=False, loc="left")
        axes.set_axis_off()
    return figure
