"""Rewinding on hosts of the Durable Task protocol that leave it to the worker.

Such a host asks with ExecutionRewound after a history that has ended, and then goes on with the
history that it is answered. What is taken out of it is what Microsoft's SDKs take out, since
hosts count on that (``_build_rewind_result`` of the durabletask package). But the execution keeps
its id, which the ids of its children follow from.
"""

from __future__ import annotations

from typing import Any

import durabletask.internal.orchestrator_service_pb2 as pb


def rewound(asked: pb.OrchestratorRequest) -> pb.OrchestratorResponse | None:
    """Return the answer to a request that asks for a rewind; None for any other."""
    if not any(event.HasField("executionRewound") for event in asked.newEvents):
        return None
    if not any(event.HasField("executionCompleted") for event in asked.pastEvents):
        return None  # the host has rewritten the history by itself
    events = [*asked.pastEvents, *asked.newEvents]
    failed = {e.taskFailed.taskScheduledId for e in events if e.HasField("taskFailed")}
    kept = [event for event in events if not _is_forgotten(event, failed)]
    rewind = pb.RewindOrchestrationAction(newHistory=kept)
    action = pb.OrchestratorAction(id=-1, rewindOrchestration=rewind)
    return pb.OrchestratorResponse(instanceId=asked.instanceId, actions=[action])


def _is_forgotten(event: Any, failed: set[int]) -> bool:
    match event.WhichOneof("eventType"):
        case "taskFailed" | "subOrchestrationInstanceFailed" | "executionCompleted":
            return True
        case "taskScheduled":
            return event.eventId in failed
        case _:
            return False
