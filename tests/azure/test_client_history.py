"""What the management API tells of a history, made into events."""

from __future__ import annotations

from typing import Any

import pytest

from ostinato import events as ev
from ostinato_azure.client_history import children_of, history_of

LATER = "2026-01-01T00:00:01.000+00:00"
EARLIER = "2026-01-01T00:00:00.995Z"


@pytest.mark.parametrize(
    ("told", "kinds"),
    [
        (
            {"EventType": "TaskCompleted", "Result": 1},
            (ev.TaskScheduled, ev.TaskCompleted),
        ),
        (
            {"EventType": "SubOrchestrationInstanceCompleted", "InstanceId": "child"},
            (ev.SubOrchestrationInstanceCreated, ev.SubOrchestrationInstanceCompleted),
        ),
    ],
)
def test_an_end_that_another_clock_stamps_before_its_beginning_comes_after_it(
    told: dict[str, Any], kinds: tuple[type, type]
) -> None:
    event = {**told, "FunctionName": "a", "Timestamp": EARLIER, "ScheduledTime": LATER}
    found = {"instanceId": "one", "name": "job", "historyEvents": [event]}
    begin, end = history_of(found)
    assert (type(begin), type(end)) == kinds
    assert begin.at == end.at


def above(*events: dict[str, Any]) -> dict[str, Any]:
    """A parent whose history has these events."""
    return {"instanceId": "above", "name": "job", "historyEvents": events}


def told(kind: str, at: str, instance_id: str = "below") -> dict[str, Any]:
    name = f"SubOrchestrationInstance{kind}"
    return {"EventType": name, "InstanceId": instance_id, "Timestamp": at}


ENDED = {
    "EventType": "ExecutionCompleted",
    "OrchestrationStatus": "Terminated",
    "Timestamp": "2026-01-01T00:00:09.5Z",
}


def test_children_are_told_once_and_whether_they_are_open():
    found = above(told("Completed", EARLIER, "done"), told("Created", EARLIER), ENDED)
    children = [(child.instance_id, child.is_open) for child in children_of(found)]
    assert children == [("done", False), ("below", True)]
    tried_again = above(told("Failed", EARLIER), told("Created", LATER))
    assert [child.is_open for child in children_of(tried_again)] == [True]


@pytest.mark.parametrize(
    ("parent", "is_child"), [("above", True), ("another", False), (None, False), ("", False)]
)
def test_an_instance_is_a_child_where_the_parent_that_it_tells_is_its_parent(
    parent: str | None, is_child: bool
) -> None:
    (child,) = children_of(above(told("Completed", EARLIER)))
    found = {"instanceId": "below", "parentInstanceId": parent, "createdTime": EARLIER}
    assert child.is_still(found) is is_child


@pytest.mark.parametrize(
    ("events", "created", "is_child"),
    [
        ([told("Completed", "2026-01-01T00:00:05.2Z")], "2026-01-01T00:00:05Z", True),
        ([told("Failed", "2026-01-01T00:00:05.2Z")], "2026-01-01T00:00:06Z", False),
        (
            [told("Failed", "2026-01-01T00:00:05Z"), told("Completed", "2026-01-01T00:00:08Z")],
            "2026-01-01T00:00:06Z",
            True,
        ),
        ([told("Created", EARLIER), ENDED], "2026-01-01T00:00:09Z", True),
        ([told("Created", EARLIER), ENDED], "2026-01-01T00:00:10Z", False),
        ([told("Created", EARLIER)], "2026-01-01T00:00:10Z", True),
    ],
    ids=["before", "after", "tried again", "open, before", "open, after", "parent runs"],
)
def test_where_no_parent_is_told_what_was_created_after_the_end_is_no_child(
    events: list[dict[str, Any]], created: str, is_child: bool
) -> None:
    (child,) = children_of(above(*events))
    assert child.is_still({"instanceId": "below", "createdTime": created}) is is_child


def test_where_the_host_tells_no_times_every_child_is_taken_for_one() -> None:
    found = above(told("Completed", "1970-01-01T00:00:00Z"))
    (child,) = children_of(found | {"createdTime": EARLIER})
    assert child.is_still({"instanceId": "below", "createdTime": LATER})
