"""The host's history by turns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ostinato import events as ev
from ostinato.events import SCHEDULING, Event, Scheduling
from ostinato_azure.markers import is_marker

_REWOUND = re.compile(r"Rewound: (Task|SubOrchestrationInstance|Execution)\w+")


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


def is_rewound_mark(data: str | None) -> bool:
    """Whether a GenericEvent's data mark what a rewind took out, and no rewind itself."""
    return _REWOUND.fullmatch(data or "") is not None
