"""The history of one execution, and the request that hands it to the orchestration function."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from ostinato.testing.azure.dotnet import as_json, json_text, span_text
from ostinato.testing.azure.event_json import event_text
from ostinato.testing.azure.events import Event, ExecutionStarted, OrchestratorStarted


class History:
    """Events of one execution, oldest first, with the mark of how far they were played.

    An event is played once a turn has processed it; ``OrchestratorStarted`` never is, and what
    a turn wrote at its end is not until the next.
    """

    def __init__(self, events: Iterable[Event] = (), played: Iterable[Event] = ()) -> None:
        """Begin with events; those among them that are ``played`` were so before."""
        self.events: list[Event] = list(events)
        self.past = 0
        """How many of the events were there when the last turn began."""
        self._played_before = {id(event) for event in played}
        self._texts: list[tuple[str, str]] = []
        self._settled: list[str] = []

    @property
    def started(self) -> ExecutionStarted:
        """The event that began the execution.

        Raises:
            LookupError: There is none yet.
        """
        for event in self.events:
            if isinstance(event, ExecutionStarted):
                return event
        raise LookupError("the execution has not begun")

    def append(self, *events: Event) -> None:
        """Write events at the end."""
        self.events.extend(events)

    def begin_turn(self) -> None:
        """What is here is the past of the turn that begins."""
        self.past = len(self.events)

    def end_turn(self) -> None:
        """The turn has processed all that is here."""
        texts = self._event_texts()
        for index in range(len(self._settled), len(self.events)):
            head, tail = texts[index]
            played = not isinstance(self.events[index], OrchestratorStarted)
            self._settled.append(f"{head}{'true' if played else 'false'}{tail}")

    def json(self) -> str:
        """All events as a JSON array."""
        texts = self._event_texts()
        fresh = [
            f"{texts[index][0]}{'true' if self._was_played(index) else 'false'}{texts[index][1]}"
            for index in range(len(self._settled), len(self.events))
        ]
        return f"[{','.join([*self._settled, *fresh])}]"

    def _was_played(self, index: int) -> bool:
        return id(self.events[index]) in self._played_before

    def _event_texts(self) -> Sequence[tuple[str, str]]:
        for event in self.events[len(self._texts) :]:
            self._texts.append(event_text(event))
        return self._texts


def request_text(
    history: History,
    *,
    long_timer_interval: timedelta,
    maximum_short_timer: timedelta,
) -> str:
    """The text of the ``orchestrationTrigger`` of a classic app."""
    started = history.started
    parent = started.parent.instance_id if started.parent else None
    return (
        f'{{"history":{history.json()},"input":{as_json(started.input)}'
        f',"instanceId":{json_text(started.instance_id)}'
        f',"isReplaying":{"true" if history.past else "false"}'
        f',"parentInstanceId":{json_text(parent)}'
        ',"upperSchemaVersion":1,"upperSchemaVersionNew":3'
        f',"longRunningTimerIntervalDuration":"{span_text(long_timer_interval)}"'
        f',"maximumShortTimerDuration":"{span_text(maximum_short_timer)}"'
        ',"defaultHttpAsyncRequestSleepTimeMillseconds":30000}'
    )
