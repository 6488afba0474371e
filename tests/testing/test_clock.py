from __future__ import annotations

from datetime import timedelta

import pytest

from ostinato.testing import ManualClock

HOUR = timedelta(hours=1)


def test_time_stands_still_until_it_is_moved():
    clock = ManualClock()
    before = clock.now()
    assert clock.now() == before
    clock.advance(HOUR)
    clock.advance(1.5)
    assert clock.now() == before + HOUR + timedelta(seconds=1.5)


def test_the_time_is_aware_and_may_be_given():
    start = ManualClock().now() + HOUR
    assert start.utcoffset() == timedelta(0)
    assert ManualClock(start).now() == start


def test_a_clock_does_not_go_back():
    clock = ManualClock()
    before = clock.now()
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)
    clock.advance_to(before - HOUR)
    assert clock.now() == before


def test_a_clock_is_moved_to_a_time():
    clock = ManualClock()
    due = clock.now() + HOUR
    clock.advance_to(due)
    assert clock.now() == due


def test_sleep_for_the_future_has_no_length_and_for_the_past_is_over():
    clock = ManualClock()
    assert clock.seconds_until(clock.now() + HOUR) is None
    assert clock.seconds_until(clock.now()) == 0.0


def test_all_who_asked_are_told_of_every_move():
    clock = ManualClock()
    told: list[str] = []
    clock.subscribe(lambda: told.append("one"))
    clock.subscribe(lambda: told.append("two"))
    clock.advance(HOUR)
    clock.advance_to(clock.now())
    assert told == ["one", "two"] * 2
