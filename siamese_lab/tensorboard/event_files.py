"""What happens to TensorBoard's event files where they cannot be written: they are never half there, and nothing hangs
or is said twice. And how TensorBoard is kept from importing TensorFlow."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType


def without_tensorflow() -> None:
    """From here on TensorBoard uses its own stand-in for TensorFlow's file functions, also where TensorFlow is
    installed, which takes seconds to import and memory of the device. It looks for a module of this name."""
    sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))


@contextmanager
def quiet_threads() -> Iterator[None]:
    """TensorBoard writes in a thread of its own. What fails there is raised here at the next write, and is not printed
    as well.
    """
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
    """What is written within it under names of this pattern is removed again if it does not come to its end."""
    before = set(folder.glob(pattern))
    try:
        yield
    except BaseException:
        for path in set(folder.glob(pattern)) - before:
            path.unlink(missing_ok=True)
        raise
