"""When the timer of a schedule runs: in few minutes, since each run wakes the app and is paid for.

A run starts what has become due in the last minutes, so there may be one too many, but a tick must
have its own, and a few more, which make up for one that failed. Azure's timers know UTC alone on
Linux, and other fields than cron.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from ostinato.triggers import Schedule

_DAY = 24 * 60
_RUNS = 5
"""Of each tick, a minute apart: as long as is looked back (`triggers.LOOK_BACK`)."""

_SECOND = 2
"""After the minute has begun: Azure's timers may run some milliseconds early."""

_HORIZON = 366 * 2
"""Days ahead in which a zone's offsets are looked at: longer than a worker lives."""


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
    days = [begin + timedelta(days=number) for number in range(_HORIZON + 1)]
    offsets, changes = {offset(begin)}, set[int]()
    for day, following in itertools.pairwise(days):
        if offset(day) != offset(following):
            quarters = list(_quarters(day))
            offsets |= {offset(at) for at in quarters}
            changes |= {
                60 * at.hour + at.minute
                for before, at in itertools.pairwise(quarters)
                if offset(before) != offset(at)
            }
    return offsets, changes


def _quarters(day: datetime) -> Iterator[datetime]:
    """The quarters of an hour of a day, and the first of the next."""
    return (day + timedelta(minutes=15 * number) for number in range(4 * 24 + 1))


def _field(values: set[int], most: int) -> str:
    return "*" if len(values) == most else ",".join(map(str, sorted(values)))
