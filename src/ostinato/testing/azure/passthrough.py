"""The protobuf protocol: the function answers with its new actions, and they are taken as said.

Nothing is compared with history here, and completion is immediate, whatever is open: as recorded
from the extension in its pass-through mode.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from ostinato.testing.azure.decisions import (
    Complete,
    CreateSubOrchestration,
    CreateTimer,
    Decision,
    ScheduleTask,
    SendEvent,
    TurnResult,
)
from ostinato.testing.azure.dotnet import json_text, utf16_size
from ostinato.testing.azure.events import EventRaised
from ostinato.testing.azure.history import History
from ostinato.testing.azure.options import HubOptions
from ostinato.testing.azure.ports import FunctionFailed, Functions
from ostinato.testing.azure.status import Status

if TYPE_CHECKING:
    from durabletask.internal import orchestrator_service_pb2 as pb


def take_turn(history: History, functions: Functions, options: HubOptions) -> TurnResult:
    """Call the function of an execution, and read what it decided."""
    started = history.started
    if not functions.has_orchestration(started.name):
        return _failed(
            f"The function '{started.name}' doesn't exist, is disabled, or is not an orchestrator"
            " function.",
            None,
        )
    try:
        answer = functions.orchestrate(started.name, request_text(history))
    except FunctionFailed as failed:
        return _failed(
            f"Function '{started.name}' failed with an unhandled exception.",
            f"Result: Failure\nException: {failed.text}\nStack: {failed.stack or 'none'}",
        )
    return read_answer(answer, started.name, options)


def request_text(history: History) -> str:
    """The text of the ``orchestrationTrigger``: base64 of an ``OrchestratorRequest``."""
    from durabletask.internal import orchestrator_service_pb2 as pb
    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.struct_pb2 import Value

    from ostinato.testing.azure.event_protobuf import event_message

    messages = [event_message(event) for event in history.events]
    request = pb.OrchestratorRequest(
        instanceId=history.started.instance_id,
        pastEvents=messages[: history.past],
        newEvents=messages[history.past :],
        entityParameters=pb.OrchestratorEntityParameters(
            entityMessageReorderWindow=Duration(seconds=1800)
        ),
        properties={
            "IsExtendedSession": Value(bool_value=False),
            "IncludeState": Value(bool_value=True),
            "HttpDefaultAsyncRequestSleepTimeMilliseconds": Value(number_value=30000),
            "ExtendedSessionIdleTimeoutInSeconds": Value(number_value=0),
        },
    )
    return base64.b64encode(request.SerializeToString()).decode()


def read_answer(answer: str, name: str, options: HubOptions) -> TurnResult:
    """What an answer decides. Nothing of it is taken when it can't be read or is too large."""
    from durabletask.internal import orchestrator_service_pb2 as pb
    from google.protobuf.message import DecodeError

    unhandled = f"Function '{name}' failed with an unhandled exception."
    try:
        response = pb.OrchestratorResponse.FromString(base64.b64decode(answer))
    except (ValueError, DecodeError) as error:
        return _failed(unhandled, f"the response is not an OrchestratorResponse: {error}")
    status = response.customStatus.value if response.HasField("customStatus") else None
    if status is not None and utf16_size(status) > options.maximum_custom_status:
        return _failed(
            unhandled,
            "System.ArgumentException: CustomStatus is too large: limit is"
            f" {options.maximum_custom_status // 1024} KB",
        )
    decisions = tuple(decision for action in response.actions for decision in _decision(action))
    return TurnResult(decisions=decisions, custom_status=status)


def _failed(message: str, details: str | None) -> TurnResult:
    text = message if details is None else json_text({"message": message, "details": details})
    return TurnResult(
        decisions=(Complete(id=0, status=Status.Failed, result=text, details=details),)
    )


def _decision(action: pb.OrchestratorAction) -> tuple[Decision, ...]:
    from ostinato.testing.azure.event_protobuf import time_from

    match action.WhichOneof("orchestratorActionType"):
        case "scheduleTask":
            task = action.scheduleTask
            return (
                ScheduleTask(
                    id=action.id,
                    name=task.name,
                    input=task.input.value if task.HasField("input") else None,
                    version=task.version.value if task.HasField("version") else "",
                    tags=dict(task.tags) or None,
                ),
            )
        case "createSubOrchestration":
            child = action.createSubOrchestration
            return (
                CreateSubOrchestration(
                    id=action.id,
                    name=child.name,
                    instance_id=child.instanceId,
                    input=child.input.value if child.HasField("input") else None,
                    version=child.version.value if child.HasField("version") else None,
                    tags=dict(child.tags) or None,
                ),
            )
        case "createTimer":
            return (CreateTimer(id=action.id, fire_at=time_from(action.createTimer.fireAt)),)
        case "sendEvent":
            sent = action.sendEvent
            return (
                SendEvent(
                    id=action.id,
                    instance_id=sent.instance.instanceId,
                    name=sent.name,
                    input=sent.data.value if sent.HasField("data") else None,
                ),
            )
        case "completeOrchestration":
            return (_completion(action.id, action.completeOrchestration),)
        case _:
            return ()


def _completion(id: int, how: pb.CompleteOrchestrationAction) -> Complete:
    from ostinato.testing.azure.event_protobuf import failure_from_message, time_from

    return Complete(
        id=id,
        status=Status(how.orchestrationStatus),
        result=how.result.value if how.HasField("result") else None,
        details=how.details.value if how.HasField("details") else None,
        failure=failure_from_message(how.failureDetails)
        if how.HasField("failureDetails")
        else None,
        carried=tuple(
            EventRaised(
                timestamp=time_from(event.timestamp),
                name=event.eventRaised.name,
                input=event.eventRaised.input.value
                if event.eventRaised.HasField("input")
                else None,
            )
            for event in how.carryoverEvents
            if event.HasField("eventRaised")
        ),
        new_version=how.newVersion.value if how.HasField("newVersion") else None,
    )
