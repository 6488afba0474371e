"""What the management API tells of an instance's history.

It gives events for people to look at: without task ids and turns, scheduling events merged into
their ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from ostinato import events as ev
from ostinato.events import Event
from ostinato.failures import ACTIVITY_ERROR, SUB_ORCHESTRATION_ERROR, Failure
from ostinato_azure import envelope
from ostinato_azure.failures import failure_from_details

_FAILED = ("TaskFailed", "SubOrchestrationInstanceFailed")


def children_of(found: dict[str, Any], *, finished: bool = False) -> list[str]:
    """Ids of the children that have not ended; with ``finished``, those that have as well."""
    kinds = ["SubOrchestrationInstanceCreated"]
    if finished:
        kinds += ["SubOrchestrationInstanceCompleted", "SubOrchestrationInstanceFailed"]
    ids = [e.get("InstanceId") for e in _events(found) if e["EventType"] in kinds]
    return [str(found_id) for found_id in ids if found_id]


def names_of_failures(found: dict[str, Any]) -> list[str]:
    """Names of the attempts that failed, in order."""
    return [str(e.get("FunctionName")) for e in _events(found) if e["EventType"] in _FAILED]


def failure_in(found: dict[str, Any]) -> Failure:
    """The failure that ended an instance."""
    details: Any = None
    for event in _events(found):
        if event["EventType"] == "ExecutionCompleted":
            details = event.get("FailureDetails")
    output = found.get("output")
    text = output if isinstance(output, str) else msgspec.json.encode(output).decode()
    return failure_from_details(details, text, SUB_ORCHESTRATION_ERROR, found["name"])


def history_of(found: dict[str, Any]) -> Sequence[Event]:
    """The history as far as the API tells it; task ids count up in the order of the events."""
    history: list[Event] = []
    next_id = 0
    for told in _events(found):
        at = datetime.fromisoformat(told["Timestamp"])
        name = str(told.get("FunctionName") or told.get("Name") or "")
        scheduled = told.get("ScheduledTime")
        began = at if scheduled is None else datetime.fromisoformat(scheduled)
        match told["EventType"]:
            case "ExecutionStarted":
                payload = envelope.read(_json(told.get("Input")))
                history.append(
                    ev.ExecutionStarted(
                        at=at,
                        instance_id=found["instanceId"],
                        execution_id="",
                        name=name,
                        input=payload.text,
                        version=payload.version,
                        tags=payload.tags,
                    )
                )
            case "TaskScheduled":
                history.append(ev.TaskScheduled(at=at, task_id=next_id, name=name))
                next_id += 1
            case "TaskCompleted":
                result = envelope.read_exact(_json(told.get("Result"))).text
                history += [
                    ev.TaskScheduled(at=began, task_id=next_id, name=name),
                    ev.TaskCompleted(at=at, task_id=next_id, result=result),
                ]
                next_id += 1
            case "TaskFailed":
                failure = _failure(told, ACTIVITY_ERROR, name)
                history += [
                    ev.TaskScheduled(at=began, task_id=next_id, name=name),
                    ev.TaskFailed(at=at, task_id=next_id, failure=failure),
                ]
                next_id += 1
            case "EventRaised":
                payload = envelope.read(_json(told.get("Input")))
                history.append(
                    ev.EventRaised(at=at, name=name, data=payload.text, event_id=payload.event_id)
                )
            case "ExecutionTerminated":
                history.append(ev.ExecutionTerminated(at=at, reason=str(told.get("Input") or "")))
            case "ExecutionCompleted":
                history.append(_completed(told, at, found))
            case _:
                pass
    return history


def _completed(told: dict[str, Any], at: datetime, found: dict[str, Any]) -> Event:
    if told.get("OrchestrationStatus") == "Failed":
        return ev.ExecutionCompleted(at=at, status="Failed", failure=failure_in(found))
    return ev.ExecutionCompleted(at=at, status="Completed", result=_json(told.get("Result")))


def _failure(told: dict[str, Any], kind: str, name: str) -> Failure:
    return failure_from_details(told.get("FailureDetails"), told.get("Reason"), kind, name)


def _events(found: dict[str, Any]) -> list[dict[str, Any]]:
    return found.get("historyEvents") or []


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
