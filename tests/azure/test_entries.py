"""Entries: what of them is sent, and what is asked for once more."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from ostinato.actions import CreateTimer
from ostinato_azure.entries import Entry, Kind

DATA = '{"__class__":"Evil","__module__":"os","__data__":[1.50,"ü"]}'
DUE = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "entry", [Entry(Kind.ACTIVITY, name="ours", text=DATA), Entry(Kind.CLIENT, text=DATA)]
)
def test_what_ours_are_given_is_text_in_a_json_string_which_no_decoder_opens(entry: Entry) -> None:
    assert json.loads(entry.given) == DATA


@pytest.mark.parametrize(
    "entry",
    [
        Entry(Kind.ACTIVITY, name="theirs", text=DATA, foreign=True),
        Entry(Kind.CHILD, name="child", text=DATA),
    ],
)
def test_what_others_and_children_are_given_is_the_data(entry: Entry) -> None:
    assert entry.given == DATA


def test_once_more_is_the_same_ask_under_an_id_yet_to_be_given() -> None:
    timer = Entry(
        Kind.TIMER,
        action=CreateTimer(task_id=3, due=DUE),
        core_id=3,
        host_id=7,
        recorded=True,
        finished=True,
        due=DUE,
        fires=DUE,
        tries=1,
    )
    again = timer.once_more()
    assert (again.kind, again.action, again.core_id) == (Kind.TIMER, timer.action, 3)
    assert (again.due, again.tries) == (DUE, 1)
    assert (again.host_id, again.recorded, again.finished, again.fires) == (-1, False, False, None)
    assert again.again
    assert timer.host_id == 7 and timer.finished and not timer.again


def test_entries_are_told_apart_even_where_they_ask_for_the_same() -> None:
    assert Entry(Kind.GATE) != Entry(Kind.GATE)
