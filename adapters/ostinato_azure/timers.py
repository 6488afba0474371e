"""When the timer of a schedule runs: in few minutes, since each run wakes the app and is paid for.

A run starts what has become due in the last minutes, so there may be one too many, but a tick must
have its own, and a few more, which make up for one that failed. Azure's timers know UTC alone on
Linux, and other fields than cron.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from datetime import UTC, datetime, timedelta

from ostinato.triggers import Schedule

_DAY = 24 * 60
_RUNS = 5
"""Of each tick, a minute apart: as long as is looked back (`triggers.LOOK_BACK`)."""

_SECOND = 2
"""After the minute has begun: Azure's timers may run some milliseconds early."""

_WEEK = 7 * _DAY
_HORIZON = 105
"""Weeks ahead in which a zone's offsets are looked at: longer than a worker lives. No zone changes
its offset twice in one."""


def timer_of(schedule: Schedule, now: datetime) -> str:
    """Return the NCRONTAB expression of a timer that runs with every tick, and after it.

    Args:
        schedule: Whose ticks.
        now: From here on a zone's offsets are looked at.
    """
    from cronsim import CronSim

    times = CronSim(schedule.cron, now)
    local = [60 * hour + minute for hour in times.hours for minute in times.minutes]
    offsets, changes = ({0}, set[int]()) if schedule.timezone == "UTC" else _zone(schedule, now)
    begun = {(at - offset) % _DAY for at in local for offset in offsets} | changes
    minutes = {(at + run) % _DAY for at in begun for run in range(_RUNS)}
    return (
        f"{_SECOND} {_field({at % 60 for at in minutes}, 60)} "
        f"{_field({at // 60 for at in minutes}, 24)} * * *"
    )


def _zone(schedule: Schedule, now: datetime) -> tuple[set[int], set[int]]:
    """The zone's offsets from UTC, and the times of day in UTC when one follows another.

    What is due in an hour that is left out is due when that hour would have begun or ended.
    """
    from zoneinfo import ZoneInfo

    zone = ZoneInfo(schedule.timezone)

    def offset(at: datetime) -> int:
        moved = at.astimezone(zone).utcoffset()
        assert moved is not None
        return moved // timedelta(minutes=1)

    begin = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    weeks = [begin + timedelta(weeks=number) for number in range(_HORIZON + 1)]
    changes = set[int]()
    for week, following in itertools.pairwise(weeks):
        before = offset(week)
        if offset(following) == before:
            continue

        def is_after(minute: int, week: datetime = week, before: int = before) -> bool:
            return offset(week + timedelta(minutes=minute)) != before

        changes.add(bisect_right(range(_WEEK), False, key=is_after) % _DAY)
    return {offset(week) for week in weeks}, changes


def _field(values: set[int], most: int) -> str:
    return "*" if len(values) == most else ",".join(map(str, sorted(values)))
