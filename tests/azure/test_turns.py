"""The host's history by turns."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ostinato import events as ev
from ostinato_azure.markers import marker_due
from ostinato_azure.turns import is_rewound_mark, recorded_markers, turns_of

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


@pytest.mark.parametrize(
    ("data", "is_mark"),
    [
        ("Rewound: TaskFailed", True),
        ("Rewound: SubOrchestrationInstanceFailed", True),
        ("Rewound: ExecutionCompleted", True),
        ("Rewound: again", False),
        ("mended", False),
        ("", False),
        (None, False),
    ],
)
def test_a_reason_for_a_rewind_is_no_mark_of_what_it_took_out(
    data: str | None, is_mark: bool
) -> None:
    assert is_rewound_mark(data) is is_mark
