"""What the user asks of a sweep while it runs."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """What the user has asked for meanwhile: signals come here while jobs run."""

    def __init__(self) -> None:
        self.signals: list[int] = []
        self.words: str | None = None

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
