"""What a turn decided: the new entries of an execution's history, not yet written.

Both protocols end here. The hub writes each decision as an event and does what it asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TypeAlias

import msgspec

from ostinato.testing.azure.events import EventRaised, FailureDetails
from ostinato.testing.azure.status import Status


class ScheduleTask(msgspec.Struct, frozen=True, kw_only=True):
    """Run an activity."""

    id: int
    name: str
    input: str | None
    version: str | None = ""
    tags: Mapping[str, str] | None = None


class CreateTimer(msgspec.Struct, frozen=True, kw_only=True):
    """Wake the instance at a time."""

    id: int
    fire_at: datetime


class CreateSubOrchestration(msgspec.Struct, frozen=True, kw_only=True):
    """Start a child. Without an instance id it never starts."""

    id: int
    name: str
    instance_id: str
    input: str | None
    version: str | None = None
    tags: Mapping[str, str] | None = None


class SendEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Send a message to an instance or an entity."""

    id: int
    instance_id: str
    name: str
    input: str | None
    scheduled: datetime | None = None


class Complete(msgspec.Struct, frozen=True, kw_only=True):
    """End the execution, or go on in a new one."""

    id: int
    status: Status
    result: str | None
    details: str | None = None
    failure: FailureDetails | None = None
    carried: tuple[EventRaised, ...] = ()
    new_version: str | None = None


Decision: TypeAlias = ScheduleTask | CreateTimer | CreateSubOrchestration | SendEvent | Complete


class TurnResult(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one call of an orchestration function.

    Attributes:
        decisions: New ones, in the order of their ids.
        custom_status: JSON text; None clears what was there.
    """

    decisions: tuple[Decision, ...]
    custom_status: str | None = None
