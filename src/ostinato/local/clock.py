"""Clocks: the one place where the embedded engine learns the time."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Protocol


class Clock(Protocol):
    """Tells the time, and when it is worth looking again."""

    def now(self) -> datetime:
        """The time, aware, in UTC; never earlier than it said before."""
        ...

    def seconds_until(self, due: datetime) -> float | None:
        """How long to sleep for ``due``; None where only a notice tells."""
        ...

    def subscribe(self, notice: Callable[[], None]) -> None:
        """Call ``notice`` whenever the clock is moved by hand."""
        ...


class SystemClock:
    """The wall clock, except that it never goes back.

    When the machine's clock is set back it goes on at the pace of the monotonic clock, so
    that timers are not held up and histories stay in order.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._last = time.time()
        self._elapsed = time.monotonic()

    def now(self) -> datetime:
        """The time, aware, in UTC."""
        with self._lock:
            elapsed = time.monotonic()
            self._last = max(time.time(), self._last + elapsed - self._elapsed)
            self._elapsed = elapsed
            return datetime.fromtimestamp(self._last, UTC)

    def seconds_until(self, due: datetime) -> float | None:
        """How long to sleep for ``due``, 0 or more."""
        return max(0.0, (due - self.now()) / timedelta(seconds=1))

    def subscribe(self, notice: Callable[[], None]) -> None:
        """Nothing moves this clock by hand."""
