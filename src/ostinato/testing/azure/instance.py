"""What the task hub keeps of an instance, and the messages it is sent."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

from ostinato.testing.azure.events import Event, ExecutionStarted
from ostinato.testing.azure.history import History
from ostinato.testing.azure.status import Status


@dataclass(frozen=True, slots=True)
class Message:
    """An event on its way to an instance."""

    event: Event
    execution_id: str | None = None
    """Only this execution takes it; None for whichever there is."""


@dataclass(slots=True, eq=False)
class Instance:
    """An instance of an orchestration in its current execution.

    Attributes:
        started: The message by which the execution began.
        history: None until the first turn.
        inbox: Messages that no turn has taken, in the order of arrival.
        busy: Whether a turn is being taken.
    """

    started: ExecutionStarted
    created: datetime
    updated: datetime
    status: Status = Status.Pending
    output: str | None = None
    custom_status: str | None = None
    history: History | None = None
    inbox: deque[Message] = field(default_factory=deque[Message])
    suspended: bool = False
    busy: bool = False

    @property
    def id(self) -> str:
        """The instance id."""
        return self.started.instance_id

    @property
    def has_appeared(self) -> bool:
        """Whether clients find it: Azure Storage writes the row of a child with its first turn."""
        return self.started.parent is None or self.history is not None

    @property
    def ready(self) -> bool:
        """Whether a turn can be taken."""
        if self.busy or self.status.finished or not self.inbox:
            return False
        return self.history is not None or isinstance(self.inbox[0].event, ExecutionStarted)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceState:
    """What a client sees of an instance. Texts are JSON, or plain where they are not JSON.

    Attributes:
        history: The events of the current execution, oldest first.
    """

    instance_id: str
    name: str
    status: Status
    input: str | None
    output: str | None
    custom_status: str | None
    created: datetime
    updated: datetime
    execution_id: str
    version: str | None
    tags: dict[str, str]
    parent_id: str | None
    scheduled_start: datetime | None
    history: tuple[Event, ...]


def state_of(instance: Instance) -> InstanceState:
    """A picture of an instance as it is now."""
    started = instance.started
    return InstanceState(
        instance_id=started.instance_id,
        name=started.name,
        status=instance.status,
        input=started.input,
        output=instance.output,
        custom_status=instance.custom_status,
        created=instance.created,
        updated=instance.updated,
        execution_id=started.execution_id,
        version=started.version,
        tags=dict(started.tags or {}),
        parent_id=started.parent.instance_id if started.parent else None,
        scheduled_start=started.scheduled_start,
        history=tuple(instance.history.events) if instance.history else (),
    )
