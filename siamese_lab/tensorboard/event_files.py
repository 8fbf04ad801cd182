"""Guards for TensorBoard's event files: failed writes leave no partial file and are reported once; no TensorFlow."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType


def without_tensorflow() -> None:
    """Makes TensorBoard use its own stand-in for TensorFlow's file functions, also where TensorFlow is installed.

    TensorFlow takes seconds to import and memory of the device. TensorBoard looks for a module of this name.
    """
    sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))


@contextmanager
def quiet_threads() -> Iterator[None]:
    """Keeps an OSError in TensorBoard's writer thread from being printed: the next write raises it here."""
    before = threading.excepthook

    def hook(seen: threading.ExceptHookArgs) -> None:
        if not issubclass(seen.exc_type, OSError):
            before(seen)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before


@contextmanager
def complete_file(folder: Path, pattern: str) -> Iterator[None]:
    """Removes the files of this pattern that its block has written, if the block raises."""
    before = set(folder.glob(pattern))
    try:
        yield
    except BaseException:
        for path in set(folder.glob(pattern)) - before:
            path.unlink(missing_ok=True)
        raise
