"""Writes a label audit as CSV files that a spreadsheet can open."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from siamese_lab.audit.label_noise import LabelAudit
from siamese_lab.core.files import write_text

FORMULA = tuple("=+-@＝＋－＠")  # first letters of a cell that a spreadsheet would evaluate
IMAGE_COLUMNS = (
    *("rank", "image", "class", "drawn", "hard_positive", "hard_negative"),
    *("suspicion_percent", "negatives_nearer_percent", "classes_nearer_percent"),
    *("resembles", "nearest_image", "nearest_class", "nearest_distance"),
)
DUPLICATE_COLUMNS = (
    *("rank", "image", "class", "other_image", "other_class"),
    *("same_class", "distance_percent", "grey_levels_apart"),
)


def write_audit(folder: Path, audit: LabelAudit, counts: Tensor) -> None:
    """Writes `ledger.csv` and `ledger_duplicates.csv`.

    Args:
        folder: of the run.
        audit: what to write.
        counts: (N, 3) how often an image was drawn, was the hardest positive and was the hardest negative of an anchor.
    """
    order = audit.order.tolist()
    shares = (
        100 * torch.stack([audit.suspicion, audit.negatives_nearer, audit.classes_nearer], 1)[audit.order]
    ).tolist()
    ordered = counts[audit.order].tolist()
    found: list[tuple[object, ...]] = [
        (audit.names[like], *audit.file_and_class(near), float(f"{distance:.4g}"))
        for like, near, distance in zip(
            audit.resembles.tolist(), audit.nearest.tolist(), audit.distance.tolist(), strict=True
        )
    ]
    found += [("", "", "", "")] * (len(order) - len(found))
    rows = (
        (rank, *audit.file_and_class(place), *count, *(round(share, 2) if share >= 0 else "" for share in some), *near)
        for rank, (place, count, some, near) in enumerate(zip(order, ordered, shares, found, strict=True), 1)
    )
    write_text(folder / "ledger.csv", csv_text(IMAGE_COLUMNS, rows))
    pairs = enumerate(zip(*(column.tolist() for column in audit.duplicates), strict=True), 1)
    alike = (audit.labels[audit.duplicates.left] == audit.labels[audit.duplicates.right]).tolist()
    lines = (
        (
            rank,
            *audit.file_and_class(a),
            *audit.file_and_class(b),
            "yes" if alike[rank - 1] else "no",
            round(100 * distance, 2),
            round(grey, 2),
        )
        for rank, (a, b, distance, grey) in pairs
    )
    write_text(folder / "ledger_duplicates.csv", csv_text(DUPLICATE_COLUMNS, lines))


def csv_text(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Rows as CSV. A text that a spreadsheet would evaluate as a formula gets an apostrophe before it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows(
        [f"'{cell}" if isinstance(cell, str) and cell.lstrip().startswith(FORMULA) else cell for cell in row]
        for row in rows
    )
    return text.getvalue()
