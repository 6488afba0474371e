"""What the management API shows of an instance."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from ostinato.testing.azure.dotnet import parsed, time_text
from ostinato.testing.azure.event_json import event_fields
from ostinato.testing.azure.events import (
    Event,
    ExecutionStarted,
    OrchestratorCompleted,
    OrchestratorStarted,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
)
from ostinato.testing.azure.instance import InstanceState
from ostinato.testing.azure.status import Status

_SCHEDULING = (TaskScheduled, SubOrchestrationInstanceCreated)
_ANSWERS = (
    TaskCompleted,
    TaskFailed,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceFailed,
)
_STARTED_HIDES = ("OrchestrationInstance", "ParentInstance", "Name", "Version", "Tags")


def status_object(state: InstanceState) -> dict[str, Any]:
    """The status of an instance, its texts read as JSON where they are JSON."""
    return {
        "name": state.name,
        "instanceId": state.instance_id,
        **({"parentInstanceId": state.parent_id} if state.parent_id else {}),
        "runtimeStatus": state.status.name,
        "input": _value(state.input),
        "customStatus": _value(state.custom_status),
        "output": _value(state.output),
        "createdTime": _seconds(state.created),
        "lastUpdatedTime": _seconds(state.updated),
    }


def history_events(
    events: Iterable[Event], *, show_input: bool, show_output: bool
) -> list[dict[str, Any]]:
    """The events as people read them: what is done is one event and not two."""
    events = list(events)
    answered = {event.task_id for event in events if isinstance(event, _ANSWERS)}
    scheduled = {event.event_id: event for event in events if isinstance(event, _SCHEDULING)}
    shown = list[dict[str, Any]]()
    for event in events:
        if isinstance(event, OrchestratorStarted | OrchestratorCompleted):
            continue
        if isinstance(event, _SCHEDULING) and event.event_id in answered:
            continue
        fields = _shown(event, show_output)
        fields["Timestamp"] = time_text(event.timestamp)
        if isinstance(event, ExecutionStarted):
            fields["FunctionName"] = event.name
        if isinstance(event, _ANSWERS) and event.task_id in scheduled:
            fields |= _of_schedule(scheduled[event.task_id])
        if not show_input:
            fields.pop("Input", None)
        shown.append(fields)
    return shown


def _shown(event: Event, show_output: bool) -> dict[str, Any]:
    fields = {**event_fields(event), "EventType": type(event).__name__}
    for hidden in ("TaskScheduledId", "TimerId"):
        fields.pop(hidden, None)
    if isinstance(event, ExecutionStarted):
        for hidden in _STARTED_HIDES:
            del fields[hidden]
    if isinstance(event, _SCHEDULING):
        del fields["Version"]
    if "OrchestrationStatus" in fields:
        fields["OrchestrationStatus"] = Status(fields["OrchestrationStatus"]).name
    if "Result" in fields:
        if show_output:
            fields["Result"] = parsed(fields["Result"])
        else:
            del fields["Result"]
    return fields


def _of_schedule(event: TaskScheduled | SubOrchestrationInstanceCreated) -> dict[str, Any]:
    child = {}
    if isinstance(event, SubOrchestrationInstanceCreated):
        child = {"InstanceId": event.instance_id}
    return {
        "ScheduledTime": time_text(event.timestamp).removesuffix("Z") + "+00:00",
        "FunctionName": event.name,
        **child,
        "Input": None,
    }


def _value(text: str | None) -> Any:
    return "" if text is not None and not text.strip() else parsed(text)


def _seconds(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
