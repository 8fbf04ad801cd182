"""Plots of the hardest pairs: both images, their distance, and whether the threshold gets them wrong."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from siamese_lab.metrics.hardest_pairs import ROWS, HardestPairs, find_hardest_pairs
from siamese_lab.plots.contact_sheet import contact_sheet, short_name
from siamese_lab.plots.verification import distance_name
from siamese_lab.structures.embedded_set import EmbeddedSet
from siamese_lab.structures.samples import Samples

TOP = 24  # pairs of each kind


def hard_pair_plots(
    seen: EmbeddedSet, samples: Samples, ids: Tensor, threshold: float | None, part: str
) -> dict[str, NDArray[np.uint8]]:
    """`farthest_same` and `nearest_different` as uint8 (H, W, 3), each where there are such pairs.

    Args:
        seen: the embeddings (N, D).
        samples: where the images are.
        ids: (N,) the sample behind each embedding.
        threshold: the accepted distance, where one was chosen; pairs on its wrong side are in the colour of errors.
        part: "test part" or "validation part".
    """
    same, different = find_hardest_pairs(seen, TOP)
    measured = distance_name(seen.distance)
    limit = "" if threshold is None else f"; accepted up to {threshold:.3g}"
    some = f" (of some {ROWS:,} images)" if len(seen.z) > ROWS else ""
    titles = {
        "farthest_same": (same, f"Same identity, farthest apart, {part}{some}: {measured}{limit}"),
        "nearest_different": (different, f"Different identities, nearest, {part}{some}: {measured}{limit}"),
    }
    return {
        kind: _draw_pairs(pairs, kind, seen, samples, ids, threshold, title)
        for kind, (pairs, title) in titles.items()
        if len(pairs.left)
    }


def _draw_pairs(
    pairs: HardestPairs,
    kind: str,
    seen: EmbeddedSet,
    samples: Samples,
    ids: Tensor,
    threshold: float | None,
    title: str,
) -> NDArray[np.uint8]:
    labels = seen.labels.cpu()
    texts, wrong = [], []
    for a, b, d in zip(*(column.tolist() for column in pairs), strict=True):
        names = [short_name(seen.classes[int(labels[row])]) for row in ((a,) if kind == "farthest_same" else (a, b))]
        accepted = threshold is not None and d <= threshold
        verdict = "" if threshold is None else ", accepted" if accepted else ", refused"
        texts.append("\n".join([f"{d:.3g}{verdict}", *names]))
        wrong.append(threshold is not None and accepted != (kind == "farthest_same"))
    return contact_sheet([samples.gather(ids[rows]) for rows in (pairs.left, pairs.right)], texts, title, wrong)
