"""The store port: what the embedded engine needs kept, in its own words.

One engine executes a task hub and is the only caller of `Store.commit`. Clients, in this
process or another, may read at any time and may `create` and `send`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

import msgspec

from ostinato.client import IfExists, Query, RuntimeStatus
from ostinato.errors import StoreError
from ostinato.events import Event, ExecutionStarted, Json, Parent, TaskScheduled


class ConflictError(StoreError):
    """Someone else changed the instance first; load it again."""


class Instance(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The head of an instance: what is known without reading its history."""

    instance_id: str
    execution_id: str
    name: str
    version: str | None
    status: RuntimeStatus
    created_at: datetime
    updated_at: datetime
    custom_status: Json | None = None
    parent: Parent | None = None
    tags: dict[str, str] | None = None
    length: int = 0
    """Events in the history of the current execution."""


class Timer(NamedTuple):
    """Something due for an instance."""

    due: datetime
    instance_id: str
    execution_id: str
    task_id: int
    """A durable timer's task id, or `START_TIMER` or `PURGE_TIMER`."""


START_TIMER = -1
"""The instance's first turn is due (``start_at``)."""

PURGE_TIMER = -2
"""The finished instance is to be forgotten (``purge_after``)."""


class Message(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event on its way to an instance."""

    instance_id: str
    event: Event
    execution_id: str | None = None
    """The execution it is for; None means whichever is current."""
    parent: Parent | None = None
    """Deliver only to the child of this parent."""
    id: int = 0
    """Order of arrival in the hub, given by the store; 0 until stored."""


class WorkKey(NamedTuple):
    """One attempt of an activity."""

    instance_id: str
    execution_id: str
    task_id: int


class WorkItem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An attempt that has been scheduled and has not reported yet."""

    key: WorkKey
    event: TaskScheduled
    crashes: int = 0
    """How often the process died while it was running."""


class Change(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one turn changes, all or nothing.

    Of work and timers, what is both added and removed is removed; what is added again takes the
    place of the former.
    """

    instance: Instance
    """The head as it is afterwards (``length`` included; ``created_at`` and ``parent`` change
    only with ``fresh``)."""
    expected_length: int | None
    """``length`` of the stored head before; None: there must be none (with ``fresh``: there
    may be one of any length, whose history, timers and messages are dropped)."""
    fresh: bool = False
    """A new generation, or a finished instance replaced: history and timers are dropped first.
    Messages are kept when ``expected_length`` is given (continue-as-new). Work is kept: what an
    earlier execution asked for still runs."""
    events: Sequence[Event] = ()
    """Appended to the history."""
    work_added: Sequence[WorkItem] = ()
    """Of this instance, of its current or (when it continues as new) its last execution."""
    work_removed: Sequence[WorkKey] = ()
    """Of this instance, of any of its executions."""
    timers_added: Sequence[tuple[int, datetime]] = ()
    """(task id, due)."""
    timers_removed: Sequence[int] = ()
    timers_cleared: bool = False
    """The instance has ended: all its timers are dropped, before any are added."""
    messages_taken: Sequence[int] = ()
    """Ids of stored messages that this turn applied or dropped."""
    messages_sent: Sequence[Message] = ()
    """To any instances, stored in this order after those of earlier changes."""


class Board(Protocol):
    """Which activities are running, in memory that outlives the process but not the machine.

    After a crash it tells what was running, so that an activity which kills its process
    is found. Cheap, thread-safe; work that finds no slot goes unrecorded.
    """

    def started(self, key: WorkKey) -> int:
        """Note that ``key`` runs and return its slot, -1 when none is free."""
        ...

    def finished(self, slot: int) -> None:
        """Free the slot."""
        ...


class Store(Protocol):
    """A task hub's storage.

    Every method is safe to call from any thread. All raise `StoreError` when the storage
    cannot be read or written; nothing is then changed.
    """

    def acquire(self) -> Board:
        """Become the one that executes this hub, until `close`.

        Raises:
            HubLockedError: Someone else does.
        """
        ...

    def crashed(self) -> Sequence[WorkKey]:
        """What was running when the last executor died; count each (see `WorkItem.crashes`).

        Called once, after `acquire`. Each key's ``crashes`` is raised durably by this call.
        Work that has reported is left out.
        """
        ...

    def commit(self, changes: Sequence[Change]) -> None:
        """Apply all changes atomically and durably, in order.

        Raises:
            ConflictError: An ``expected_length`` does not hold; nothing is changed.
            ValueError: A head's ``length`` does not count its events; nothing is changed.
        """
        ...

    def work(self) -> Iterable[WorkItem]:
        """All work that has not reported, oldest first (by instance creation, then task id)."""
        ...

    def due(self, now: datetime, limit: int) -> Sequence[Timer]:
        """Timers due at or before ``now``, earliest first (ties by task id)."""
        ...

    def next_due(self) -> datetime | None:
        """When the earliest timer is due."""
        ...

    def inbox(self, after: int, limit: int) -> Sequence[Message]:
        """Stored messages with an id greater than ``after``, in order of arrival."""
        ...

    def inbox_of(self, instance_id: str) -> Sequence[Message]:
        """All stored messages to one instance, in order of arrival."""
        ...

    def discard(self, message_ids: Sequence[int]) -> None:
        """Drop stored messages: the instances they were for do not exist."""
        ...

    def instance(self, instance_id: str) -> Instance | None:
        """The head, or None when there is no such instance."""
        ...

    def instances(self, query: Query) -> tuple[Sequence[Instance], str | None]:
        """A page of heads, newest first, and the next page's token.

        Raises:
            ValueError: The query's page is no token of this hub, or its size is not positive.
        """
        ...

    def children(self, instance_id: str) -> Sequence[Instance]:
        """Heads of the instances whose parent is this instance."""
        ...

    def history(self, instance_id: str, start: int = 0) -> list[Event]:
        """Events of the current execution from position ``start`` on, oldest first."""
        ...

    def first_event(self, instance_id: str) -> ExecutionStarted | None:
        """The ExecutionStarted of the current execution, from history or the inbox."""
        ...

    def last_event(self, instance_id: str) -> Event | None:
        """The last event of the history, without reading the rest."""
        ...

    def create(
        self, instance: Instance, started: ExecutionStarted, if_exists: IfExists
    ) -> Literal["created", "exists"]:
        """Store a pending instance and its ExecutionStarted message, unless the id is taken.

        With ``started.start_at`` a START_TIMER is stored too. A finished instance is replaced
        when ``if_exists`` is ``replace_finished``; otherwise an existing one gives "exists".
        """
        ...

    def send(self, messages: Sequence[Message]) -> None:
        """Append messages durably."""
        ...

    def purge(self, instance_ids: Sequence[str]) -> Sequence[str]:
        """Forget instances and, recursively, their children that have ended.

        Returns the ids of all that were forgotten. Unknown ids are no error.
        """
        ...

    def version(self) -> int:
        """A number that changes when another process has written."""
        ...

    def close(self) -> None:
        """Release the hub and every connection."""
        ...
