"""What happens to TensorBoard's event files where they cannot be written: they are never half there, and nothing hangs or is said twice."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def quiet_threads() -> Iterator[None]:
    """TensorBoard writes in a thread of its own. What fails there is raised here at the next write, and is not printed as well."""
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
def whole(folder: Path, pattern: str) -> Iterator[None]:
    """What is written within it under names of this pattern is removed again if it does not come to its end."""
    before = set(folder.glob(pattern))
    try:
        yield
    except BaseException:
        for path in set(folder.glob(pattern)) - before:
            path.unlink(missing_ok=True)
        raise
