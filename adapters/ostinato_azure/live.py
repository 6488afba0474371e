"""Live tables: executions kept between their turns, so that a turn costs its new events alone.

The extension sends the whole history each time, and any worker may get the next turn. So what is
kept is used only where the history that comes is the one it was kept with, and more: its
beginning and its last turn are compared, which hold an id and a time that no other execution,
and no other attempt at that turn, has.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol, TypeVar

from ostinato import events as ev
from ostinato.events import Event
from ostinato_azure.table import Surroundings, Table

Answer = TypeVar("Answer")

MOST_IDS = 50_000
"""Task ids of all that is kept: some 50 MB."""


class HostHistory(Protocol):
    """The host's events, oldest first, as values that can be compared."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Any: ...


@dataclass(frozen=True, slots=True)
class Kept:
    """A table that has taken up a history.

    Attributes:
        table: It.
        length: How many of the host's events it has taken up.
        known_by: Those by which the history is known again, by position.
    """

    table: Table
    length: int
    known_by: Mapping[int, Any]

    def begins(self, history: HostHistory) -> bool:
        """Whether a history begins with the one that was taken up, and has more."""
        return len(history) > self.length and all(
            history[position] == event for position, event in self.known_by.items()
        )


class LiveTables:
    """The tables of one function app's instances, those used last, by instance.

    Each is in one caller's hands at a time: taken out for a turn, and kept again after it.

    Args:
        most_ids: Most task ids of all that is kept; 0 keeps nothing.
    """

    def __init__(self, most_ids: int = MOST_IDS) -> None:
        self._most_ids = most_ids
        self._ids = 0
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._lock = Lock()

    def take(self, instance_id: str) -> Kept | None:
        """Take out what is kept of an instance."""
        with self._lock:
            kept = self._kept.pop(instance_id, None)
            if kept is not None:
                self._ids -= kept.table.weight
        return kept

    def keep(self, instance_id: str, kept: Kept) -> None:
        """Keep what an instance's turn left; what was used longest ago gives way."""
        dropped = [before] if (before := self.take(instance_id)) is not None else []
        with self._lock:
            self._kept[instance_id] = kept
            self._ids += kept.table.weight
            while self._ids > self._most_ids:
                _, oldest = self._kept.popitem(last=False)
                self._ids -= oldest.table.weight
                dropped.append(oldest)
        for one in dropped:
            one.table.close()


def take_turn(
    instance_id: str,
    history: HostHistory,
    translate: Callable[[Any], Event | None],
    around: Surroundings,
    live: LiveTables | None,
    answer: Callable[[Table], Answer],
) -> Answer:
    """Have a table take up a history of the host's, and return what is answered from it.

    Args:
        instance_id: Whose history it is.
        history: The host's events, oldest first.
        translate: Gives an event as the core's, with the host's task ids; None for none.
        around: The function app.
        live: Where tables are kept between turns, if anywhere.
        answer: Writes the answer.
    """
    kept = None if live is None else _continued(live.take(instance_id), history, translate)
    if kept is None:
        kept = _run(history, translate, around)
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


def _continued(
    kept: Kept | None, history: HostHistory, translate: Callable[[Any], Event | None]
) -> Kept | None:
    if kept is None:
        return None
    if kept.begins(history):
        added = [translate(history[n]) for n in range(kept.length, len(history))]
        if kept.table.go_on([event for event in added if event is not None]):
            turn = kept.length + _last(ev.OrchestratorStarted, added)
            return Kept(kept.table, len(history), _known_by(history, min(kept.known_by), turn))
    kept.table.close()
    return None


def _run(
    history: HostHistory, translate: Callable[[Any], Event | None], around: Surroundings
) -> Kept:
    events = [translate(history[n]) for n in range(len(history))]
    table = Table(around)
    table.run([event for event in events if event is not None])
    started, turn = _last(ev.ExecutionStarted, events), _last(ev.OrchestratorStarted, events)
    return Kept(table, len(history), _known_by(history, started, turn))


def _last(kind: type[Event], events: Sequence[Event | None]) -> int:
    return max((n for n, event in enumerate(events) if isinstance(event, kind)), default=0)


def _known_by(history: HostHistory, started: int, turn: int) -> dict[int, Any]:
    return {n: history[n] for n in (started, *range(turn, len(history)))}
