"""The host's history by turns."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ostinato import events as ev
from ostinato_azure.markers import marker_due
from ostinato_azure.turns import recorded_markers, taken_out, turns_of, with_rewinds

AT = datetime(2030, 1, 1, tzinfo=UTC)
BEGIN = ev.OrchestratorStarted(at=AT)
RAISED = ev.EventRaised(at=AT, name="e", data="null")
WORK = ev.TaskScheduled(at=AT, task_id=0, name="work")
TIMER = ev.TimerCreated(at=AT, task_id=1, due=AT)
MARKER = ev.TimerCreated(at=AT, task_id=2, due=marker_due("patch:x"))


def test_a_turn_has_the_messages_that_came_and_what_it_scheduled() -> None:
    first, second = turns_of([BEGIN, RAISED, WORK, TIMER, BEGIN, RAISED, RAISED])
    assert (first.messages, first.scheduled) == ([RAISED], [WORK, TIMER])
    assert (second.messages, second.scheduled) == ([RAISED, RAISED], [])


def test_what_comes_before_the_first_turn_belongs_to_it() -> None:
    (only,) = turns_of([RAISED, BEGIN])
    assert only.messages == [RAISED]


def test_markers_are_told_from_timers() -> None:
    assert list(recorded_markers([BEGIN, WORK, TIMER, MARKER])) == [marker_due("patch:x")]


def out(host_id: int) -> ev.Event:
    event = taken_out(BEGIN.at, host_id)
    assert event is not None
    return event


def work(host_id: int) -> ev.TaskScheduled:
    return ev.TaskScheduled(at=BEGIN.at, task_id=host_id, name="work")


REWOUND = ev.ExecutionRewound(at=BEGIN.at)


@pytest.mark.parametrize(
    ("history", "told"),
    [
        ([out(0)], [REWOUND]),
        ([out(0), out(1)], [REWOUND]),
        ([work(0), out(1), out(2)], [work(0), REWOUND]),
        ([out(0), work(1), out(2)], [work(1), REWOUND]),
        ([out(0), out(1), work(0)], [REWOUND, work(0)]),
        ([out(0), out(1), work(0), work(1)], [REWOUND, work(0), work(1)]),
        ([out(0), out(1), out(0), out(1)], [REWOUND, REWOUND]),
        ([work(0), out(1), out(2), out(1), out(2)], [work(0), REWOUND, REWOUND]),
        ([out(0), out(1), out(0), work(1), out(2)], [REWOUND, work(1), REWOUND]),
        ([work(0), out(1), work(1), out(2)], [work(0), REWOUND, work(1), REWOUND]),
        ([work(0), work(1), out(0)], [work(0), work(1), REWOUND]),
    ],
    ids=lambda events: " ".join(str(getattr(e, "task_id", "end")) for e in events),
)
def test_the_end_that_a_rewind_took_out_is_told_from_activities(
    history: list[ev.Event], told: list[ev.Event]
) -> None:
    assert list(with_rewinds([BEGIN, *history])) == [BEGIN, *told]


def test_failures_and_what_wakes_an_instance_tell_nothing() -> None:
    assert taken_out(BEGIN.at, -1) is None
