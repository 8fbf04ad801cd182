"""Arrays in a run's folder, as .npz files of plain numbers."""

import io
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from siamese_lab.core.errors import LabError
from siamese_lab.core.files import write_bytes

REMEDY = "copy the run folder anew from where it was trained, or train the run anew"


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays by name, whole or not at all."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type] # its stub takes `allow_pickle` for one of them
    write_bytes(path, buffer.getvalue())


@contextmanager
def open_npz(path: Path) -> Iterator[np.lib.npyio.NpzFile]:
    """Opens a file of arrays.

    Raises:
        LabError: if it is missing or broken; also for a ValueError, KeyError or TypeError raised while it is open.
    """
    try:
        # opened here: numpy would leave a broken file open
        with path.open("rb") as content, np.load(content, allow_pickle=False) as arrays:
            yield arrays
    except FileNotFoundError as error:
        raise LabError(f"{path} is missing: {REMEDY}") from error
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise LabError(f"{path} is broken ({error}): {REMEDY}") from error
