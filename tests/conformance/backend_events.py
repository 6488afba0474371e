"""History events of the Durable Task protocol as the stand-in of the Functions host has them."""

from __future__ import annotations

from typing import Any

from durabletask.internal import orchestrator_service_pb2 as pb

from ostinato.testing.azure import events as az
from ostinato.testing.azure.event_protobuf import failure_from_message, time_from


def event_of(message: pb.HistoryEvent) -> az.Event | None:
    """The event of a message; None for kinds that an app of ours never causes."""
    kind = message.WhichOneof("eventType")
    body: Any = getattr(message, str(kind))
    at: dict[str, Any] = {"timestamp": time_from(message.timestamp), "event_id": message.eventId}
    match kind:
        case "orchestratorStarted":
            return az.OrchestratorStarted(**at)
        case "orchestratorCompleted":
            return az.OrchestratorCompleted(**at)
        case "executionStarted":
            return az.ExecutionStarted(
                instance_id=body.orchestrationInstance.instanceId,
                execution_id="",
                name=body.name,
                input=text_of(body, "input"),
                **at,
            )
        case "executionCompleted":
            return az.ExecutionCompleted(
                status=body.orchestrationStatus,
                result=text_of(body, "result"),
                failure=_failure(body),
                **at,
            )
        case "executionTerminated":
            return az.ExecutionTerminated(reason=text_of(body, "input"), **at)
        case "executionSuspended":
            return az.ExecutionSuspended(reason=text_of(body, "input"), **at)
        case "executionResumed":
            return az.ExecutionResumed(reason=text_of(body, "input"), **at)
        case "taskScheduled":
            return az.TaskScheduled(name=body.name, **at)
        case "taskCompleted":
            result = text_of(body, "result")
            return az.TaskCompleted(task_id=body.taskScheduledId, result=result, **at)
        case "taskFailed":
            failure = _failure(body)
            return az.TaskFailed(task_id=body.taskScheduledId, reason=None, failure=failure, **at)
        case "subOrchestrationInstanceCreated":
            return az.SubOrchestrationInstanceCreated(
                name=body.name, instance_id=body.instanceId, **at
            )
        case "subOrchestrationInstanceCompleted":
            result = text_of(body, "result")
            return az.SubOrchestrationInstanceCompleted(
                task_id=body.taskScheduledId, result=result, **at
            )
        case "subOrchestrationInstanceFailed":
            failure = _failure(body)
            return az.SubOrchestrationInstanceFailed(
                task_id=body.taskScheduledId, reason=None, failure=failure, **at
            )
        case "timerCreated":
            return az.TimerCreated(fire_at=time_from(body.fireAt), **at)
        case "timerFired":
            return az.TimerFired(timer_id=body.timerId, fire_at=time_from(body.fireAt), **at)
        case "eventRaised":
            return az.EventRaised(name=body.name, input=text_of(body, "input"), **at)
        case _:
            return None


def text_of(message: Any, name: str) -> str | None:
    """A text that may be left out."""
    return str(getattr(message, name).value) if message.HasField(name) else None


def _failure(body: Any) -> az.FailureDetails | None:
    if not body.HasField("failureDetails"):
        return None
    return failure_from_message(body.failureDetails)
