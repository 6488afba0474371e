"""The six fields of Azure's timers."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ostinato.testing.azure.ncrontab import Schedule, ScheduleError

START = datetime(2026, 1, 1, 0, 0, 0, tzinfo=UTC)  # a Thursday


def next_times(text, count, start=START):
    schedule, times = Schedule.parse(text), []
    for _ in range(count):
        following = schedule.next_after(start)
        assert following is not None
        start = following
        times.append(start.strftime("%m-%d %H:%M:%S"))
    return times


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("*/20 * * * * *", ["01-01 00:00:20", "01-01 00:00:40", "01-01 00:01:00"]),
        ("0 */5 * * * *", ["01-01 00:05:00", "01-01 00:10:00"]),
        ("*/5 * * * *", ["01-01 00:05:00", "01-01 00:10:00"]),
        ("0 0 9-10 * * *", ["01-01 09:00:00", "01-01 10:00:00", "01-02 09:00:00"]),
        ("0 30 9 * * 1-5", ["01-01 09:30:00", "01-02 09:30:00", "01-05 09:30:00"]),
        ("0 0 0 * Feb,mar Sunday", ["02-01 00:00:00", "02-08 00:00:00"]),
        ("0 0 0 1/10 * *", ["01-11 00:00:00", "01-21 00:00:00", "01-31 00:00:00"]),
    ],
)
def test_times_follow_the_fields(text, times):
    assert next_times(text, len(times)) == times


def test_a_day_must_fit_the_month_and_the_week():
    assert next_times("0 0 0 13 * fri", 2) == ["02-13 00:00:00", "03-13 00:00:00"]


def test_a_leap_day_is_found_and_a_day_that_never_comes_is_not():
    assert Schedule.parse("0 0 0 29 2 *").next_after(START) == datetime(2028, 2, 29, tzinfo=UTC)
    assert Schedule.parse("0 0 0 31 2 *").next_after(START) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("* * *", "needs six fields .* has 3"),
        ("0 60 * * * *", "'60' is not within 0-59"),
        ("0 0 0 * * 7", "'7' is not within 0-6"),
        ("0 0 5-3 * * *", "'5-3' is not within 0-23"),
        ("0 */0 * * * *", "'\\*/0' is not within"),
        ("0 0 0 * foo *", "'foo' is not understood"),
        ("0 0 0 ? * *", "'\\?' is not understood"),
    ],
)
def test_what_is_no_schedule_is_refused_by_name(text, why):
    with pytest.raises(ScheduleError, match=why):
        Schedule.parse(text)
