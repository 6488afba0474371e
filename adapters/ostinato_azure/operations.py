"""Operations: what an orchestration has the reserved activity do with the durable client."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from ostinato.events import Json


class _Operation(msgspec.Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    tries: int = 0
    """How often it was tried before, and failed."""


class Send(_Operation, frozen=True):
    """Raise an event on another instance; an unknown or finished one is no error.

    With ``may_be_new`` it is a child that was just asked for: it is unknown until its first turn
    has been written, and is waited for.
    """

    instance_id: str
    name: str
    data: Json
    event_id: str
    may_be_new: bool = False


class StartDetached(_Operation, frozen=True):
    """Start an instance that belongs to nobody; one that exists is left alone.

    ``input`` is a payload: data, or an envelope around it.
    """

    instance_id: str
    name: str
    input: Json


class TerminateTree(_Operation, frozen=True):
    """End an instance, which may be as new as that of `Send`, and its open children."""

    instance_id: str
    reason: str


class CheckId(_Operation, frozen=True):
    """Answer ``free``, or ``taken`` while an unfinished instance has the id.

    With ``lingers`` that was a child which has ended: Azure Storage tells its parent first, and
    writes its row after.
    """

    instance_id: str
    lingers: bool = False


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


def once_more(text: Json) -> Json:
    """Return an operation that failed, to be tried again."""
    operation = read_operation(text)
    return operation_text(msgspec.structs.replace(operation, tries=operation.tries + 1))


def for_a_child(text: Json) -> Json:
    """Return a `Send` to a child that has not ended, and may be new."""
    operation = read_operation(text)
    assert isinstance(operation, Send)
    return operation_text(msgspec.structs.replace(operation, may_be_new=True))
