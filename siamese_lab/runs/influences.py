"""`influences_val.npz` and `influences_test.npz`: the influences behind a run's figures.

Arrays rather than JSON, so that `compare` reads one figure of 1,000 runs in a second.
"""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from siamese_lab.runs.npz_file import open_npz, write_npz
from siamese_lab.statistics.influence import Figure


def influences_file(run: Path, part: str) -> Path:
    """The file of the influences on the figures of a part, "val" or "test"."""
    return run / f"influences_{part}.npz"


def write_influences(path: Path, figures: Mapping[str, Figure]) -> None:
    """Writes the influences of all figures; identities that several figures share are written once.

    Args:
        path: from `influences_file`.
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
            arrays[f"identities@{known[identities]}"] = _encode_names(identities)
        arrays[f"{name}@{known[identities]}"] = np.array(list(figure.influence.values()), dtype=np.float64)
    write_npz(path, arrays)


def read_influences(path: Path, figure: str) -> dict[str, float]:
    """{identity: influence} of a figure; empty where it has none.

    Args:
        path: from `influences_file`.
        figure: "<protocol>/<figure>".

    Raises:
        LabError: if the file is missing or broken.
    """
    with open_npz(path) as arrays:
        key = next((key for key in arrays.files if key.rpartition("@")[0] == figure), None)
        if key is None:
            return {}
        values, names = arrays[key], arrays[f"identities@{key.rpartition('@')[2]}"]
        if values.dtype != np.float64 or names.dtype != np.uint8 or values.ndim != 1:
            raise ValueError("other arrays than siamese-lab writes")
        return dict(zip(_decode_names(names.tobytes()), values.tolist(), strict=True))


def _encode_names(identities: tuple[str, ...]) -> np.ndarray:
    """Names as bytes: numpy's own arrays of text drop zeros at the end and take four bytes a letter."""
    text = "\0".join(name.replace("\0", "") for name in identities)
    return np.frombuffer(text.encode("utf-8", "surrogateescape"), dtype=np.uint8)


@lru_cache(maxsize=64)
def _decode_names(content: bytes) -> tuple[str, ...]:
    return tuple(content.decode("utf-8", "surrogateescape").split("\0"))
