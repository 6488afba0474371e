"""Values as the database's rows, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from ostinato.client import RuntimeStatus
from ostinato.events import (
    Event,
    ExecutionCompleted,
    ExecutionStarted,
    Parent,
    TaskScheduled,
    encode_events,
)
from ostinato.local.checks import micros, moment
from ostinato.local.store import Instance, Message, WorkItem, WorkKey

CHUNK = 256
"""Events in a row of history, at most."""

MAX_ROW = 64 << 20
"""Bytes of a row of history, unless one event has more; SQLite takes at most a thousand million."""

HEAD = (
    "id, execution_id, name, version, status, created_at, updated_at, length, "
    "parent_id, parent_execution_id, parent_task_id, tags, custom_status"
)
"""The columns of `head_row` and `head_of`."""

_encode = msgspec.msgpack.Encoder().encode
_decode_scheduled = msgspec.msgpack.Decoder(TaskScheduled).decode
_decode_body = msgspec.msgpack.Decoder(tuple[str | None, Parent | None, Event]).decode
_encode_tags = msgspec.json.Encoder().encode
_decode_tags = msgspec.json.Decoder(dict[str, str]).decode


def chunks(events: Sequence[Event]) -> Iterator[list[Event]]:
    """Split into rows, so that the first event and the last can be read without the others."""
    chunk: list[Event] = []
    for event in events:
        if chunk and (len(chunk) == CHUNK or type(event) is ExecutionCompleted):
            yield chunk
            chunk = []
        chunk.append(event)
        if type(event) is ExecutionStarted:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def history_rows(events: list[Event], position: int) -> list[tuple[int, bytes]]:
    """Return position and encoded events of the rows for a chunk: one, unless it is huge."""
    encoded = encode_events(events)
    if len(encoded) <= MAX_ROW or len(events) == 1:
        return [(position, encoded)]
    half = len(events) // 2
    return history_rows(events[:half], position) + history_rows(events[half:], position + half)


def head_row(instance: Instance) -> tuple[object, ...]:
    """Return the values of the columns `HEAD`."""
    parent, tags = instance.parent, instance.tags
    return (
        instance.instance_id,
        instance.execution_id,
        instance.name,
        instance.version,
        instance.status.value,
        micros(instance.created_at),
        micros(instance.updated_at),
        instance.length,
        *((None,) * 3 if parent is None else msgspec.structs.astuple(parent)),
        None if tags is None else _encode_tags(tags).decode(),
        instance.custom_status,
    )


def head_of(
    instance_id: str,
    execution_id: str,
    name: str,
    version: str | None,
    status: str,
    created_at: int,
    updated_at: int,
    length: int,
    parent_id: str | None,
    parent_execution_id: str,
    parent_task_id: int,
    tags: str | None,
    custom_status: str | None,
) -> Instance:
    """Return what `head_row` was given."""
    parent = None
    if parent_id is not None:
        parent = Parent(parent_id, parent_execution_id, parent_task_id)
    return Instance(
        instance_id=instance_id,
        execution_id=execution_id,
        name=name,
        version=version,
        status=RuntimeStatus(status),
        created_at=moment(created_at),
        updated_at=moment(updated_at),
        custom_status=custom_status,
        parent=parent,
        tags=None if tags is None else _decode_tags(tags),
        length=length,
    )


def work_row(item: WorkItem) -> tuple[int, str, int, bytes]:
    """Return task id, execution id, crashes and the encoded event."""
    key = item.key
    return key.task_id, key.execution_id, item.crashes, _encode(item.event)


def work_of(
    instance_id: str, task_id: int, execution_id: str, crashes: int, event: bytes
) -> WorkItem:
    """Return what `work_row` was given."""
    key = WorkKey(instance_id, execution_id, task_id)
    return WorkItem(key=key, event=_decode_scheduled(event), crashes=crashes)


def message_row(message: Message) -> tuple[str, bytes]:
    """Return the receiver and the encoded rest."""
    return message.instance_id, _encode((message.execution_id, message.parent, message.event))


def message_of(id: int, instance_id: str, body: bytes) -> Message:
    """Return what `message_row` was given, with the id it got."""
    execution_id, parent, event = _decode_body(body)
    return Message(
        id=id, instance_id=instance_id, event=event, execution_id=execution_id, parent=parent
    )
