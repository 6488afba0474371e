"""Markers as timers: recognisable, and apart from one another and from every real timer."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from ostinato_azure.markers import is_marker, is_version_marker, marker_due, version_due


@given(st.text())
def test_the_timer_of_a_marker_is_known_as_one(name: str) -> None:
    assert is_marker(marker_due(name))
    assert marker_due(name) == marker_due(name)


def test_markers_differ() -> None:
    names = [f"patch:{number}" for number in range(1000)]
    assert len({marker_due(name) for name in names}) == len(names)


def test_markers_of_versions_are_known_apart_from_others() -> None:
    assert is_version_marker(version_due("2")) and is_marker(version_due("2"))
    assert version_due("2") != marker_due("2")
    assert not is_version_marker(marker_due("patch:version:2"))


def test_a_timer_of_this_century_is_no_marker() -> None:
    assert not is_marker(datetime(2000, 1, 1, tzinfo=UTC))
