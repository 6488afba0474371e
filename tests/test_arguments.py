from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from ostinato.arguments import as_utc, seconds


@pytest.mark.parametrize(
    ("given", "meant"),
    [(0, 0.0), (1.5, 1.5), (timedelta(minutes=2), 120.0), (timedelta(days=400), 34_560_000.0)],
)
def test_a_duration_is_a_number_of_seconds_or_a_timedelta(given: Any, meant: float):
    assert seconds(given, "timeout") == meant
    assert type(seconds(given, "timeout")) is float


@pytest.mark.parametrize("bad", [-1, -0.001, math.nan, math.inf, timedelta(seconds=-1)])
def test_a_duration_that_is_negative_or_endless_is_refused_by_name(bad: Any):
    with pytest.raises(ValueError, match=r"^timeout is .*; it must be a number of seconds, 0 or"):
        seconds(bad, "timeout")


def test_an_instant_without_a_zone_is_taken_as_utc():
    assert as_utc(datetime(2026, 3, 1, 12)) == datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_an_instant_of_another_zone_is_the_same_moment_in_utc():
    there = datetime(2026, 3, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    assert as_utc(there) == there
    assert as_utc(there).tzinfo is UTC
    assert as_utc(there).hour == 12
