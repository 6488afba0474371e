"""Events: the facts of which a history is made.

Names and meaning are those of the Durable Task framework. A history is the list of
an execution's events, oldest first. ``OrchestratorStarted`` opens each turn and
sets its clock; then come the messages that caused the turn; then what the turn scheduled.

Payload fields (``input``, ``result``, ``data``) hold JSON text, never Python objects.
Times are aware, in UTC. ``task_id`` counts up from 0 within an execution.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from ostinato.failures import Failure

Json: TypeAlias = str
"""JSON text."""


class Parent(msgspec.Struct, frozen=True, gc=False):
    """Who awaits a sub-orchestration: the message its end is addressed to."""

    instance_id: str
    execution_id: str
    task_id: int


class HistoryEvent(
    msgspec.Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True, gc=False
):
    """What all events have in common."""

    at: datetime


class EventRaised(HistoryEvent, frozen=True, kw_only=True):
    """An external event arrived."""

    name: str
    data: Json = "null"
    event_id: str | None = None


class ExecutionStarted(HistoryEvent, frozen=True, kw_only=True):
    """One generation of an instance began: first run, continue-as-new or restart."""

    instance_id: str
    execution_id: str
    name: str
    input: Json = "null"
    version: str | None = None
    """None: the one registered last, chosen in the first turn; empty: the one without a name."""
    parent: Parent | None = None
    tags: dict[str, str] | None = None
    start_at: datetime | None = None
    custom_status: Json | None = None
    """Carried over by continue-as-new."""
    events: tuple[EventRaised, ...] = ()
    """External events that the generation before left unread, oldest first."""
    event_ids: tuple[str, ...] = ()
    """External event ids taken by earlier generations, oldest first, at most 1,000."""


class OrchestratorStarted(HistoryEvent, frozen=True, kw_only=True):
    """A turn began; ``at`` is its clock."""


class TaskScheduled(HistoryEvent, frozen=True, kw_only=True):
    """One attempt of an activity was scheduled."""

    task_id: int
    name: str
    input: Json = "null"
    attempt: int = 1
    first_id: int | None = None
    """The task id of the first attempt; None when this is the first."""
    group: int | None = None
    """The first task id of the bounded map that this belongs to."""
    bound: int | None = None
    """How many attempts of the group may run at a time."""
    timeout: float | None = None
    """Seconds that this attempt may take from its start."""


class TaskCompleted(HistoryEvent, frozen=True, kw_only=True):
    """An activity returned."""

    task_id: int
    result: Json = "null"


class TaskFailed(HistoryEvent, frozen=True, kw_only=True):
    """An attempt of an activity raised, timed out or crashed."""

    task_id: int
    failure: Failure


class TimerCreated(HistoryEvent, frozen=True, kw_only=True):
    """A timer was set."""

    task_id: int
    due: datetime


class TimerFired(HistoryEvent, frozen=True, kw_only=True):
    """A timer was due."""

    task_id: int
    due: datetime


class SubOrchestrationInstanceCreated(HistoryEvent, frozen=True, kw_only=True):
    """A child was started; with ``detached``, an instance that belongs to nobody."""

    task_id: int
    name: str
    instance_id: str
    input: Json = "null"
    version: str | None = None
    detached: bool = False


class SubOrchestrationInstanceCompleted(HistoryEvent, frozen=True, kw_only=True):
    """A child completed."""

    task_id: int
    result: Json = "null"


class SubOrchestrationInstanceFailed(HistoryEvent, frozen=True, kw_only=True):
    """A child failed, was terminated or could not be started."""

    task_id: int
    failure: Failure


class EventSent(HistoryEvent, frozen=True, kw_only=True):
    """An external event was sent to another instance."""

    task_id: int
    instance_id: str
    name: str
    data: Json = "null"


class ExecutionSuspended(HistoryEvent, frozen=True, kw_only=True):
    """From here on messages are held."""

    reason: str = ""


class ExecutionResumed(HistoryEvent, frozen=True, kw_only=True):
    """Held messages are applied, in order."""

    reason: str = ""


class ExecutionTerminated(HistoryEvent, frozen=True, kw_only=True):
    """The instance was ended from outside."""

    reason: str = ""
    cascade: bool = True
    """Whether open children are terminated too."""


class ExecutionRewound(HistoryEvent, frozen=True, kw_only=True):
    """A failed instance goes on; ``dropped`` are the positions of the events it forgets."""

    reason: str = ""
    dropped: tuple[int, ...] = ()


class Marker(HistoryEvent, frozen=True, kw_only=True):
    """A decision of the core's: ``version:<v>`` or ``patch:<id>``."""

    name: str


class ContinueAsNew(HistoryEvent, frozen=True, kw_only=True):
    """The generation ended and another begins with ``input``."""

    input: Json = "null"


class ExecutionCompleted(HistoryEvent, frozen=True, kw_only=True):
    """The instance ended."""

    status: Literal["Completed", "Failed", "Terminated"]
    result: Json | None = None
    failure: Failure | None = None


class EntityOperationCalled(HistoryEvent, frozen=True, kw_only=True):
    """An entity was asked for an answer. (Has its place; no host performs it yet.)"""

    task_id: int
    entity_id: str
    operation: str
    input: Json = "null"


class EntityOperationSignaled(HistoryEvent, frozen=True, kw_only=True):
    """An entity was signalled. (Has its place; no host performs it yet.)"""

    task_id: int
    entity_id: str
    operation: str
    input: Json = "null"
    due: datetime | None = None


class EntityOperationCompleted(HistoryEvent, frozen=True, kw_only=True):
    """An entity answered. (Has its place; no host performs it yet.)"""

    task_id: int
    result: Json = "null"


class EntityOperationFailed(HistoryEvent, frozen=True, kw_only=True):
    """An entity's operation failed. (Has its place; no host performs it yet.)"""

    task_id: int
    failure: Failure


Event: TypeAlias = (
    ExecutionStarted
    | OrchestratorStarted
    | TaskScheduled
    | TaskCompleted
    | TaskFailed
    | TimerCreated
    | TimerFired
    | SubOrchestrationInstanceCreated
    | SubOrchestrationInstanceCompleted
    | SubOrchestrationInstanceFailed
    | EventSent
    | EventRaised
    | ExecutionSuspended
    | ExecutionResumed
    | ExecutionTerminated
    | ExecutionRewound
    | Marker
    | ContinueAsNew
    | ExecutionCompleted
    | EntityOperationCalled
    | EntityOperationSignaled
    | EntityOperationCompleted
    | EntityOperationFailed
)
"""Any event of a history."""

Scheduling: TypeAlias = TaskScheduled | TimerCreated | SubOrchestrationInstanceCreated | EventSent
"""An event that records what was asked for under a task id."""

SCHEDULING = (TaskScheduled, TimerCreated, SubOrchestrationInstanceCreated, EventSent)
"""The same, for ``isinstance``."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Event])


def encode_events(events: list[Event]) -> bytes:
    """Return events as they are stored: a MessagePack array of maps tagged with ``type``."""
    return _encoder.encode(events)


def decode_events(stored: bytes) -> list[Event]:
    """Return the events that `encode_events` wrote.

    Raises:
        msgspec.MsgspecError: The bytes are no list of events.
    """
    return _decoder.decode(stored)


def events_to_json(events: Sequence[Event]) -> str:
    """Return a history as people and other tools read it: a JSON array of tagged objects."""
    return msgspec.json.format(msgspec.json.encode(events), indent=2).decode()


def events_from_json(text: str) -> list[Event]:
    """Return the history that `events_to_json` wrote.

    Raises:
        msgspec.MsgspecError: The text is no list of events.
    """
    return msgspec.json.decode(text, type=list[Event])
