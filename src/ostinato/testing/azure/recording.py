"""What a turn decided, written into history."""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

from ostinato.testing.azure.decisions import (
    Complete,
    CreateSubOrchestration,
    CreateTimer,
    Decision,
    ScheduleTask,
    SendEvent,
)
from ostinato.testing.azure.events import (
    Event,
    EventSent,
    ExecutionCompleted,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskScheduled,
    TimerCreated,
)
from ostinato.testing.azure.status import Status


def event_of(decision: Decision, now: datetime) -> Event:
    """The event by which a decision is remembered."""
    match decision:
        case ScheduleTask():
            return TaskScheduled(
                timestamp=now,
                event_id=decision.id,
                name=decision.name,
                version=decision.version,
                tags=decision.tags,
            )
        case CreateTimer():
            return TimerCreated(timestamp=now, event_id=decision.id, fire_at=decision.fire_at)
        case CreateSubOrchestration():
            return SubOrchestrationInstanceCreated(
                timestamp=now,
                event_id=decision.id,
                name=decision.name,
                instance_id=decision.instance_id,
                version=decision.version,
                tags=decision.tags,
            )
        case SendEvent():
            return EventSent(
                timestamp=now,
                event_id=decision.id,
                instance_id=decision.instance_id,
                name=decision.name,
                input=decision.input,
            )
        case Complete():
            return ExecutionCompleted(
                timestamp=now,
                event_id=decision.id,
                status=decision.status,
                result=decision.result,
                failure=decision.failure,
            )
        case _:
            assert_never(decision)


def told_to_parent(how: Complete, task_id: int, now: datetime) -> Event:
    """The message by which a parent learns how its child ended."""
    if how.status is Status.Completed:
        return SubOrchestrationInstanceCompleted(timestamp=now, task_id=task_id, result=how.result)
    return SubOrchestrationInstanceFailed(
        timestamp=now,
        task_id=task_id,
        reason=how.result,
        details=how.details,
        failure=how.failure,
    )


def output_of(how: Complete) -> str | None:
    """What a client sees as the output."""
    if how.failure is not None:
        return f"{how.failure.error_type}: {how.failure.error_message}"
    return how.result
