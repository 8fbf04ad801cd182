"""The command line's messages: lines "siamese-lab: ..." on standard error, by Python's logging.

Modules log by their own names, below `siamese_lab`. As a library nothing is set up: Python then shows warnings and
errors, and no notes.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

LOGGER = logging.getLogger("siamese_lab")


class _StandardError(logging.Handler):
    """Prints to the standard error of the moment, which a test or a caller may have redirected."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints one message."""
        try:
            print(self.format(record), file=sys.stderr, flush=True)
        except (OSError, ValueError):  # a standard error that is closed or full: there is nobody to tell
            return


@contextmanager
def on_standard_error(level: int = logging.INFO) -> Iterator[None]:
    """Context in which messages of this level and above are printed to standard error.

    Args:
        level: of `logging`; INFO prints notes, warnings and errors.
    """
    handler = _StandardError()
    handler.setFormatter(logging.Formatter("siamese-lab: %(message)s"))
    before = LOGGER.level, LOGGER.propagate
    LOGGER.addHandler(handler)
    LOGGER.setLevel(level)
    LOGGER.propagate = False  # a root logger that somebody has set up would print them once more
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(before[0])
        LOGGER.propagate = before[1]


def is_quiet() -> bool:
    """Whether the user asked for warnings and errors only (`--quiet`); never so as a library."""
    return LOGGER.level > logging.INFO
