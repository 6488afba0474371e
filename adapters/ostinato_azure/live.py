"""Live tables: executions kept between their turns, so that a turn costs its new events alone.

The extension sends the whole history each time, and any worker may get the next turn. So what is
kept is used only where the history that comes is the one it was kept with, and more: its
beginning and its last turn are compared, which hold an id and a time that no other execution,
and no other attempt at that turn, has.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Protocol, TypeVar

from ostinato import events as ev
from ostinato.actions import Failed
from ostinato.events import Event
from ostinato.failures import Failure
from ostinato_azure.failures import summary
from ostinato_azure.table import Surroundings, Table

Answer = TypeVar("Answer")

_logger = logging.getLogger(__name__)

MOST_BYTES = 64 * 1024 * 1024
"""What all that is kept may take, by estimate."""

_BYTES = 8 * 1024
_BYTES_PER_ID = 1024
_BYTES_PER_CHARACTER = 12
"""What a table takes at least, for each task id, and for each character of the request: payloads of
many small objects and numbers take so much once they are decoded, and the orchestrator may hold
them all."""


class HostHistory(Protocol):
    """The host's events of one execution, oldest first."""

    def __len__(self) -> int: ...

    def event(self, position: int) -> Event | None:
        """An event as the core's, with the host's task ids; None for one that it has not."""
        ...

    def mark(self, position: int) -> object:
        """Something that is equal for the same event alone, and holds no more than that event."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A table that has taken up a history.

    Attributes:
        table: It.
        length: How many of the host's events it has taken up.
        started: Where ExecutionStarted is among them.
        known_by: Marks by which the history is known again, by position.
        bytes: What it takes, by estimate.
    """

    table: Table
    length: int
    started: int
    known_by: Mapping[int, object]
    bytes: int

    def begins(self, history: HostHistory) -> bool:
        """Whether a history begins with the one that was taken up, and has more."""
        return len(history) > self.length and all(
            history.mark(position) == mark for position, mark in self.known_by.items()
        )


class LiveTables:
    """The tables of one function app's instances, those used last, by instance.

    Each is in one caller's hands at a time: taken out for a turn, and kept again after it.

    Args:
        most_bytes: What all that is kept may take, by estimate; 0 keeps nothing.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._lock = Lock()

    def take(self, instance_id: str) -> Kept | None:
        """Take out what is kept of an instance."""
        with self._lock:
            return self._take(instance_id)

    def keep(self, instance_id: str, kept: Kept) -> None:
        """Keep what an instance's turn left, unless it would take all; then others stay."""
        with self._lock:
            before = self._take(instance_id)
            dropped = [] if before is None else [before]
            if kept.bytes > self._most_bytes:
                dropped.append(kept)
            else:
                self._kept[instance_id] = kept
                self._bytes += kept.bytes
            while self._bytes > self._most_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= oldest.bytes
                dropped.append(oldest)
        for one in dropped:
            one.table.close()

    def _take(self, instance_id: str) -> Kept | None:
        kept = self._kept.pop(instance_id, None)
        if kept is not None:
            self._bytes -= kept.bytes
        return kept


def take_turn(
    instance_id: str,
    history: HostHistory,
    around: Surroundings,
    live: LiveTables | None,
    answer: Callable[[Table], Answer],
    *,
    size: int,
) -> Answer:
    """Have a table take up a history of the host's, and return what is answered from it.

    Args:
        instance_id: Whose history it is.
        history: The host's events.
        around: The function app.
        live: Where tables are kept between turns, if anywhere.
        answer: Writes the answer.
        size: Characters of the request, whose payloads the orchestrator may hold.
    """
    kept = None if live is None else _continued(live.take(instance_id), history, size)
    if kept is None:
        kept = _run(history, around, size)
    _tell_failure(instance_id, kept.table)
    try:
        answered = answer(kept.table)
    except BaseException:
        kept.table.close()
        raise
    if live is None or kept.table.outcome is not None:
        kept.table.close()
    else:
        live.keep(instance_id, kept)
    return answered


def give_up(
    instance_id: str,
    history: HostHistory,
    around: Surroundings,
    failure: Failure,
    answer: Callable[[Table], Answer],
) -> Answer:
    """Return what is answered where an execution cannot be run, for a reason outside of it."""
    table = Table(around)
    table.give_up(_known(_told(history)), failure)
    _tell_failure(instance_id, table)
    return answer(table)


def _tell_failure(instance_id: str, table: Table) -> None:
    """Log that an instance fails, at each of its last turns; alerts look for this line."""
    if isinstance(table.outcome, Failed):
        _logger.error("instance %s failed: %s", instance_id, summary(table.outcome.failure))


def transcript_of(history: HostHistory, around: Surroundings) -> list[Event]:
    """Return a history of the host's as the core has it, to be replayed and looked at."""
    transcript: list[Event] = []
    table = Table(around, transcript)
    table.run(_known(_told(history)))
    table.close()
    return transcript


def _continued(kept: Kept | None, history: HostHistory, size: int) -> Kept | None:
    if kept is None:
        return None
    if kept.begins(history):
        added = _told(history, kept.length)
        if kept.table.go_on(_known(added)):
            turn = kept.length + _last(ev.OrchestratorStarted, added)
            return _kept(kept.table, history, kept.started, turn, size)
    kept.table.close()
    return None


def _run(history: HostHistory, around: Surroundings, size: int) -> Kept:
    events = _told(history)
    table = Table(around)
    table.run(_known(events))
    started, turn = _last(ev.ExecutionStarted, events), _last(ev.OrchestratorStarted, events)
    return _kept(table, history, started, turn, size)


def _told(history: HostHistory, begin: int = 0) -> list[Event | None]:
    """What the host tells, from a position on."""
    return [history.event(n) for n in range(begin, len(history))]


def _known(told: Sequence[Event | None]) -> list[Event]:
    """What the core has of it."""
    return [event for event in told if event is not None]


def _last(kind: type[Event], events: Sequence[Event | None]) -> int:
    return max((n for n, event in enumerate(events) if isinstance(event, kind)), default=0)


def _kept(table: Table, history: HostHistory, started: int, turn: int, size: int) -> Kept:
    return Kept(
        table=table,
        length=len(history),
        started=started,
        known_by={n: history.mark(n) for n in (started, *range(turn, len(history)))},
        bytes=_BYTES + _BYTES_PER_ID * table.weight + _BYTES_PER_CHARACTER * size,
    )
