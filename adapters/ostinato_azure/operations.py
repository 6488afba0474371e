"""Operations: what an orchestration has the reserved activity do with the durable client."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from ostinato.events import Json


class _Operation(msgspec.Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    tries: int = 0
    """How often it was tried before, and failed."""
    replaces: bool = False
    """Whether it is for a child in whose place one that has ended may be found at first."""


class Send(_Operation, frozen=True):
    """Raise an event on another instance; an unknown or finished one is no error.

    With ``is_child`` it is a child that has not ended, and must appear.
    """

    instance_id: str
    name: str
    data: Json
    event_id: str
    is_child: bool = False


class StartDetached(_Operation, frozen=True):
    """Start an instance that belongs to nobody; one that exists is left alone.

    ``input`` is a payload: data, or an envelope around it.
    """

    instance_id: str
    name: str
    input: Json


class TerminateTree(_Operation, frozen=True):
    """End a child that has not ended, and its open children; all of them must appear."""

    instance_id: str
    reason: str


class CheckId(_Operation, frozen=True):
    """Answer ``free``, ``over`` where the instance that has the id has ended, or ``taken``.

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


def for_a_child(text: Json, *, replaces: bool) -> Json:
    """Return a `Send` to a child that has not ended."""
    operation = read_operation(text)
    assert isinstance(operation, Send)
    return operation_text(msgspec.structs.replace(operation, is_child=True, replaces=replaces))
