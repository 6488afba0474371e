"""A clock that moves only when it is told to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Lock

START = datetime(2026, 1, 1, tzinfo=UTC)


class ManualClock:
    """A `Clock` for tests: durable timers of any length fire at once when it passes them."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start
        self._lock = Lock()
        self._notices: list[Callable[[], None]] = []

    def now(self) -> datetime:
        """The time as set."""
        return self._now

    def seconds_until(self, due: datetime) -> float | None:
        """Only `advance` tells; 0 when ``due`` is past."""
        return 0.0 if due <= self._now else None

    def subscribe(self, notice: Callable[[], None]) -> None:
        """Call ``notice`` at every `advance`."""
        self._notices.append(notice)

    def advance(self, by: timedelta | float) -> None:
        """Move the clock on by a duration (seconds, when a number).

        Raises:
            ValueError: The duration is negative.
        """
        step = by if isinstance(by, timedelta) else timedelta(seconds=by)
        if step < timedelta(0):
            raise ValueError("a clock does not go back")
        with self._lock:
            self._now += step
        for notice in self._notices:
            notice()

    def advance_to(self, time: datetime) -> None:
        """Move the clock on to ``time``, if that is later."""
        self.advance(max(timedelta(0), time - self._now))
