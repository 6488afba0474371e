"""NCRONTAB: the six fields by which Azure's timers are scheduled.

Second, minute, hour, day of month, month, day of week; five fields have second 0. Unlike crontab,
a time must fit all fields: a day that fits the day of the month alone is not enough.
https://github.com/atifaziz/NCrontab/wiki/Crontab-Expression
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

HORIZON = timedelta(days=366 * 8)
"""How far ahead a time is looked for: a 29 February comes within it."""


class ScheduleError(ValueError):
    """An expression that is none; the message names it and what is wrong."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The times that an expression stands for, in UTC."""

    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """0 is Sunday."""

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Read an expression.

        Raises:
            ScheduleError: It is none.
        """
        fields = text.split()
        if len(fields) == 5:
            fields.insert(0, "0")
        if len(fields) != 6:
            raise ScheduleError(
                f"{text!r} is no schedule: it needs six fields (second, minute, hour, day,"
                f" month, day of week), and has {len(text.split())}"
            )
        second, minute, hour, day, month, weekday = fields
        return cls(
            _field(second, 0, 59, (), text),
            _field(minute, 0, 59, (), text),
            _field(hour, 0, 23, (), text),
            _field(day, 1, 31, (), text),
            _field(month, 1, 12, _MONTHS, text),
            _field(weekday, 0, 6, _DAYS, text),
        )

    def next_after(self, time: datetime) -> datetime | None:
        """The first time after ``time``; None if there is none in the next eight years."""
        at = time.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=1)
        end = at + HORIZON
        while at < end:
            if not self._is_day(at):
                at = at.replace(hour=0, minute=0, second=0) + timedelta(days=1)
            elif at.hour not in self.hours:
                at = at.replace(minute=0, second=0) + timedelta(hours=1)
            elif at.minute not in self.minutes:
                at = at.replace(second=0) + timedelta(minutes=1)
            elif at.second not in self.seconds:
                at += timedelta(seconds=1)
            else:
                return at
        return None

    def _is_day(self, at: datetime) -> bool:
        return (
            at.day in self.days and at.month in self.months and at.isoweekday() % 7 in self.weekdays
        )


def _field(field: str, low: int, high: int, names: Sequence[str], text: str) -> frozenset[int]:
    """The values of one field: ``*``, numbers or names, ranges, steps, lists of these."""
    values = set[int]()
    for part in field.split(","):
        found = re.fullmatch(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/(\d+))?", part)
        if found is None:
            raise ScheduleError(f"{text!r} is no schedule: {part!r} is not understood")
        every, first, last, step = found.groups()
        start = low if every else _value(first, low, names, text)
        if every or (step and not last):
            stop = high
        else:
            stop = _value(last or first, low, names, text)
        if not low <= start <= stop <= high or step == "0":
            raise ScheduleError(f"{text!r} is no schedule: {part!r} is not within {low}-{high}")
        values.update(range(start, stop + 1, int(step or 1)))
    return frozenset(values)


def _value(word: str, low: int, names: Sequence[str], text: str) -> int:
    if word.isdecimal():
        return int(word)
    for index, name in enumerate(names):
        if len(word) >= 3 and word.lower().startswith(name):
            return index + low
    raise ScheduleError(f"{text!r} is no schedule: {word!r} is not understood")
