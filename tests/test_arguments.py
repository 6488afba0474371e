from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from ostinato.arguments import as_utc, count, note, optional_text, seconds, several, tags, text


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


@pytest.mark.parametrize("bad", [None, True, "5", b"5"])
def test_a_duration_of_another_type_is_refused(bad: Any):
    with pytest.raises(TypeError, match=r"^timeout is a number of seconds or a timedelta, not "):
        seconds(bad, "timeout")


@pytest.mark.parametrize("bad", [None, 5, "tomorrow", timedelta(1)])
def test_an_instant_of_another_type_is_refused(bad: Any):
    with pytest.raises(TypeError, match=r"^start_at is a datetime, not "):
        as_utc(bad, "start_at")


@pytest.mark.parametrize(
    ("bad", "error"), [(None, TypeError), (5, TypeError), ("", ValueError), ("\ud800", ValueError)]
)
def test_a_text_has_to_be_one_that_can_be_stored(bad: Any, error: type[Exception]):
    with pytest.raises(error, match=r"^event_id "):
        text(bad, "event_id")
    assert text("é", "event_id") == "é"


def test_a_note_may_be_empty_and_an_optional_text_absent():
    assert note("", "reason") == ""
    assert optional_text(None, "version") is None
    with pytest.raises(TypeError, match="reason is a str, not NoneType"):
        note(None, "reason")
    with pytest.raises(ValueError, match="version is empty"):
        optional_text("", "version")


@pytest.mark.parametrize("bad", [{"n": 1}, {1: "n"}, {"n": None}, ["n"], "n"])
def test_tags_map_texts_to_texts(bad: Any):
    with pytest.raises(TypeError, match="tag"):
        tags(bad)
    assert tags({"user": "ada", "note": ""}) == {"user": "ada", "note": ""}
    assert tags({}) is tags(None) is None


@pytest.mark.parametrize(
    ("bad", "error"), [("4", TypeError), (4.0, TypeError), (True, TypeError), (0, ValueError)]
)
def test_a_count_is_a_whole_number_that_is_large_enough(bad: Any, error: type[Exception]):
    with pytest.raises(error, match=r"^cache_size is "):
        count(bad, "cache_size")
    assert count(0, "cache_size", least=0) == 0


@pytest.mark.parametrize(
    ("given", "meant"),
    [("ab", ("ab",)), (["a", "b"], ("a", "b")), ((), ()), (5, (5,)), (None, (None,))],
)
def test_what_may_be_one_or_several_comes_as_a_tuple_and_a_text_is_one(given: Any, meant: Any):
    assert several(given) == meant
