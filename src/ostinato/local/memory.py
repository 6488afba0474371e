"""A store in memory: for tests, and for work that need not outlive the process.

A host may be closed and another opened over the same store; it goes on where the first stopped.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from heapq import nlargest
from itertools import count, islice, takewhile
from threading import Lock
from typing import Literal

from msgspec.structs import replace

from ostinato.client import IfExists, Query
from ostinato.errors import HubLockedError, StoreError
from ostinato.events import Event, ExecutionStarted
from ostinato.local.checks import (
    find_start,
    first_message,
    first_position,
    micros,
    page_start,
    page_token,
)
from ostinato.local.store import (
    START_TIMER,
    Board,
    Change,
    Instance,
    Message,
    Timer,
    WorkItem,
    WorkKey,
)


@dataclass(slots=True)
class _Record:
    order: int
    head: Instance
    events: list[Event] = field(default_factory=list[Event])
    work: dict[WorkKey, WorkItem] = field(default_factory=dict[WorkKey, WorkItem])
    timers: dict[int, datetime] = field(default_factory=dict[int, datetime])


class MemoryBoard:
    """A `Board` of any size."""

    def __init__(self) -> None:
        self.running: dict[int, WorkKey] = {}
        self._slots = count()

    def started(self, key: WorkKey) -> int:
        """Note that ``key`` runs and return its slot."""
        slot = next(self._slots)
        self.running[slot] = key
        return slot

    def finished(self, slot: int) -> None:
        """Free the slot."""
        self.running.pop(slot, None)


class MemoryStore:
    """A `Store` that lasts as long as this object; `close` keeps what it holds."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._records: dict[str, _Record] = {}
        self._children: dict[str, dict[str, None]] = {}
        self._orders = count(1)
        self._due: list[tuple[datetime, int, int, str]] = []
        self._messages: dict[int, Message] = {}
        self._last_message = 0
        self._board = MemoryBoard()
        self._executed = False

    def __repr__(self) -> str:
        return "<MemoryStore>"

    def acquire(self) -> Board:
        """Become the one that executes this hub; see `Store.acquire`."""
        with self._lock:
            if self._executed:
                raise HubLockedError(
                    "this in-memory task hub is executed by another host; close that one first"
                )
            self._executed = True
            return self._board

    def crashed(self) -> Sequence[WorkKey]:
        """What was running when the executor was abandoned; see `Store.crashed`."""
        with self._lock:
            if not self._executed:
                raise StoreError("only the executor of a task hub may ask: acquire it first")
            keys = [key for key in self._board.running.values() if self._count_crash(key)]
            self._board.running.clear()
            return keys

    def _count_crash(self, key: WorkKey) -> bool:
        record = self._records.get(key.instance_id)
        if record is None or key not in record.work:
            return False
        item = record.work[key]
        record.work[key] = replace(item, crashes=item.crashes + 1)
        return True

    def commit(self, changes: Sequence[Change]) -> None:
        """Apply all changes or none; see `Store.commit`."""
        with self._lock:
            lengths: dict[str, int | None] = {}
            for change in changes:
                instance = change.instance
                record = self._records.get(instance.instance_id)
                stored = None if record is None else record.head.length
                first_position(change, lengths.get(instance.instance_id, stored))
                lengths[instance.instance_id] = instance.length
            for change in changes:
                self._apply(change)

    def _apply(self, change: Change) -> None:
        record = self._placed(change)
        if change.fresh:
            record.events.clear()
        if change.fresh or change.timers_cleared:
            self._drop_timers(record)
        record.events.extend(change.events)
        for item in change.work_added:
            record.work[item.key] = item
        for key in change.work_removed:
            record.work.pop(key, None)
        for task_id, due in change.timers_added:
            self._set_timer(record, task_id, due)
        for task_id in change.timers_removed:
            self._drop_timer(record, task_id)
        for message_id in change.messages_taken:
            self._messages.pop(message_id, None)
        self._post(change.messages_sent)

    def _placed(self, change: Change) -> _Record:
        instance = change.instance
        record = self._records.get(instance.instance_id)
        if record is not None and change.expected_length is None:
            return self._replace(record, instance)
        if record is None:
            return self._insert(instance)
        if record.head.parent != instance.parent:
            self._unlink(record.head)
            self._link(instance)
        record.head = instance
        return record

    def _insert(self, instance: Instance) -> _Record:
        record = _Record(next(self._orders), instance)
        self._records[instance.instance_id] = record
        self._link(instance)
        return record

    def _replace(self, record: _Record, instance: Instance) -> _Record:
        self._forget(record)
        successor = self._insert(instance)
        successor.work = record.work
        return successor

    def _link(self, head: Instance) -> None:
        if head.parent is not None:
            self._children.setdefault(head.parent.instance_id, {})[head.instance_id] = None

    def _unlink(self, head: Instance) -> None:
        if head.parent is not None:
            siblings = self._children[head.parent.instance_id]
            del siblings[head.instance_id]
            if not siblings:
                del self._children[head.parent.instance_id]

    def _forget(self, record: _Record) -> None:
        instance_id = record.head.instance_id
        self._drop_timers(record)
        self._unlink(record.head)
        del self._records[instance_id]
        for message in self._inbox_of(instance_id):
            del self._messages[message.id]

    def _set_timer(self, record: _Record, task_id: int, due: datetime) -> None:
        self._drop_timer(record, task_id)
        record.timers[task_id] = due
        insort(self._due, (due, task_id, record.order, record.head.instance_id))

    def _drop_timer(self, record: _Record, task_id: int) -> None:
        due = record.timers.pop(task_id, None)
        if due is not None:
            entry = (due, task_id, record.order, record.head.instance_id)
            del self._due[bisect_left(self._due, entry)]

    def _drop_timers(self, record: _Record) -> None:
        for task_id in list(record.timers):
            self._drop_timer(record, task_id)

    def _post(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self._last_message += 1
            self._messages[self._last_message] = replace(message, id=self._last_message)

    def work(self) -> Iterable[WorkItem]:
        """All work that has not reported; see `Store.work`."""
        with self._lock:
            return [
                record.work[key]
                for record in self._records.values()
                for key in sorted(record.work, key=_work_order)
            ]

    def due(self, now: datetime, limit: int) -> Sequence[Timer]:
        """Timers due at or before ``now``; see `Store.due`."""
        with self._lock:
            due = takewhile(lambda timer: timer[0] <= now, self._due)
            return [
                Timer(at, instance_id, self._records[instance_id].head.execution_id, task_id)
                for at, task_id, _, instance_id in islice(due, limit)
            ]

    def next_due(self) -> datetime | None:
        """When the earliest timer is due."""
        with self._lock:
            return self._due[0][0] if self._due else None

    def inbox(self, after: int, limit: int) -> Sequence[Message]:
        """Stored messages in order of arrival; see `Store.inbox`."""
        with self._lock:
            stored = map(self._messages.get, range(after + 1, self._last_message + 1))
            return list(islice((message for message in stored if message), limit))

    def inbox_of(self, instance_id: str) -> Sequence[Message]:
        """Stored messages to this instance, in order of arrival."""
        with self._lock:
            return self._inbox_of(instance_id)

    def _inbox_of(self, instance_id: str) -> list[Message]:
        return [stored for stored in self._messages.values() if stored.instance_id == instance_id]

    def discard(self, message_ids: Sequence[int]) -> None:
        """Drop stored messages, given by their ids."""
        with self._lock:
            for message_id in message_ids:
                self._messages.pop(message_id, None)

    def instance(self, instance_id: str) -> Instance | None:
        """The head, or None when there is no such instance."""
        with self._lock:
            record = self._records.get(instance_id)
            return None if record is None else record.head

    def instances(self, query: Query) -> tuple[Sequence[Instance], str | None]:
        """A page of heads, newest first; see `Store.instances`."""
        start = page_start(query)
        with self._lock:
            found = nlargest(query.page_size + 1, self._found(query, start))
            page = [self._records[instance_id].head for _, _, instance_id in found]
        if len(found) <= query.page_size:
            return page, None
        del page[-1]
        return page, page_token(page[-1].created_at, found[-2][1])

    def _found(self, query: Query, start: tuple[int, int] | None) -> Iterator[tuple[int, int, str]]:
        for record in self._records.values():
            place = (micros(record.head.created_at), record.order)
            if (start is None or place < start) and _matches(record.head, query):
                yield *place, record.head.instance_id

    def children(self, instance_id: str) -> Sequence[Instance]:
        """Heads of the instances whose parent is this instance."""
        with self._lock:
            return [self._records[child].head for child in self._children.get(instance_id, ())]

    def history(self, instance_id: str, start: int = 0) -> list[Event]:
        """Events of the current execution from position ``start`` on, oldest first."""
        with self._lock:
            record = self._records.get(instance_id)
            return [] if record is None else record.events[start:]

    def first_event(self, instance_id: str) -> ExecutionStarted | None:
        """The ExecutionStarted of the current execution, from history or the inbox."""
        with self._lock:
            record = self._records.get(instance_id)
            if record is None:
                return None
            for event in record.events:
                if isinstance(event, ExecutionStarted):
                    return event
            return find_start(self._inbox_of(instance_id), record.head.execution_id)

    def last_event(self, instance_id: str) -> Event | None:
        """The last event of the history."""
        with self._lock:
            record = self._records.get(instance_id)
            return record.events[-1] if record is not None and record.events else None

    def create(
        self, instance: Instance, started: ExecutionStarted, if_exists: IfExists
    ) -> Literal["created", "exists"]:
        """Store a pending instance and its ExecutionStarted message; see `Store.create`."""
        with self._lock:
            record = self._records.get(instance.instance_id)
            if record is None:
                record = self._insert(instance)
            elif if_exists == "replace_finished" and record.head.status.is_finished:
                record = self._replace(record, instance)
            else:
                return "exists"
            if started.start_at is not None:
                self._set_timer(record, START_TIMER, started.start_at)
            self._post([first_message(started)])
            return "created"

    def send(self, messages: Sequence[Message]) -> None:
        """Append messages."""
        with self._lock:
            self._post(messages)

    def purge(self, instance_ids: Sequence[str]) -> Sequence[str]:
        """Forget instances and their ended children; see `Store.purge`."""
        with self._lock:
            found: dict[str, None] = {}
            wanted = list(instance_ids)
            while wanted:
                instance_id = wanted.pop()
                if instance_id not in found and instance_id in self._records:
                    found[instance_id] = None
                    wanted.extend(
                        child
                        for child in self._children.get(instance_id, ())
                        if self._records[child].head.status.is_finished
                    )
            for instance_id in found:
                self._forget(self._records[instance_id])
            return list(found)

    def version(self) -> int:
        """Always 0: no other process can write."""
        return 0

    def close(self) -> None:
        """Release the hub; all it holds is kept."""
        self._board.running.clear()
        self.abandon()

    def abandon(self) -> None:
        """Release the hub as a killed process would: what was running stays noted."""
        with self._lock:
            self._executed = False


def _work_order(key: WorkKey) -> tuple[int, str]:
    return key.task_id, key.execution_id


def _matches(head: Instance, query: Query) -> bool:
    return (
        (not query.statuses or head.status in query.statuses)
        and (query.created_from is None or head.created_at >= query.created_from)
        and (query.created_to is None or head.created_at <= query.created_to)
        and query.name in ("", head.name)
        and head.instance_id.startswith(query.prefix)
        and query.tags.items() <= (head.tags or {}).items()
    )
