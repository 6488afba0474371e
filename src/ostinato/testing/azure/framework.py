"""One replay of an execution's history, as DurableTask.Core does it.

`Replay` is ``TaskOrchestrationContext`` and ``TaskOrchestrationExecutor`` in one: it counts the
task ids, keeps what is open, compares what is asked for with what history says was asked for,
sets the clock, holds events back while the instance is suspended, and ends the execution once
nothing is open. What to ask for is told by the orchestration that it is given.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import datetime
from typing import Protocol, assert_never

import msgspec

from ostinato.testing.azure.decisions import (
    Complete,
    CreateSubOrchestration,
    CreateTimer,
    Decision,
    ScheduleTask,
    SendEvent,
)
from ostinato.testing.azure.events import (
    Event,
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    FailureDetails,
    GenericEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from ostinato.testing.azure.status import Status
from ostinato.testing.azure.waiting import Awaited

ACTION_NAMES: dict[type[Decision], str] = {
    ScheduleTask: "ScheduleTaskOrchestratorAction",
    CreateTimer: "CreateTimerOrchestratorAction",
    CreateSubOrchestration: "CreateSubOrchestrationAction",
    SendEvent: "SendEventOrchestratorAction",
    Complete: "OrchestrationCompleteOrchestratorAction",
}
"""The framework's names of its actions, which its messages hold."""

AFTERWARDS = (
    "Was a change made to the orchestrator code after this instance had already started running?"
)


class NonDeterministic(Exception):
    """What is asked for contradicts history."""


class Orchestration(Protocol):
    """What is replayed."""

    def begin(self, replay: Replay, started: ExecutionStarted) -> None:
        """Run until it waits; it says `Replay.succeed` or `Replay.fail` when it has ended."""
        ...

    def event_raised(self, event: EventRaised) -> None:
        """Take an event."""
        ...


class Replay:
    """The context of one replay.

    Attributes:
        clock: The time of the turn whose events are being replayed.
        execution_id: Of the execution; set when its first event is replayed.
    """

    def __init__(self, orchestration: Orchestration) -> None:
        self.clock: datetime | None = None
        self.execution_id = ""
        self._orchestration = orchestration
        self._next_id = 0
        self._asked: dict[int, Decision] = {}
        self._asked_before_suspension: dict[int, Decision] = {}
        self._open: dict[int, Awaited] = {}
        self._suspended = False
        self._held: deque[Event] = deque()
        self._next_input: str | None = None
        self._continues = False
        self._carried: list[EventRaised] = []
        self._ended: Complete | None = None
        self._completed = False

    def play(self, events: Iterable[Event]) -> tuple[Decision, ...]:
        """Replay a history and return what it does not hold yet, by id.

        History of 10,000 events costs 10,000 steps: nothing here looks back.
        """
        try:
            for event in events:
                if isinstance(event, OrchestratorStarted):
                    self.clock = event.timestamp
                else:
                    self._process(event)
            if not self._open and self._ended is not None:
                self._complete(self._ended)
        except NonDeterministic as error:
            self._complete(
                Complete(
                    id=0,
                    status=Status.Failed,
                    result=f"Non-Deterministic workflow detected: {error}",
                    details=str(error),
                )
            )
        return tuple(self._asked[id] for id in sorted(self._asked))

    @property
    def now(self) -> datetime:
        """The clock, which an orchestration has once it began."""
        assert self.clock is not None, "a history begins with OrchestratorStarted"
        return self.clock

    def schedule_task(self, name: str, input: str | None) -> Awaited:
        """Ask for an activity."""
        return self._ask(ScheduleTask(id=self._next_id, name=name, input=input))

    def create_sub_orchestration(
        self, name: str, instance_id: str | None, input: str | None, version: str | None
    ) -> Awaited:
        """Ask for a child; without an id it gets ``<execution id>:<task id>``."""
        id = self._next_id
        return self._ask(
            CreateSubOrchestration(
                id=id,
                name=name,
                instance_id=instance_id or f"{self.execution_id}:{id}",
                input=input,
                version=version,
            )
        )

    def create_timer(self, fire_at: datetime, *, cancelled: bool = False) -> Awaited:
        """Ask for a timer. One that is cancelled is asked for too, but waited for no more."""
        timer = self._ask(CreateTimer(id=self._next_id, fire_at=fire_at))
        if cancelled:
            del self._open[self._next_id - 1]
            timer.complete(failed=True)
        return timer

    def send_event(
        self, instance_id: str, name: str, input: str | None, scheduled: datetime | None = None
    ) -> None:
        """Ask for a message to be sent."""
        sent = SendEvent(
            id=self._next_id, instance_id=instance_id, name=name, input=input, scheduled=scheduled
        )
        self._asked[sent.id] = sent
        self._next_id += 1

    def continue_as_new(self, input: str | None) -> None:
        """Go on in a new execution once this one has ended; from now on events are its own."""
        self._continues = True
        self._next_input = input

    def succeed(self, result: str | None) -> None:
        """End with a result, as soon as nothing is open."""
        self._ended = Complete(id=0, status=Status.Completed, result=result)

    def fail(
        self, reason: str, details: str | None = None, failure: FailureDetails | None = None
    ) -> None:
        """End with a failure, as soon as nothing is open."""
        self._ended = Complete(
            id=0, status=Status.Failed, result=reason, details=details, failure=failure
        )

    def _ask(self, decision: Decision) -> Awaited:
        """Ask for what has the next id, and wait for it."""
        id = self._next_id
        self._next_id += 1
        self._asked[id] = decision
        self._open[id] = task = Awaited()
        return task

    def _complete(self, how: Complete) -> None:
        if how.status is Status.Completed and self._continues:
            how = Complete(
                id=0,
                status=Status.ContinuedAsNew,
                result=self._next_input,
                carried=tuple(self._carried),
            )
        if self._completed:
            return
        self._completed = True
        self._asked[self._next_id] = msgspec.structs.replace(how, id=self._next_id)
        self._next_id += 1

    def _process(self, event: Event) -> None:
        if self._suspended and not isinstance(event, ExecutionResumed | ExecutionTerminated):
            if not isinstance(event, ExecutionSuspended):
                self._held.append(event)
            return
        match event:
            case TaskCompleted():  # the first two make up most of a large history
                self._finish(event.task_id, failed=False)
            case TaskScheduled():
                self._confirm(event)
            case ExecutionStarted():
                self.execution_id = event.execution_id
                self._orchestration.begin(self, event)
            case TimerCreated() | SubOrchestrationInstanceCreated() | EventSent():
                self._confirm(event)
            case SubOrchestrationInstanceCompleted():
                self._finish(event.task_id, failed=False)
            case TaskFailed() | SubOrchestrationInstanceFailed():
                self._finish(event.task_id, failed=True)
            case TimerFired():
                self._finish(event.timer_id, failed=False)
            case EventRaised():
                if self._continues:
                    self._carried.append(event)
                else:
                    self._orchestration.event_raised(event)
            case ExecutionTerminated(reason=reason):
                self._complete(Complete(id=0, status=Status.Terminated, result=reason))
            case ExecutionSuspended():
                self._suspend()
            case ExecutionResumed():
                self._resume()
            case OrchestratorStarted() | OrchestratorCompleted() | GenericEvent():
                pass
            case ExecutionCompleted():
                pass
            case _:
                assert_never(event)

    def _suspend(self) -> None:
        self._suspended = True
        self._asked_before_suspension.update(self._asked)
        self._asked.clear()

    def _resume(self) -> None:
        self._suspended = False
        self._asked.update(self._asked_before_suspension)
        self._asked_before_suspension.clear()
        while self._held:
            self._process(self._held.popleft())

    def _finish(self, id: int, *, failed: bool) -> None:
        task = self._open.pop(id, None)
        if task is not None:
            task.complete(failed=failed)

    def _confirm(
        self, event: TaskScheduled | TimerCreated | SubOrchestrationInstanceCreated | EventSent
    ) -> None:
        asked = self._asked.get(event.event_id)
        match event, asked:
            case TaskScheduled(), ScheduleTask() if _same(event.name, asked.name):
                pass
            case TimerCreated(), CreateTimer():
                pass
            case SubOrchestrationInstanceCreated(), CreateSubOrchestration() if _same(
                event.name, asked.name
            ):
                pass
            case EventSent(), SendEvent() if _same(event.name, asked.name):
                pass
            case _:
                raise NonDeterministic(_contradiction(event, asked))
        del self._asked[event.event_id]


def _same(recorded: str, asked: str) -> bool:
    return recorded == asked or recorded.lower() == asked.lower()


def _contradiction(
    event: TaskScheduled | TimerCreated | SubOrchestrationInstanceCreated | EventSent,
    asked: Decision | None,
) -> str:
    """What the framework says of the two, as recorded for activities and in its manner else."""
    id = event.event_id
    match event:
        case TaskScheduled():
            kind, named = "an activity task", f" named '{event.name}'"
            missing = f"ID {id} and name '{event.name}' (version '{event.version or ''}')"
        case TimerCreated():
            kind, named = "a timer task", ""
            missing = f"number {id}"
        case SubOrchestrationInstanceCreated():
            kind, named = "a sub-orchestration task", f" named '{event.name}'"
            missing = (
                f"ID {id} and name '{event.name}' (version '{event.version or ''}',"
                f" instance ID '{event.instance_id}')"
            )
        case EventSent():
            kind, named = "a send event task", f" named '{event.name}'"
            missing = f"ID {id}, type 'EventSent', and name '{event.name}'"
        case _:
            assert_never(event)
    before = f"A previous execution of this orchestration scheduled {kind} with sequence "
    if asked is None:
        return (
            f"{before}{missing}, but the current replay execution hasn't (yet?) scheduled this"
            f" task. {AFTERWARDS}"
        )
    before += f"number {id}{named}, but the current orchestration replay instead "
    same_kind = (
        (isinstance(event, TaskScheduled) and isinstance(asked, ScheduleTask))
        or (
            isinstance(event, SubOrchestrationInstanceCreated)
            and isinstance(asked, CreateSubOrchestration)
        )
        or (isinstance(event, EventSent) and isinstance(asked, SendEvent))
    )
    if same_kind and not isinstance(asked, CreateTimer | Complete):
        # Two spaces: recorded so.
        return (
            f"{before}scheduled {kind} named '{asked.name}' with this sequence number."
            f"  {AFTERWARDS}"
        )
    return (
        f"{before}produced a {ACTION_NAMES[type(asked)]} action with this sequence number."
        f" {AFTERWARDS}"
    )
