"""What every store decides alike: conflicts, and the pages of a listing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from ostinato.client import Query
from ostinato.events import ExecutionStarted
from ostinato.local.store import Change, ConflictError, Message

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(at: datetime) -> int:
    """Return a time as microseconds since 1970, UTC."""
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def moment(micros: int) -> datetime:
    """Return the time that `micros` was given."""
    return _EPOCH + timedelta(microseconds=micros)


def first_position(change: Change, length: int | None) -> int:
    """Return where the change's events go in the history, whose ``length`` the store has.

    Raises:
        ConflictError: The change expects another length.
        ValueError: The new head does not count the new events.
    """
    expected, instance = change.expected_length, change.instance
    if expected != length and not (expected is None and change.fresh):
        raise ConflictError(
            f"instance {instance.instance_id!r} has {_told(length)} where {_told(expected)} "
            "was expected: someone else changed it; load it again"
        )
    position = 0 if change.fresh or length is None else length
    if position + len(change.events) != instance.length:
        raise ValueError(
            f"the new head of instance {instance.instance_id!r} counts {instance.length} events, "
            f"but its history will have {position + len(change.events)}"
        )
    return position


def _told(length: int | None) -> str:
    return "no head" if length is None else f"{length} events"


def first_message(started: ExecutionStarted) -> Message:
    """Return the message by which an instance begins."""
    return Message(
        instance_id=started.instance_id, event=started, execution_id=started.execution_id
    )


def find_start(messages: Iterable[Message], execution_id: str) -> ExecutionStarted | None:
    """Return the start of this execution from among the messages."""
    for message in messages:
        event = message.event
        if isinstance(event, ExecutionStarted) and event.execution_id == execution_id:
            return event
    return None


def page_token(created_at: datetime, order: int) -> str:
    """Return the token of the page that follows this instance."""
    return f"{micros(created_at)}.{order}"


def page_start(query: Query) -> tuple[int, int] | None:
    """Return creation time (microseconds) and order of the last instance already listed.

    Raises:
        ValueError: The page token is none of ours, or the page size is not positive.
    """
    if query.page_size < 1:
        raise ValueError(f"page_size is {query.page_size}; it must be at least 1")
    if query.page is None:
        return None
    created, _, order = query.page.partition(".")
    try:
        return int(created), int(order)
    except ValueError:
        raise ValueError(
            f"{query.page!r} is no page of this hub; pass next_page of the page before"
        ) from None
