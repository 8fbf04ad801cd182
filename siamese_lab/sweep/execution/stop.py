"""What the user asks of a sweep while it runs."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """What the user has asked for meanwhile: signals come here while jobs run.

    Args:
        seconds: after which no further job is started; None = no such time.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self.signals: list[int] = []
        self.words: str | None = None
        self._end = None if seconds is None else time.monotonic() + seconds

    def look(self) -> None:
        """Sets `words` where the time is over."""
        if self.words is None and self._end is not None and time.monotonic() > self._end:
            self.words = "budget.time is over, no further job is started"

    @contextmanager
    def listening(self) -> Iterator[None]:
        """SIGINT and SIGTERM come here; afterwards to whoever had them before."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._heard) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self.signals.append(number)
