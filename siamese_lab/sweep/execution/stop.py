"""Why a sweep starts no further job: a signal, its time, or jobs that fail alike."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Collects what is asked of a running sweep.

    Args:
        seconds: after which no further job is started; None = no such time.

    Attributes:
        signals: that came so far.
        reason: why no further job is started, other than a signal; None = go on.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self.signals: list[int] = []
        self.reason: str | None = None
        self._end = None if seconds is None else time.monotonic() + seconds

    def check_time(self) -> None:
        """Sets `reason` where the time is over."""
        if self.reason is None and self._end is not None and time.monotonic() > self._end:
            self.reason = "budget.time is over, no further job is started"

    @contextmanager
    def catch_signals(self) -> Iterator[None]:
        """Collects SIGINT and SIGTERM; afterwards they go to whoever had them before."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.signals.append(number)
