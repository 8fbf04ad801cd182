"""The error curve of verification in a run's folder: `curves_val.npz` and `curves_test.npz`, from which `compare` draws
DET curves.
"""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from siamese_lab.core.errors import LabError
from siamese_lab.core.files import write_bytes

if TYPE_CHECKING:
    pass

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
    """Where a run folder keeps those of a part, "val" or "test"."""
    return run / f"curves_{part}.npz"


def thinned(threshold: ArrayLike, far: ArrayLike, tar: ArrayLike, different_total: int, same_total: int) -> Curve:
    """A curve of at most 500 points from one of more, such as a `protocols.roc.Curves`: those at even steps, its ends
    among them.
    """
    columns = [
        np.asarray(column, dtype=np.float64) for column in (threshold, far, 1 - np.asarray(tar, dtype=np.float64))
    ]
    kept = np.unique(np.linspace(0, len(columns[0]) - 1, min(POINTS, len(columns[0]))).round().astype(np.int64))
    distances, accepted, refused = (column[kept] for column in columns)
    return Curve(distances, accepted, refused, different_total, same_total)


def write_curves(path: Path, found: Mapping[str, Curve]) -> None:
    """Writes the curves of a run, by protocol.

    Args:
        path: see `file`.
        found: {protocol: its curve}; may be empty.
    """
    arrays: dict[str, NDArray[np.float64]] = {}
    for protocol, curve in found.items():
        arrays |= {f"{protocol}@{field}": vars(curve)[field] for field in FIELDS}
        arrays[f"{protocol}@totals"] = np.array([curve.different_total, curve.same_total], dtype=np.float64)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type] # its stub takes `allow_pickle` for one of them
    write_bytes(path, buffer.getvalue())


def read_curves(path: Path, protocol: str) -> Curve | None:
    """The curve of a protocol; None where it has none.

    Args:
        path: see `file`.
        protocol: its name.

    Raises:
        LabError: if the file is missing or broken.
    """
    try:
        # numpy would leave a broken file open
        with (
            path.open("rb") as content,
            np.load(content, allow_pickle=False) as arrays,
        ):
            if f"{protocol}@totals" not in arrays.files:
                return None
            threshold, far, frr = columns = [arrays[f"{protocol}@{field}"] for field in FIELDS]
            different, same = (int(total) for total in arrays[f"{protocol}@totals"])
        if any(
            column.dtype != np.float64 or column.shape != columns[0].shape or column.ndim != 1 for column in columns
        ):
            raise ValueError("other arrays than siamese-lab writes")
        if not all(np.isfinite(column).all() for column in columns[1:]):
            raise ValueError("rates that are no numbers")
        return Curve(threshold, far, frr, different, same)
    except FileNotFoundError as error:
        raise LabError(
            f"{path} is missing: the run was trained by an earlier version, or its folder is not whole"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise LabError(
            f"{path} is broken ({error}): copy the run folder anew from where it was trained, or train the run anew"
        ) from error
