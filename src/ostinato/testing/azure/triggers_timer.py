"""Timer triggers, by the host's clock.

What the real host keeps in storage to notice times that it slept through is kept in memory here:
a host that starts again knows of no earlier times.
"""

from __future__ import annotations

import json
from datetime import datetime

from ostinato.local.clock import Clock
from ostinato.testing.azure.ncrontab import Schedule
from ostinato.testing.azure.triggers import Calling
from ostinato.testing.azure.worker import Function, Json

_NEVER = "0001-01-01T00:00:00"
"""What the host writes for the time of something that has not been yet."""


class Timer:
    """One function's timer: a time passed is one call, several passed at once are one, too.

    Args:
        function: What it calls.
        schedule: When.
        clock: Tells the time.
        calling: How functions are called.
    """

    def __init__(
        self, function: Function, schedule: Schedule, clock: Clock, calling: Calling
    ) -> None:
        self._function = function
        self._schedule = schedule
        self._clock = clock
        self._calling = calling
        self._last: datetime | None = None
        self.due = schedule.next_after(clock.now())
        """When it calls next; None for never."""
        self._is_starting = function.trigger.get("runOnStartup") is True

    def poll(self) -> int:
        """Call the function if it is time."""
        now = self._clock.now()
        if self._is_starting:
            self._is_starting = False
            self._call(now, is_past_due=False)
            return 1
        if self.due is None or self.due > now:
            return 0
        following = self._schedule.next_after(self.due)
        is_past_due = following is not None and following <= now
        self.due = self._schedule.next_after(now)
        self._call(now, is_past_due=is_past_due)
        return 1

    def _call(self, now: datetime, *, is_past_due: bool) -> None:
        """A failure is not tried again before the next time, as on the real host."""
        status = {
            "Last": self._last.isoformat() if self._last else _NEVER,
            "Next": self.due.isoformat() if self.due else _NEVER,
            "LastUpdated": self._last.isoformat() if self._last else _NEVER,
        }
        told = {
            "Schedule": {"AdjustForDST": True},
            "ScheduleStatus": status,
            "IsPastDue": is_past_due,
        }
        self._last = now
        self._calling.succeeds(self._function, Json(json.dumps(told)), {})
