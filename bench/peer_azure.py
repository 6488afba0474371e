"""azure-functions-durable 1.x: its replay of the JSON history that the extension sends."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import azure.durable_functions as df
import common

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
ORCHESTRATOR_STARTED, EXECUTION_STARTED, TASK_SCHEDULED, TASK_COMPLETED = 12, 0, 4, 5


def chain(context):
    value = 0
    for _ in range(int(context.get_input())):
        value = yield context.call_activity("add_one", value)
    return value


def fan_out(context):
    items = int(context.get_input())
    results = yield context.task_all([context.call_activity("add_one", i) for i in range(items)])
    return sum(results)


def replay(shape: str, activities: int, turn: int):
    """Answer one request: the whole history as JSON text."""
    build = sequential_history if shape == "sequential" else fan_out_history
    stored = json.dumps(
        {
            "history": build(activities, turn),
            "input": str(activities),
            "instanceId": "i",
            "isReplaying": False,
            "parentInstanceId": None,
            "upperSchemaVersion": 1,
            "upperSchemaVersionNew": 3,
            "longRunningTimerIntervalDuration": "3.00:00:00",
            "maximumShortTimerDuration": "6.00:00:00",
            "defaultHttpAsyncRequestSleepTimeMillseconds": 30000,
        }
    )
    handle = df.Orchestrator.create(chain if shape == "sequential" else fan_out)
    answer = json.loads(handle(stored))
    expected = activities if shape == "sequential" else activities * (activities + 1) // 2
    assert answer["isDone"], str(answer)[:300]
    assert answer["output"] == expected, str(answer)[:300]
    took = common.timed(lambda: handle(stored))
    return {
        "activities_per_s": activities / took,
        "bytes": len(stored),
        "version": version("azure-functions-durable"),
    }


def sequential_history(activities: int, turn: int):
    """One turn an activity: its predecessor's result, then its scheduling."""
    events = _first("chain", activities)
    for number in range(activities):
        now = EPOCH + timedelta(milliseconds=number)
        events += [
            _event(TASK_SCHEDULED, number, now, Name="add_one", Version="", Input=None),
            _event(ORCHESTRATOR_STARTED, -1, now),
            _event(TASK_COMPLETED, -1, now, TaskScheduledId=number, Result=str(number + 1)),
        ]
    return events


def fan_out_history(activities: int, turn: int):
    """A turn that schedules everything, then turns of ``turn`` results each."""
    events = _first("fan_out", activities)
    events += [
        _event(TASK_SCHEDULED, n, EPOCH, Name="add_one", Version="", Input=None)
        for n in range(activities)
    ]
    for first in range(0, activities, turn):
        now = EPOCH + timedelta(milliseconds=first)
        events.append(_event(ORCHESTRATOR_STARTED, -1, now))
        events += [
            _event(TASK_COMPLETED, -1, now, TaskScheduledId=n, Result=str(n + 1))
            for n in range(first, min(first + turn, activities))
        ]
    return events


def _first(name: str, activities: int):
    return [
        _event(ORCHESTRATOR_STARTED, -1, EPOCH),
        _event(EXECUTION_STARTED, -1, EPOCH, Name=name, Version="", Input=str(activities)),
    ]


def _event(kind: int, event_id: int, at: datetime, **fields):
    stamp = at.strftime("%Y-%m-%dT%H:%M:%S.%f0Z")
    return {"EventType": kind, "EventId": event_id, "IsPlayed": False, "Timestamp": stamp} | fields


if __name__ == "__main__":
    common.serve_child({"replay": replay})
