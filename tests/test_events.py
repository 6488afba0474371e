from __future__ import annotations

import json
from typing import Any, get_args

import msgspec
import pytest

from ostinato import events as ev
from ostinato.events import (
    Event,
    decode_events,
    encode_events,
    events_from_json,
    events_to_json,
)
from ostinato.failures import Failure, failure_of
from tests.histories import (
    START,
    at,
    child,
    child_completed,
    child_failed,
    completed,
    ended,
    failed,
    fired,
    marker,
    raised,
    resumed,
    rewound,
    scheduled,
    sent,
    started,
    suspended,
    terminated,
    timer,
    turn,
)

KINDS: tuple[type[Any], ...] = get_args(Event)

FAILURE = failure_of(ValueError("no", 7), task="a", attempt=2)

EVERY_KIND: list[Event] = [
    turn(),
    started(
        "pipeline",
        {"deep": [1, None, "ü"]},
        version="2",
        parent=ev.Parent("p", "pe", 3),
        tags={"team": "data"},
        start_at=at(60),
        custom_status='"half"',
        events=(raised("go", 1, "id-1"),),
        event_ids=("id-0",),
    ),
    scheduled(0, "a", 1, attempt=2, first_id=0, group=0, bound=4, timeout=1.5),
    completed(0, {"sizes": [1, 2]}),
    failed(0, FAILURE),
    timer(1, 1e9),
    fired(1, 1e9),
    child(2, "c", detached=True, version="1"),
    child_completed(2),
    child_failed(2, FAILURE),
    sent(3, "other", "go", [True]),
    raised("go"),
    suspended(),
    resumed(),
    terminated("enough", cascade=False),
    rewound(1, 2, 3),
    marker("patch:p"),
    ev.ContinueAsNew(at=START, input="1"),
    ended("Failed", failure=FAILURE),
    ev.EntityOperationCalled(at=START, task_id=4, entity_id="@counter@a", operation="add"),
    ev.EntityOperationSignaled(
        at=START, task_id=5, entity_id="@counter@a", operation="add", due=at(9)
    ),
    ev.EntityOperationCompleted(at=START, task_id=4, result="5"),
    ev.EntityOperationFailed(at=START, task_id=4, failure=FAILURE),
]


def test_the_names_are_those_of_the_durable_task_framework():
    assert [kind.__name__ for kind in KINDS] == [
        "ExecutionStarted",
        "OrchestratorStarted",
        "TaskScheduled",
        "TaskCompleted",
        "TaskFailed",
        "TimerCreated",
        "TimerFired",
        "SubOrchestrationInstanceCreated",
        "SubOrchestrationInstanceCompleted",
        "SubOrchestrationInstanceFailed",
        "EventSent",
        "EventRaised",
        "ExecutionSuspended",
        "ExecutionResumed",
        "ExecutionTerminated",
        "ExecutionRewound",
        "Marker",
        "ContinueAsNew",
        "ExecutionCompleted",
        "EntityOperationCalled",
        "EntityOperationSignaled",
        "EntityOperationCompleted",
        "EntityOperationFailed",
    ]


def test_every_kind_of_event_is_tried_here():
    assert {type(event) for event in EVERY_KIND} == set(KINDS)


def test_every_kind_comes_back_as_it_was_stored():
    assert decode_events(encode_events(EVERY_KIND)) == EVERY_KIND


def test_every_kind_comes_back_from_json():
    assert events_from_json(events_to_json(EVERY_KIND)) == EVERY_KIND


def test_times_come_back_aware_and_to_the_microsecond():
    [event] = decode_events(encode_events([ev.OrchestratorStarted(at=at(0.000001))]))
    assert event.at == at(0.000001)
    assert event.at.tzinfo is not None


def test_json_shows_the_kind_and_leaves_out_what_goes_without_saying():
    event = ev.TaskScheduled(at=START, task_id=0, name="a")
    assert json.loads(events_to_json([event])) == [
        {"type": "TaskScheduled", "at": "2026-03-01T12:00:00Z", "task_id": 0, "name": "a"}
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_events_are_frozen_slotted_and_made_by_keywords(kind: type[Any]):
    assert kind.__struct_config__.frozen
    with pytest.raises(TypeError, match="positional"):
        kind(START)
    assert not hasattr(next(e for e in EVERY_KIND if type(e) is kind), "__dict__")


def test_an_event_cannot_be_changed():
    event = completed(0)
    with pytest.raises(AttributeError):
        event.task_id = 1  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode({"type": "Marker"}),
        msgspec.msgpack.encode([{"type": "Nonsense", "at": START}]),
        msgspec.msgpack.encode([{"type": "Marker", "at": START}]),
    ],
)
def test_bytes_that_are_no_list_of_events_are_refused(stored: bytes):
    with pytest.raises(msgspec.MsgspecError):
        decode_events(stored)


def test_fields_that_a_later_release_added_are_passed_over():
    stored = msgspec.msgpack.encode(
        [{"type": "TaskCompleted", "at": START, "task_id": 0, "result": "1", "colour": "red"}]
    )
    assert decode_events(stored) == [completed(0, 1)]


@pytest.mark.parametrize("nonsense", ["", "{}", '[{"type": "TaskCompleted"}]', "[1]"])
def test_text_that_is_no_list_of_events_is_refused(nonsense: str):
    with pytest.raises(msgspec.MsgspecError):
        events_from_json(nonsense)


def test_a_failure_keeps_its_whole_chain_in_history():
    inner = Failure("KeyError", "'k'", args='["k"]')
    event = failed(0, Failure("ValueError", "no", bases=("builtins.ValueError",), cause=inner))
    assert decode_events(encode_events([event])) == [event]
