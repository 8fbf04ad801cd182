"""`curves_val.npz` and `curves_test.npz`: the error curves of verification, from which `compare` draws DET curves."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from siamese_lab.runs.npz_file import open_npz, write_npz

POINTS = 500
FIELDS = ("threshold", "far", "frr")


@dataclass(frozen=True, eq=False)
class Curve:
    """A detection error trade-off.

    Args:
        threshold: (T,) distances, ascending: a pair at or below is accepted. T <= 500.
        far: (T,) share of the different-label pairs accepted.
        frr: (T,) share of the same-label pairs refused.
        different_total, same_total: pairs.
    """

    threshold: NDArray[np.float64]
    far: NDArray[np.float64]
    frr: NDArray[np.float64]
    different_total: int
    same_total: int


def curves_file(run: Path, part: str) -> Path:
    """The file of the curves of a part, "val" or "test"."""
    return run / f"curves_{part}.npz"


def subsample_curve(
    threshold: ArrayLike, far: ArrayLike, tar: ArrayLike, different_total: int, same_total: int
) -> Curve:
    """A curve reduced to at most 500 points at even steps, both ends among them."""
    columns = [np.asarray(threshold, np.float64), np.asarray(far, np.float64), 1 - np.asarray(tar, np.float64)]
    kept = np.unique(np.linspace(0, len(columns[0]) - 1, min(POINTS, len(columns[0]))).round().astype(np.int64))
    distances, accepted, refused = (column[kept] for column in columns)
    return Curve(distances, accepted, refused, different_total, same_total)


def write_curves(path: Path, found: Mapping[str, Curve]) -> None:
    """Writes the curves of a run, by protocol.

    Args:
        path: from `curves_file`.
        found: {protocol: its curve}; may be empty.
    """
    arrays: dict[str, NDArray[np.float64]] = {}
    for protocol, curve in found.items():
        arrays |= {f"{protocol}@{field}": vars(curve)[field] for field in FIELDS}
        arrays[f"{protocol}@totals"] = np.array([curve.different_total, curve.same_total], dtype=np.float64)
    write_npz(path, arrays)


def read_curves(path: Path, protocol: str) -> Curve | None:
    """The curve of a protocol; None where it has none.

    Args:
        path: from `curves_file`.
        protocol: its name.

    Raises:
        LabError: if the file is missing or broken.
    """
    with open_npz(path) as arrays:
        if f"{protocol}@totals" not in arrays.files:
            return None
        columns = [arrays[f"{protocol}@{field}"] for field in FIELDS]
        different, same = (int(total) for total in arrays[f"{protocol}@totals"])
        shape = columns[0].shape
        if len(shape) != 1 or any(column.dtype != np.float64 or column.shape != shape for column in columns):
            raise ValueError("other arrays than siamese-lab writes")
        if not all(np.isfinite(column).all() for column in columns[1:]):
            raise ValueError("rates that are not finite")
        return Curve(columns[0], columns[1], columns[2], different, same)
