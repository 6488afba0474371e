"""What the management API tells of a history, made into events."""

from __future__ import annotations

from typing import Any

import pytest

from ostinato import events as ev
from ostinato_azure.client_history import history_of

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
