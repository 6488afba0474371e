"""History events as the extension writes them into the JSON request of a classic app.

Order of keys as recorded from extension 3.15. ``IsPlayed`` belongs to the request and not to the
event, so an event is rendered once, as the text before that value and the text after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never, cast

from ostinato.testing.azure.dotnet import json_text, time_text
from ostinato.testing.azure.events import (
    Event,
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    FailureDetails,
    GenericEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    ParentInstance,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)

EVENT_TYPES: dict[type[Event], int] = {
    ExecutionStarted: 0,
    ExecutionCompleted: 1,
    ExecutionTerminated: 3,
    TaskScheduled: 4,
    TaskCompleted: 5,
    TaskFailed: 6,
    SubOrchestrationInstanceCreated: 7,
    SubOrchestrationInstanceCompleted: 8,
    SubOrchestrationInstanceFailed: 9,
    TimerCreated: 10,
    TimerFired: 11,
    OrchestratorStarted: 12,
    OrchestratorCompleted: 13,
    EventSent: 14,
    EventRaised: 15,
    GenericEvent: 17,
    ExecutionSuspended: 19,
    ExecutionResumed: 20,
}
"""``EventType`` of DurableTask.Core."""


def event_text(event: Event) -> tuple[str, str]:
    """The JSON of an event before and after the value of ``IsPlayed``."""
    head = json_text({**event_fields(event), "EventId": event.event_id})
    return head[:-1] + ',"IsPlayed":', f',"Timestamp":"{time_text(event.timestamp)}"}}'


def event_fields(event: Event) -> dict[str, Any]:
    """What an event says besides its id and its time, in the extension's order."""
    kind = {"EventType": EVENT_TYPES[type(event)]}
    match event:
        case OrchestratorStarted() | OrchestratorCompleted():
            return kind
        case ExecutionStarted():
            return {
                "OrchestrationInstance": _instance(event.instance_id, event.execution_id),
                **kind,
                "ParentInstance": event.parent and _parent(event.parent),
                "Name": event.name,
                "Version": event.version,
                "Input": event.input,
                "Tags": event.tags,
                "Correlation": None,
                "ParentTraceContext": None,
                "ScheduledStartTime": event.scheduled_start and time_text(event.scheduled_start),
                "Generation": None,
                "GenerateNewTrace": False,
            }
        case ExecutionCompleted():
            return {
                **kind,
                "OrchestrationStatus": event.status,
                "Result": event.result,
                "FailureDetails": failure_fields(event.failure),
            }
        case ExecutionTerminated(reason=reason):
            return {**kind, "Input": reason}
        case ExecutionSuspended(reason=reason) | ExecutionResumed(reason=reason):
            return {**kind, "Reason": reason}
        case TaskScheduled():
            return {
                **kind,
                "Name": event.name,
                "Version": event.version,
                "Input": None,
                "ParentTraceContext": None,
                "Tags": event.tags,
            }
        case TaskCompleted() | SubOrchestrationInstanceCompleted():
            return {**kind, "TaskScheduledId": event.task_id, "Result": event.result}
        case TaskFailed() | SubOrchestrationInstanceFailed():
            return {
                **kind,
                "TaskScheduledId": event.task_id,
                "Reason": event.reason,
                "Details": event.details,
                "FailureDetails": failure_fields(event.failure),
            }
        case SubOrchestrationInstanceCreated():
            return {
                **kind,
                "Name": event.name,
                "Version": event.version,
                "InstanceId": event.instance_id,
                "Input": None,
                "ClientSpanId": None,
                "Tags": event.tags,
            }
        case TimerCreated():
            return {**kind, "FireAt": time_text(event.fire_at)}
        case TimerFired():
            return {**kind, "TimerId": event.timer_id, "FireAt": time_text(event.fire_at)}
        case EventSent():
            return {
                **kind,
                "InstanceId": event.instance_id,
                "Name": event.name,
                "Input": event.input,
            }
        case EventRaised():
            return {
                **kind,
                "Name": event.name,
                "Input": event.input,
                "ParentTraceContext": None,
            }
        case GenericEvent():
            return {**kind, "Data": event.data}
        case _:
            assert_never(event)


def failure_fields(failure: FailureDetails | None) -> dict[str, Any] | None:
    """A ``FailureDetails`` object; None for None."""
    if failure is None:
        return None
    return {
        "ErrorType": failure.error_type,
        "ErrorMessage": failure.error_message,
        "StackTrace": failure.stack_trace,
        "InnerFailure": failure_fields(failure.inner),
        "IsNonRetriable": failure.non_retriable,
        "Properties": failure.properties,
    }


def failure_from(fields: Any) -> FailureDetails | None:
    """The failure that a ``failureDetails`` object describes, names in any case; else None."""
    if not isinstance(fields, dict):
        return None
    named = cast(Mapping[str, Any], fields)
    given = {name.lower(): value for name, value in named.items()}
    properties = given.get("properties")
    return FailureDetails(
        error_type=str(given.get("errortype") or "None"),
        error_message=str(given.get("errormessage") or ""),
        stack_trace=given.get("stacktrace"),
        inner=failure_from(given.get("innerfailure")),
        non_retriable=given.get("isnonretriable") is True,
        properties=cast(Mapping[str, Any], properties) if isinstance(properties, dict) else None,
    )


def _instance(instance_id: str, execution_id: str) -> dict[str, str]:
    return {"InstanceId": instance_id, "ExecutionId": execution_id}


def _parent(parent: ParentInstance) -> dict[str, Any]:
    return {
        "Name": parent.name,
        "OrchestrationInstance": _instance(parent.instance_id, parent.execution_id),
        "TaskScheduleId": parent.task_id,
        "Version": parent.version,
    }
