"""Actions: what an orchestration asks its host to do.

Actions with a ``task_id`` are recorded in history by the scheduling event that
`scheduling_event` gives; the others leave no scheduling event.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias, assert_never

import msgspec

from ostinato import events as ev
from ostinato.events import Event, Json
from ostinato.failures import Failure


class ScheduleTask(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Run one attempt of an activity. Fields as in `events.TaskScheduled`."""

    task_id: int
    name: str
    input: Json
    attempt: int = 1
    first_id: int | None = None
    group: int | None = None
    bound: int | None = None
    timeout: float | None = None


class CreateTimer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Fire at ``due``."""

    task_id: int
    due: datetime


class CancelTimer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The timer is no longer wanted; firing it is harmless."""

    task_id: int


class CreateSubOrchestration(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Start a child and report its end, or a detached instance that reports to nobody."""

    task_id: int
    name: str
    instance_id: str
    input: Json
    version: str | None = None
    detached: bool = False


class SendEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Raise an event on another instance, once (its id is ``event_id``)."""

    task_id: int
    instance_id: str
    name: str
    data: Json
    event_id: str


class RecordMarker(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Keep a decision of the core's in history."""

    name: str


class TerminateChild(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """End an open child of an execution that has ended."""

    task_id: int
    instance_id: str
    reason: str


class Completed(msgspec.Struct, frozen=True, gc=False):
    """The orchestrator returned."""

    output: Json


class Failed(msgspec.Struct, frozen=True, gc=False):
    """The orchestrator raised, or could not go on."""

    failure: Failure


class Terminated(msgspec.Struct, frozen=True, gc=False):
    """The instance was ended from outside."""

    reason: str


class ContinuedAsNew(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The generation ended; the next one starts with what is here."""

    input: Json
    events: tuple[ev.EventRaised, ...]
    """External events that no one has taken, in order of arrival."""
    event_ids: tuple[str, ...]
    custom_status: Json | None
    version: str | None
    """Of the next generation; `definitions.UNVERSIONED` where this one has none."""


Outcome: TypeAlias = Completed | Failed | Terminated | ContinuedAsNew


class CompleteOrchestration(msgspec.Struct, frozen=True, gc=False):
    """The execution has ended; nothing further comes from it."""

    outcome: Outcome


Action: TypeAlias = (
    ScheduleTask
    | CreateTimer
    | CancelTimer
    | CreateSubOrchestration
    | SendEvent
    | RecordMarker
    | TerminateChild
    | CompleteOrchestration
)


def scheduling_event(action: Action, at: datetime) -> Event | None:
    """Return the event that records ``action`` in history, or None where nothing does."""
    match action:
        case ScheduleTask():
            return ev.TaskScheduled(
                at=at,
                task_id=action.task_id,
                name=action.name,
                input=action.input,
                attempt=action.attempt,
                first_id=action.first_id,
                group=action.group,
                bound=action.bound,
                timeout=action.timeout,
            )
        case CreateTimer():
            return ev.TimerCreated(at=at, task_id=action.task_id, due=action.due)
        case CreateSubOrchestration():
            return ev.SubOrchestrationInstanceCreated(
                at=at,
                task_id=action.task_id,
                name=action.name,
                instance_id=action.instance_id,
                input=action.input,
                version=action.version,
                detached=action.detached,
            )
        case SendEvent():
            return ev.EventSent(
                at=at,
                task_id=action.task_id,
                instance_id=action.instance_id,
                name=action.name,
                data=action.data,
            )
        case RecordMarker():
            return ev.Marker(at=at, name=action.name)
        case CompleteOrchestration(Completed(output)):
            return ev.ExecutionCompleted(at=at, status="Completed", result=output)
        case CompleteOrchestration(Failed(failure)):
            return ev.ExecutionCompleted(at=at, status="Failed", failure=failure)
        case CompleteOrchestration(Terminated(reason)):
            return ev.ExecutionCompleted(
                at=at, status="Terminated", failure=Failure(type="Terminated", message=reason)
            )
        case CompleteOrchestration(ContinuedAsNew(input=new_input)):
            return ev.ContinueAsNew(at=at, input=new_input)
        case CompleteOrchestration() | CancelTimer() | TerminateChild():
            return None
        case _:
            assert_never(action)
