"""The influences behind a run's figures, in its folder: `influences_val.npz` and `influences_test.npz`.

Arrays rather than JSON, so that `compare` reads one figure of 1,000 runs in a second.
"""

import io
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from siamese_lab.core.errors import LabError
from siamese_lab.core.files import write_bytes
from siamese_lab.statistics.influence import Figure


def influences_file(run: Path, part: str) -> Path:
    """Where a run folder keeps those of a part, "val" or "test"."""
    return run / f"influences_{part}.npz"


def write_influences(path: Path, figures: Mapping[str, Figure]) -> None:
    """Writes the influences of all figures; identities that several figures share are written once.

    Args:
        path: see `file`.
        figures: by name, "<protocol>/<figure>"; one without influences gets none.
    """
    arrays: dict[str, np.ndarray] = {}
    known: dict[tuple[str, ...], int] = {}
    for name, figure in figures.items():
        identities = tuple(figure.influence)
        if not identities:
            continue
        if identities not in known:
            known[identities] = len(known)
            arrays[f"identities@{known[identities]}"] = _text(identities)
        arrays[f"{name}@{known[identities]}"] = np.array(list(figure.influence.values()), dtype=np.float64)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type] # its stub takes `allow_pickle` for one of them
    write_bytes(path, buffer.getvalue())


def read_influences(path: Path, figure: str) -> dict[str, float]:
    """{identity: influence} of a figure; empty where it has none.

    Args:
        path: see `file`.
        figure: "<protocol>/<figure>".

    Raises:
        LabError: if the file is missing or broken.
    """
    try:
        with path.open("rb") as content, np.load(content, allow_pickle=False) as arrays:
            key = next((key for key in arrays.files if key.rpartition("@")[0] == figure), None)
            if key is None:
                return {}
            values, names = arrays[key], arrays[f"identities@{key.rpartition('@')[2]}"]
        if values.dtype != np.float64 or names.dtype != np.uint8 or values.ndim != 1:
            raise ValueError("other arrays than siamese-lab writes")
        return dict(zip(_names(names.tobytes()), values.tolist(), strict=True))
    except FileNotFoundError as error:
        raise LabError(
            f"{path} is missing: copy the run folder anew from where it was trained, or train the run anew"
        ) from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise LabError(
            f"{path} is broken ({error}): copy the run folder anew from where it was trained, or train the run anew"
        ) from error


def _text(identities: tuple[str, ...]) -> np.ndarray:
    """Names as bytes: numpy's own arrays of text drop zeros at the end and take four bytes a letter."""
    return np.frombuffer(
        "\0".join(name.replace("\0", "") for name in identities).encode("utf-8", "surrogateescape"), dtype=np.uint8
    )


@lru_cache(maxsize=64)
def _names(content: bytes) -> tuple[str, ...]:
    return tuple(content.decode("utf-8", "surrogateescape").split("\0"))
