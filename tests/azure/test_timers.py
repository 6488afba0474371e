"""The timers of schedules: one runs in each minute in which something is due, and seldom else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ostinato as ost
from ostinato.testing.azure.ncrontab import Schedule as Ncrontab
from ostinato_azure.timers import timer_of
from ostinato_azure.triggers import ticks

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "timezone", "timer"),
    [
        ("* * * * *", "UTC", "2 * * * * *"),
        ("0 2 * * *", "UTC", "2 0,1,2,3,4 2 * * *"),
        ("*/30 * * * *", "UTC", "2 0,1,2,3,4,30,31,32,33,34 * * * *"),
        ("30 6,18 * * 1-5", "UTC", "2 30,31,32,33,34 6,18 * * *"),
        ("58 23 29 2 *", "UTC", "2 0,1,2,58,59 0,23 * * *"),
        ("0 2 * * *", "Asia/Kolkata", "2 30,31,32,33,34 20 * * *"),
        ("15 9 * * *", "Asia/Tokyo", "2 15,16,17,18,19 0 * * *"),
        ("0 12 * * *", "Europe/Berlin", "2 0,1,2,3,4 1,10,11 * * *"),
    ],
)
def test_a_timer_runs_when_a_tick_may_be_due_by_utc(cron: str, timezone: str, timer: str):
    assert timer_of(ost.Schedule(cron, timezone), NOW) == timer


ZONES = [
    "UTC",
    "Europe/Berlin",
    "Europe/Dublin",
    "America/New_York",
    "America/St_Johns",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
    "Africa/Casablanca",
]
FIELD = st.sampled_from(["0", "30", "59", "*", "*/20", "5,35", "10-14"])
HOUR = st.sampled_from(["0", "1", "2", "3", "23", "*", "*/6", "1-3"])
DAY = st.sampled_from(["*", "1", "L", "25-31"])
WEEKDAY = st.sampled_from(["*", "0", "1-5", "SUN"])


@settings(max_examples=60, deadline=None)
@given(FIELD, HOUR, DAY, WEEKDAY, st.sampled_from(ZONES), st.integers(0, 700))
def test_every_tick_falls_into_a_minute_in_which_the_timer_runs(
    minute: str, hour: str, day: str, weekday: str, zone: str, days: int
):
    schedule = ost.Schedule(f"{minute} {hour} {day} * {weekday}", zone)
    timer = Ncrontab.parse(timer_of(schedule, NOW))
    since = NOW + timedelta(days=days)
    for tick in islice(ticks("x", schedule, since, since + timedelta(days=30)), 100):
        for run in (tick.at, tick.at + timedelta(minutes=4)):
            assert run.minute in timer.minutes
            assert run.hour in timer.hours


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/St_Johns"]
)
def test_a_tick_in_an_hour_that_is_left_out_has_its_run(zone: str):
    for minute in range(0, 4 * 60, 10):
        schedule = ost.Schedule(f"{minute % 60} {minute // 60} * * *", zone)
        timer = Ncrontab.parse(timer_of(schedule, NOW))
        for month in (3, 4, 9, 10, 11):
            begin = datetime(2026, month, 1, tzinfo=UTC)
            for tick in ticks("x", schedule, begin, begin + timedelta(days=30)):
                assert (tick.at.minute in timer.minutes) and (tick.at.hour in timer.hours), tick
