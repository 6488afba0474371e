"""Rewinding on hosts of the Durable Task protocol that leave it to the worker.

Such a host asks with ExecutionRewound after a history that has ended, and then goes on with the
history that it is answered. What is taken out of it is what Microsoft's SDKs take out, since
hosts count on that (``_build_rewind_result`` of the durabletask package). But the execution keeps
its id, which the ids of its children follow from.
"""

from __future__ import annotations

from typing import Any

import durabletask.internal.orchestrator_service_pb2 as pb

from ostinato_azure.failures import told_to_rewind


def rewound(asked: pb.OrchestratorRequest) -> pb.OrchestratorResponse | None:
    """Return the answer to a request that asks for a rewind; None for any other."""
    if not any(event.HasField("executionRewound") for event in asked.newEvents):
        return None
    if not any(event.HasField("executionCompleted") for event in asked.pastEvents):
        return None  # the host has rewritten the history by itself
    ended = next(e for e in reversed(asked.pastEvents) if e.HasField("executionCompleted"))
    if _refuses(ended.executionCompleted):
        return _response(asked, completeOrchestration=_as_it_ended(ended.executionCompleted))
    events = [*asked.pastEvents, *asked.newEvents]
    failed = {e.taskFailed.taskScheduledId for e in events if e.HasField("taskFailed")}
    kept = [event for event in events if not _is_forgotten(event, failed)]
    return _response(asked, rewindOrchestration=pb.RewindOrchestrationAction(newHistory=kept))


def _response(asked: pb.OrchestratorRequest, **action: Any) -> pb.OrchestratorResponse:
    actions = [pb.OrchestratorAction(id=-1, **action)]
    return pb.OrchestratorResponse(instanceId=asked.instanceId, actions=actions)


def _refuses(ended: pb.ExecutionCompletedEvent) -> bool:
    """Whether what ended the instance tells that it does not survive a rewind; ours asks first
    (`AzureClient.rewind`), other clients do not."""
    details = ended.failureDetails
    properties = {name: value.string_value for name, value in details.properties.items()}
    return told_to_rewind({"Properties": properties}, details.errorMessage) is False


def _as_it_ended(ended: pb.ExecutionCompletedEvent) -> pb.CompleteOrchestrationAction:
    return pb.CompleteOrchestrationAction(
        orchestrationStatus=ended.orchestrationStatus, failureDetails=ended.failureDetails
    )


def _is_forgotten(event: Any, failed: set[int]) -> bool:
    match event.WhichOneof("eventType"):
        case "taskFailed" | "subOrchestrationInstanceFailed" | "executionCompleted":
            return True
        case "taskScheduled":
            return event.eventId in failed
        case _:
            return False
