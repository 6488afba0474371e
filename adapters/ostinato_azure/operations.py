"""Operations: what an orchestration has the reserved activity do with the durable client."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from ostinato.events import Json


class Send(msgspec.Struct, frozen=True, tag=True):
    """Raise an event on another instance; an unknown or finished one is no error."""

    instance_id: str
    name: str
    data: Json
    event_id: str


class StartDetached(msgspec.Struct, frozen=True, tag=True):
    """Start an instance that belongs to nobody; one that exists is left alone.

    ``input`` is a payload: data, or an envelope around it.
    """

    instance_id: str
    name: str
    input: Json


class TerminateTree(msgspec.Struct, frozen=True, tag=True):
    """End an instance and its open children."""

    instance_id: str
    reason: str


class CheckId(msgspec.Struct, frozen=True, tag=True):
    """Answer ``free``, or ``taken`` while an unfinished instance has the id."""

    instance_id: str


Operation: TypeAlias = Send | StartDetached | TerminateTree | CheckId

_encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[Operation] = msgspec.json.Decoder(Operation)


def operation_text(operation: Operation) -> Json:
    """Return an operation as JSON text."""
    return _encode(operation).decode()


def read_operation(text: Json) -> Operation:
    """Return the operation that `operation_text` wrote.

    Raises:
        msgspec.MsgspecError: The text is none.
    """
    return _decoder.decode(text)
