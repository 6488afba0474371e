"""The host's history by turns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ostinato import events as ev
from ostinato.events import SCHEDULING, Event, Scheduling
from ostinato_azure.markers import is_marker

_TAKEN_OUT = "ostinato-taken-out"


@dataclass(slots=True)
class Turn:
    """What came in one turn, and what it scheduled."""

    at: datetime
    messages: list[Event] = field(default_factory=list[Event])
    scheduled: list[Scheduling] = field(default_factory=list[Scheduling])

    def leaves_suspended(self, before: bool) -> bool:
        """Whether the instance is suspended after it, as it was or was not before."""
        for message in self.messages:
            if isinstance(message, ev.ExecutionSuspended | ev.ExecutionResumed):
                before = isinstance(message, ev.ExecutionSuspended)
        return before


def turns_of(history: Sequence[Event]) -> list[Turn]:
    """Return a history by turns; what comes before the first belongs to it."""
    turns: list[Turn] = []
    before: list[Event] = []
    for event in history:
        if isinstance(event, ev.OrchestratorStarted):
            turns.append(Turn(event.at, before))
            before = []
        elif not turns:
            before.append(event)
        elif isinstance(event, SCHEDULING):
            turns[-1].scheduled.append(event)
        else:
            turns[-1].messages.append(event)
    return turns


def recorded_markers(history: Iterable[Event]) -> Iterator[datetime]:
    """Return the due times of the markers that a history records."""
    return (e.due for e in history if isinstance(e, ev.TimerCreated) and is_marker(e.due))


def taken_out(at: datetime, host_id: int) -> Event | None:
    """Return what one of the host's GenericEvents tells, to be read by `with_rewinds`.

    Azure Storage's rewind makes one of each event that it takes out, with the event's id: of what
    scheduled an activity, and of the end of the execution, which has the id that would have come
    next. Failures have none. Nor has the message that then wakes an instance, and which only the
    last of a chain of children gets, so that nothing may hang on it
    (``AzureTableTrackingStore.RewindHistoryAsync`` of DurableTask.AzureStorage).
    """
    return ev.TaskScheduled(at=at, task_id=host_id, name=_TAKEN_OUT) if host_id >= 0 else None


def is_taken_out(event: Event) -> bool:
    """Whether an event is one of `taken_out`."""
    return isinstance(event, ev.TaskScheduled) and event.name == _TAKEN_OUT


def with_rewinds(history: Sequence[Event]) -> Sequence[Event]:
    """Return a history with ExecutionRewound where a rewind has taken out an execution's end, and
    without what tells of activities that it took out."""
    if not any(map(is_taken_out, history)):
        return history
    told: list[Event] = []
    ids: set[int] = set()
    for position, event in enumerate(history):
        if not is_taken_out(event):
            if isinstance(event, SCHEDULING):
                ids.add(event.task_id)
            told.append(event)
        elif _was_end(event, ids, history[position + 1 :]):
            told.append(ev.ExecutionRewound(at=event.at))
    return told


def _was_end(event: Event, before: set[int], following: Sequence[Event]) -> bool:
    """Whether what was taken out is the end of the execution.

    An activity has an id of its own, and the end that came of it a higher one. An end has the id
    of what is scheduled next, but for activities that are scheduled again under lower ones; or
    one that was used, where the extension itself ended it, having found the answer too short.
    """
    assert isinstance(event, ev.TaskScheduled)
    if event.task_id in before:
        return True
    ids = (e.task_id for e in following if isinstance(e, SCHEDULING))
    return next((id for id in ids if id >= event.task_id), event.task_id) == event.task_id
