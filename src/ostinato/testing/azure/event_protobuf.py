"""History events as the extension writes them into an ``OrchestratorRequest``.

The generated classes come with the ``durabletask`` package, which only apps on protobuf need:
this module is imported when the first of them is called.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, assert_never

from durabletask.internal import orchestrator_service_pb2 as pb
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import StringValue

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
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def event_message(event: Event) -> pb.HistoryEvent:
    """The message of an event. A reason without details of the failure is not sent."""
    made = pb.HistoryEvent(eventId=event.event_id, timestamp=timestamp(event.timestamp))
    match event:
        case OrchestratorStarted():
            made.orchestratorStarted.SetInParent()
        case OrchestratorCompleted():
            made.orchestratorCompleted.SetInParent()
        case ExecutionStarted():
            made.executionStarted.CopyFrom(_execution_started(event))
        case ExecutionCompleted():
            made.executionCompleted.CopyFrom(
                pb.ExecutionCompletedEvent(
                    orchestrationStatus=pb.OrchestrationStatus.Name(event.status),
                    result=string(event.result),
                    failureDetails=failure_message(event.failure),
                )
            )
        case ExecutionTerminated():
            made.executionTerminated.CopyFrom(
                pb.ExecutionTerminatedEvent(input=string(event.reason))
            )
        case ExecutionSuspended():
            made.executionSuspended.CopyFrom(pb.ExecutionSuspendedEvent(input=string(event.reason)))
        case ExecutionResumed():
            made.executionResumed.CopyFrom(pb.ExecutionResumedEvent(input=string(event.reason)))
        case TaskScheduled():
            made.taskScheduled.CopyFrom(
                pb.TaskScheduledEvent(
                    name=event.name, version=string(event.version or None), tags=event.tags or {}
                )
            )
        case TaskCompleted():
            made.taskCompleted.CopyFrom(
                pb.TaskCompletedEvent(taskScheduledId=event.task_id, result=string(event.result))
            )
        case TaskFailed():
            made.taskFailed.CopyFrom(
                pb.TaskFailedEvent(
                    taskScheduledId=event.task_id, failureDetails=failure_message(event.failure)
                )
            )
        case SubOrchestrationInstanceCreated():
            made.subOrchestrationInstanceCreated.CopyFrom(
                pb.SubOrchestrationInstanceCreatedEvent(
                    instanceId=event.instance_id,
                    name=event.name,
                    version=string(event.version),
                    tags=event.tags or {},
                )
            )
        case SubOrchestrationInstanceCompleted():
            made.subOrchestrationInstanceCompleted.CopyFrom(
                pb.SubOrchestrationInstanceCompletedEvent(
                    taskScheduledId=event.task_id, result=string(event.result)
                )
            )
        case SubOrchestrationInstanceFailed():
            made.subOrchestrationInstanceFailed.CopyFrom(
                pb.SubOrchestrationInstanceFailedEvent(
                    taskScheduledId=event.task_id, failureDetails=failure_message(event.failure)
                )
            )
        case TimerCreated():
            made.timerCreated.CopyFrom(pb.TimerCreatedEvent(fireAt=timestamp(event.fire_at)))
        case TimerFired():
            made.timerFired.CopyFrom(
                pb.TimerFiredEvent(fireAt=timestamp(event.fire_at), timerId=event.timer_id)
            )
        case EventSent():
            made.eventSent.CopyFrom(
                pb.EventSentEvent(
                    instanceId=event.instance_id, name=event.name, input=string(event.input)
                )
            )
        case EventRaised():
            made.eventRaised.CopyFrom(
                pb.EventRaisedEvent(name=event.name, input=string(event.input))
            )
        case GenericEvent():
            made.genericEvent.CopyFrom(pb.GenericEvent(data=string(event.data)))
        case _:
            assert_never(event)
    return made


def _execution_started(event: ExecutionStarted) -> pb.ExecutionStartedEvent:
    parent = event.parent
    return pb.ExecutionStartedEvent(
        name=event.name,
        version=string(event.version),
        input=string(event.input),
        orchestrationInstance=_instance(event.instance_id, event.execution_id),
        parentInstance=None
        if parent is None
        else pb.ParentInstanceInfo(
            taskScheduledId=parent.task_id,
            name=string(parent.name),
            version=string(parent.version),
            orchestrationInstance=_instance(parent.instance_id, parent.execution_id),
        ),
        scheduledStartTimestamp=timestamp(event.scheduled_start) if event.scheduled_start else None,
        tags=event.tags or {},
    )


def _instance(instance_id: str, execution_id: str) -> pb.OrchestrationInstance:
    return pb.OrchestrationInstance(instanceId=instance_id, executionId=string(execution_id))


def string(text: str | None) -> StringValue | None:
    """A text that may be absent."""
    return None if text is None else StringValue(value=text)


def timestamp(time: datetime) -> Timestamp:
    """A time."""
    passed = time - _EPOCH
    return Timestamp(seconds=passed // timedelta(seconds=1), nanos=passed.microseconds * 1000)


def time_from(message: Timestamp) -> datetime:
    """The time that a message holds, in whole microseconds."""
    return _EPOCH + timedelta(seconds=message.seconds, microseconds=message.nanos // 1000)


def failure_message(failure: FailureDetails | None) -> pb.TaskFailureDetails | None:
    """The message of a failure; None for None."""
    if failure is None:
        return None
    return pb.TaskFailureDetails(
        errorType=failure.error_type,
        errorMessage=failure.error_message,
        stackTrace=string(failure.stack_trace),
        innerFailure=failure_message(failure.inner),
        isNonRetriable=failure.non_retriable,
        properties={
            name: ParseDict(value, Value()) for name, value in (failure.properties or {}).items()
        },
    )


def failure_from_message(message: pb.TaskFailureDetails) -> FailureDetails:
    """The failure that a message holds."""
    properties: Mapping[str, Any] = {
        name: MessageToDict(value) for name, value in message.properties.items()
    }
    return FailureDetails(
        error_type=message.errorType,
        error_message=message.errorMessage,
        stack_trace=message.stackTrace.value if message.HasField("stackTrace") else None,
        inner=failure_from_message(message.innerFailure)
        if message.HasField("innerFailure")
        else None,
        non_retriable=message.isNonRetriable,
        properties=properties or None,
    )
