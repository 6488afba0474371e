"""What activities and children of an execution are given."""

from __future__ import annotations

import msgspec

from ostinato.actions import CreateSubOrchestration, ScheduleTask
from ostinato.definitions import Registry
from ostinato.events import Json
from ostinato_azure import envelope


def activity_payload(action: ScheduleTask, instance_id: str, execution_id: str) -> Json:
    """Return the payload of an activity of ours, with which attempt of what it is."""
    call = envelope.Call(
        instance_id=instance_id,
        execution_id=execution_id,
        task_id=action.task_id,
        first_id=action.task_id if action.first_id is None else action.first_id,
        attempt=action.attempt,
        timeout=action.timeout,
    )
    payload = envelope.plain(action.input)
    return envelope.written(msgspec.structs.replace(payload, call=call))


def child_payload(action: CreateSubOrchestration, registry: Registry) -> Json:
    """Return the payload of a child or detached instance, with its version where it has one."""
    definition = registry.orchestration(action.name, action.version)
    if definition is None or definition.fn is None:
        return action.input
    version = definition.version if action.version is None else action.version
    carrying = msgspec.structs.replace(envelope.plain(action.input), version=version)
    return envelope.written(carrying, once=True)
