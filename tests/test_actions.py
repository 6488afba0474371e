from __future__ import annotations

from typing import Any, get_args

import pytest

from ostinato import events as ev
from ostinato.actions import (
    Action,
    CancelTimer,
    Completed,
    CompleteOrchestration,
    ContinuedAsNew,
    CreateSubOrchestration,
    CreateTimer,
    Failed,
    RecordMarker,
    ScheduleTask,
    SendEvent,
    TerminateChild,
    Terminated,
    scheduling_event,
)
from ostinato.events import Event
from ostinato.failures import Failure
from tests.histories import START, at, child, ended, marker, scheduled, sent, timer

FAILURE = Failure("ValueError", "no")

RECORDED: list[tuple[Action, Event | None]] = [
    (ScheduleTask(task_id=0, name="a", input="1"), scheduled(0, "a", 1)),
    (
        ScheduleTask(
            task_id=5, name="a", input="1", attempt=2, first_id=3, group=2, bound=4, timeout=1.5
        ),
        scheduled(5, "a", 1, attempt=2, first_id=3, group=2, bound=4, timeout=1.5),
    ),
    (CreateTimer(task_id=1, due=at(60)), timer(1, 60)),
    (
        CreateSubOrchestration(task_id=2, name="c", instance_id="x", input="1", version="2"),
        child(2, "c", 1, "x", version="2"),
    ),
    (
        CreateSubOrchestration(task_id=2, name="c", instance_id="x", input="1", detached=True),
        child(2, "c", 1, "x", detached=True),
    ),
    (
        SendEvent(task_id=3, instance_id="other", name="go", data="1", event_id="e:3"),
        sent(3, "other", "go", 1),
    ),
    (RecordMarker(name="patch:p"), marker("patch:p")),
    (CompleteOrchestration(Completed("7")), ended("Completed", 7)),
    (CompleteOrchestration(Failed(FAILURE)), ended("Failed", failure=FAILURE)),
    (
        CompleteOrchestration(Terminated("enough")),
        ended("Terminated", failure=Failure("Terminated", "enough")),
    ),
    (
        CompleteOrchestration(
            ContinuedAsNew(input="8", events=(), event_ids=("x",), custom_status='"s"', version="2")
        ),
        ev.ContinueAsNew(at=START, input="8"),
    ),
    (CancelTimer(task_id=1), None),
    (TerminateChild(task_id=2, instance_id="x", reason="parent ended"), None),
]


@pytest.mark.parametrize(("action", "event"), RECORDED)
def test_an_action_is_recorded_by_the_event_that_says_the_same(action: Action, event: Event | None):
    assert scheduling_event(action, START) == event


def test_every_kind_of_action_is_tried_here():
    assert {type(action) for action, _ in RECORDED} == set(get_args(Action))


def test_the_recording_event_bears_the_time_of_its_turn():
    event = scheduling_event(RecordMarker(name="m"), at(90))
    assert event is not None
    assert event.at == at(90)


@pytest.mark.parametrize("kind", get_args(Action))
def test_actions_are_frozen_and_slotted(kind: type[Any]):
    assert kind.__struct_config__.frozen
    assert not hasattr(next(a for a, _ in RECORDED if type(a) is kind), "__dict__")
