"""The history events of the Durable Task Framework.

They belong to neither protocol: `event_json` and `event_protobuf` render them for each, so that
an instance begun on one goes on on the other. Times are aware, in UTC. Names and meaning follow
DurableTask.Core (``History/*.cs``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureDetails:
    """A failure with structure: ``TaskFailureDetails`` / ``FailureDetails``."""

    error_type: str
    error_message: str
    stack_trace: str | None = None
    inner: FailureDetails | None = None
    non_retriable: bool = False
    properties: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentInstance:
    """Who waits for a child: an execution of an instance, at a task id."""

    name: str
    instance_id: str
    execution_id: str
    task_id: int
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Event:
    timestamp: datetime
    """When it was written, or when the message that carried it was sent."""

    event_id: int = -1
    """The task id of what schedules something; -1 for everything else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionStarted(_Event):
    """Begins an execution of an instance."""

    instance_id: str
    execution_id: str
    name: str
    input: str | None
    version: str | None = None
    parent: ParentInstance | None = None
    tags: Mapping[str, str] | None = None
    scheduled_start: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionCompleted(_Event):
    """The last event of an execution that ended, but for one that continued as new."""

    status: int
    """An ``OrchestrationStatus``: 0 to 7."""
    result: str | None
    failure: FailureDetails | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionTerminated(_Event):
    """A client ended the instance."""

    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionSuspended(_Event):
    """A client suspended the instance."""

    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionResumed(_Event):
    """A client resumed the instance."""

    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestratorStarted(_Event):
    """Opens a turn and sets its clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestratorCompleted(_Event):
    """Closes a turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskScheduled(_Event):
    """An activity was scheduled. Its input is in the message, not in history."""

    name: str
    version: str | None = ""
    tags: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCompleted(_Event):
    """An activity gave its result, JSON text."""

    task_id: int
    result: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFailed(_Event):
    """An activity failed."""

    task_id: int
    reason: str | None
    details: str | None = None
    failure: FailureDetails | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubOrchestrationInstanceCreated(_Event):
    """A child was started."""

    name: str
    instance_id: str
    version: str | None = None
    tags: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubOrchestrationInstanceCompleted(_Event):
    """A child gave its result, JSON text."""

    task_id: int
    result: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubOrchestrationInstanceFailed(_Event):
    """A child failed, or was terminated."""

    task_id: int
    reason: str | None
    details: str | None = None
    failure: FailureDetails | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerCreated(_Event):
    """A timer was set."""

    fire_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerFired(_Event):
    """A timer went off."""

    timer_id: int
    fire_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSent(_Event):
    """A message went to another instance or to an entity."""

    instance_id: str
    name: str
    input: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRaised(_Event):
    """A message arrived: JSON text."""

    name: str
    input: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GenericEvent(_Event):
    """Says something and does nothing: what a rewind leaves of what it takes back."""

    data: str | None


Event: TypeAlias = (
    ExecutionStarted
    | ExecutionCompleted
    | ExecutionTerminated
    | ExecutionSuspended
    | ExecutionResumed
    | OrchestratorStarted
    | OrchestratorCompleted
    | TaskScheduled
    | TaskCompleted
    | TaskFailed
    | SubOrchestrationInstanceCreated
    | SubOrchestrationInstanceCompleted
    | SubOrchestrationInstanceFailed
    | TimerCreated
    | TimerFired
    | EventSent
    | EventRaised
    | GenericEvent
)
