"""Turns: messages in, one atomic change out.

Decides what a turn of one instance does to the store and what is owed afterwards; writes
and starts nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, assert_never

import msgspec

from ostinato import events as ev
from ostinato.actions import (
    Action,
    CancelTimer,
    Completed,
    CompleteOrchestration,
    ContinuedAsNew,
    CreateSubOrchestration,
    CreateTimer,
    Failed,
    Outcome,
    RecordMarker,
    ScheduleTask,
    SendEvent,
    TerminateChild,
    Terminated,
    scheduling_event,
)
from ostinato.client import RuntimeStatus
from ostinato.definitions import Registry
from ostinato.events import Event, Parent
from ostinato.failures import SUB_ORCHESTRATION_ERROR, failure_of, unstructured
from ostinato.local.store import (
    PURGE_TIMER,
    START_TIMER,
    Change,
    Instance,
    Message,
    WorkItem,
    WorkKey,
)
from ostinato.replay import PARENT_ENDED, Orchestration
from ostinato.rewind import Rewind, plan_rewind

GENERATIONS_PER_TURN = 8
"""Continue-as-new goes on at once so often; then others get their turn."""


class Live:
    """An instance as the engine holds it between turns."""

    __slots__ = ("head", "orchestration")

    def __init__(self, head: Instance, orchestration: Orchestration | None) -> None:
        self.head = head
        self.orchestration = orchestration
        """None before the first turn of a generation, and once it has ended."""


class ChildStart(NamedTuple):
    """An instance that a turn asks for."""

    action: CreateSubOrchestration
    parent: Parent | None
    """Who hears of its end; None for a detached one."""


class Turn:
    """What one instance's messages lead to."""

    __slots__ = (
        "_aside",
        "_begun",
        "_disowned",
        "_expected",
        "_fresh",
        "_generations",
        "_live",
        "_misfits",
        "_new_id",
        "_now",
        "_registry",
        "cancelled",
        "children",
        "closed",
        "ended",
        "events",
        "sent",
        "stale",
        "taken",
        "timers_added",
        "timers_cleared",
        "timers_removed",
        "work_added",
        "work_removed",
    )

    def __init__(
        self, live: Live, *, now: datetime, registry: Registry, new_id: Callable[[], str]
    ) -> None:
        self._live = live
        self._now = now
        self._registry = registry
        self._new_id = new_id
        self._generations = 0
        self._fresh = False
        self._expected: int | None = live.head.length
        self._misfits = _misfits(live)
        """The code does not fit the history any more, so the instance ends in this turn, and
        what is open is not known."""
        self._begun = live.head.length > 0
        self._aside: list[Message] = []
        """Came after continue-as-new, and is for the next generation."""
        self._disowned = False
        """Ended by its parent, which has ended too: nobody is told."""
        self.events: list[Event] = []
        self.taken: list[int] = []
        self.sent: list[Message] = []
        self.children: list[ChildStart] = []
        self.work_added: list[WorkItem] = []
        self.work_removed: list[WorkKey] = []
        self.stale: list[WorkKey] = []
        """Work that a rewind has dropped; its outcome is not wanted, whoever takes its id."""
        self.timers_added: list[tuple[int, datetime]] = []
        self.timers_removed: list[int] = []
        self.timers_cleared = False
        self.ended = False
        self.closed: list[str] = []
        """Executions that have ended or continued as new."""
        self.cancelled = False
        """Ended from outside: activities that still run are asked to stop."""

    @property
    def head(self) -> Instance:
        """The instance as the turn leaves it."""
        return self._live.head

    def creates(self, *, replaces: bool) -> None:
        """Note that the store does not have the instance yet, or has a finished one."""
        self._expected = None
        self._fresh = replaces

    def change(self) -> Change | None:
        """What is to be written; None when nothing is."""
        if not (
            self.events
            or self._fresh
            or self._expected is None
            or self.taken
            or self.sent
            or self.work_removed
            or self.timers_removed
        ):
            return None
        added = {item.key for item in self.work_added}
        return Change(
            instance=self._live.head,
            expected_length=self._expected,
            fresh=self._fresh,
            events=self.events,
            work_added=self.work_added,
            work_removed=[key for key in self.work_removed if key not in added],
            timers_added=self.timers_added,
            timers_removed=self.timers_removed,
            timers_cleared=self.timers_cleared,
            messages_taken=self.taken,
            messages_sent=self.sent,
        )

    def keeps(self, event: ev.TaskScheduled) -> bool:
        """Whether an activity that has not started still does, now that its execution is over.

        What was asked for runs, awaited or not, unless the instance was terminated; the items
        of a bounded map do not.
        """
        return event.group is None and not self.cancelled

    # Messages in

    def take(self, message: Message) -> None:
        """Apply a message, or drop it when it comes too late or is not for this execution."""
        if message.id:
            self.taken.append(message.id)
        event = message.event
        head = self._live.head
        if isinstance(event, (ev.TaskCompleted, ev.TaskFailed)):
            assert message.execution_id is not None
            key = WorkKey(head.instance_id, message.execution_id, event.task_id)
            self.work_removed.append(key)
        elif isinstance(event, ev.TimerFired):
            self.timers_removed.append(event.task_id)
        if isinstance(event, ev.ExecutionStarted):
            self._begin(event)
        elif self._is_for_the_next(message):
            self._aside.append(message)
        elif self._heeds(message):
            if isinstance(event, ev.ExecutionTerminated) and message.parent is not None:
                self._disowned = True
            if isinstance(event, (ev.TaskCompleted, ev.TaskFailed)):
                # It may be work that this very turn has just dispatched again.
                done = self.work_removed[-1]
                self.work_added = [item for item in self.work_added if item.key != done]
            self._apply(event)

    def _is_for_the_next(self, message: Message) -> bool:
        """Whether a message is for the instance, whichever generation it has come to."""
        orchestration = self._live.orchestration
        return (
            message.execution_id is None
            and orchestration is not None
            and isinstance(orchestration.outcome, ContinuedAsNew)
            and not isinstance(message.event, ev.EventRaised)
        )

    def _heeds(self, message: Message) -> bool:
        head = self._live.head
        orchestration = self._live.orchestration
        if orchestration is None:
            return False
        if message.execution_id is not None and message.execution_id != head.execution_id:
            return False
        if message.parent is not None and message.parent != head.parent:
            return False
        if not _hears(orchestration.outcome, message.event):
            return False
        match message.event:
            case (
                ev.TaskCompleted()
                | ev.TaskFailed()
                | ev.TimerFired()
                | ev.SubOrchestrationInstanceCompleted()
                | ev.SubOrchestrationInstanceFailed()
            ):
                return self._misfits or orchestration.awaits(message.event)
            case ev.EventRaised(event_id=event_id):
                return event_id is None or not orchestration.has_taken(event_id)
            case ev.ExecutionSuspended():
                return not orchestration.suspended
            case ev.ExecutionResumed():
                return orchestration.suspended
            case _:
                return True

    def _begin(self, started: ev.ExecutionStarted) -> None:
        """Begin the execution, unless it has begun (the message is a duplicate)."""
        if self._begun or started.execution_id != self._live.head.execution_id:
            return
        self._begun = True
        if started.start_at is not None:
            self.timers_removed.append(START_TIMER)
        self._apply(started)

    def prepare(self) -> None:
        """Make ready for the first turn of an execution."""
        self._live.orchestration = Orchestration(self._registry)

    @property
    def misfits(self) -> bool:
        """Whether replay alone ended the instance, so that not all its children are known."""
        return self._misfits

    def end_children(self, history: Sequence[Event]) -> None:
        """End the open children that the history knows of."""
        head = self._live.head
        created = {
            e.task_id: e.instance_id
            for e in history
            if isinstance(e, ev.SubOrchestrationInstanceCreated) and not e.detached
        }
        for event in history:
            if isinstance(
                event, (ev.SubOrchestrationInstanceCompleted, ev.SubOrchestrationInstanceFailed)
            ):
                created.pop(event.task_id, None)
        for task_id, instance_id in created.items():
            self._end_child(task_id, instance_id, head)

    def _end_child(self, task_id: int, instance_id: str, head: Instance) -> None:
        self.sent.append(
            Message(
                instance_id=instance_id,
                event=ev.ExecutionTerminated(at=self._now, reason=PARENT_ENDED),
                parent=Parent(head.instance_id, head.execution_id, task_id),
            )
        )

    def _apply(self, event: Event) -> None:
        orchestration = self._live.orchestration
        assert orchestration is not None
        if not self.events:
            opening = ev.OrchestratorStarted(at=self._now)
            self.events.append(opening)
            orchestration.apply(opening)
        self.events.append(event)
        orchestration.apply(event)

    def rewind(self, history: list[Event], reason: str) -> Rewind:
        """Let a failed instance go on; what is in flight again is added to the turn."""
        plan = plan_rewind(self._registry, history)
        self.events = [
            ev.OrchestratorStarted(at=self._now),
            ev.ExecutionRewound(at=self._now, reason=reason, dropped=plan.dropped),
        ]
        orchestration = Orchestration(self._registry)
        orchestration.replay(history + self.events)
        self._live.orchestration = orchestration
        self.timers_removed.append(PURGE_TIMER)
        head = self._live.head
        again = {e.task_id for e in plan.in_flight if isinstance(e, ev.TaskScheduled)}
        self.work_removed = [
            key
            for key in self.work_removed
            if key.execution_id != head.execution_id or key.task_id not in again
        ]
        self.stale = [
            WorkKey(head.instance_id, head.execution_id, event.task_id)
            for event in (history[position] for position in plan.dropped)
            if isinstance(event, ev.TaskScheduled) and event.task_id not in again
        ]
        self.work_removed += self.stale
        for event in plan.in_flight:
            match event:
                case ev.TaskScheduled():
                    self._work(event)
                case ev.TimerCreated():
                    self.timers_added.append((event.task_id, event.due))
                case ev.SubOrchestrationInstanceCreated():
                    pass  # the engine knows whether the child is to be rewound or started
                case _:
                    assert_never(event)
        self._live.head = msgspec.structs.replace(head, status=RuntimeStatus.RUNNING)
        return plan

    def give_up(self, error: BaseException) -> None:
        """Fail the instance because of a defect of ours; it can be rewound once that is mended."""
        head = self._live.head
        self._live.orchestration = None
        if head.status.is_finished:
            return
        failure = failure_of(error, task=head.name)
        now = self._now
        came = [event for event in self.events if not isinstance(event, _SCHEDULING)]
        self.events = [
            *(came or [ev.OrchestratorStarted(at=now)]),
            ev.ExecutionCompleted(at=now, status="Failed", failure=failure),
        ]
        self.work_added, self.timers_added, self.children, self.sent = [], [], [], []
        self._complete(Failed(failure))
        self._live.head = msgspec.structs.replace(
            head,
            status=RuntimeStatus.FAILED,
            updated_at=now,
            length=(0 if self._fresh else self._expected or 0) + len(self.events),
        )

    # Actions out

    def conclude(self) -> None:
        """Record what the messages made the orchestration ask for."""
        live = self._live
        orchestration = live.orchestration
        if orchestration is None:
            return
        actions = orchestration.take_actions()
        if actions and not self.events:
            self.events.append(ev.OrchestratorStarted(at=self._now))
        for action in actions:
            event = scheduling_event(action, self._now)
            if event is not None:
                self.events.append(event)
            self._perform(action, event)
        if self.events:
            self._settle_head(orchestration)
        if isinstance(orchestration.outcome, ContinuedAsNew):
            self._continue(orchestration, orchestration.outcome)

    def _perform(self, action: Action, event: Event | None) -> None:
        head = self._live.head
        match action:
            case ScheduleTask():
                assert isinstance(event, ev.TaskScheduled)
                self._work(event)
            case CreateTimer():
                self.timers_added.append((action.task_id, action.due))
            case CancelTimer():
                self._drop_timer(action.task_id)
            case CreateSubOrchestration():
                parent = Parent(head.instance_id, head.execution_id, action.task_id)
                self.children.append(ChildStart(action, None if action.detached else parent))
            case SendEvent():
                raised = ev.EventRaised(
                    at=self._now, name=action.name, data=action.data, event_id=action.event_id
                )
                self.sent.append(Message(instance_id=action.instance_id, event=raised))
            case TerminateChild():
                self._end_child(action.task_id, action.instance_id, head)
            case CompleteOrchestration():
                self._complete(action.outcome)
            case RecordMarker():
                pass
            case _:
                assert_never(action)

    def _work(self, event: ev.TaskScheduled) -> None:
        head = self._live.head
        key = WorkKey(head.instance_id, head.execution_id, event.task_id)
        self.work_added.append(WorkItem(key=key, event=event))

    def _drop_timer(self, task_id: int) -> None:
        added = [timer for timer in self.timers_added if timer[0] != task_id]
        if len(added) == len(self.timers_added):
            self.timers_removed.append(task_id)
        self.timers_added = added

    def _complete(self, outcome: Outcome) -> None:
        """What the end of an execution owes: to the parent, and to the hub."""
        if isinstance(outcome, ContinuedAsNew):
            return
        head = self._live.head
        self.ended = True
        self.closed.append(head.execution_id)
        self.cancelled = isinstance(outcome, Terminated)
        self.timers_cleared = True
        self.timers_added.clear()
        self.timers_removed.clear()
        self.work_added = [item for item in self.work_added if self.keeps(item.event)]
        definition = self._registry.orchestration(head.name, head.version)
        if definition is not None and definition.purge_after is not None:
            due = self._now + timedelta(seconds=definition.purge_after)
            self.timers_added.append((PURGE_TIMER, due))
        if head.parent is not None and not self._disowned:
            self.sent.append(_to_parent(head.parent, outcome, self._now))

    def _settle_head(self, orchestration: Orchestration) -> None:
        head = self._live.head
        outcome = orchestration.outcome
        if outcome is None or isinstance(outcome, ContinuedAsNew):
            status = RuntimeStatus.SUSPENDED if orchestration.suspended else RuntimeStatus.RUNNING
        else:
            status = _STATUS[type(outcome)]
        self._live.head = msgspec.structs.replace(
            head,
            status=status,
            version=orchestration.version if head.version is None else head.version,
            custom_status=(
                orchestration.custom_status if orchestration.execution_id else head.custom_status
            ),
            updated_at=self._now,
            length=head.length + len(self.events),
        )

    def _continue(self, orchestration: Orchestration, outcome: ContinuedAsNew) -> None:
        """Begin the next generation, in this turn if there have not been too many."""
        orchestration.close()
        head = self._live.head
        started = ev.ExecutionStarted(
            at=self._now,
            instance_id=head.instance_id,
            execution_id=self._new_id(),
            name=head.name,
            input=outcome.input,
            version=outcome.version,
            parent=head.parent,
            tags=head.tags,
            custom_status=outcome.custom_status,
            events=outcome.events,
            event_ids=outcome.event_ids,
        )
        self.closed.append(head.execution_id)
        self.work_added = [item for item in self.work_added if self.keeps(item.event)]
        self._fresh = True
        self.events = []
        self.timers_added = []
        self.timers_removed = []
        self._generations += 1
        self._live.orchestration = None
        self._live.head = msgspec.structs.replace(
            head,
            execution_id=started.execution_id,
            version=outcome.version or None,
            custom_status=outcome.custom_status,
            length=0,
        )
        aside, self._aside = self._aside, []
        if self._generations < GENERATIONS_PER_TURN:
            self.prepare()
            self._begun = False
            self._begin(started)
            for message in aside:
                self.take(msgspec.structs.replace(message, id=0))
            self.conclude()
        else:
            begin = Message(instance_id=head.instance_id, event=started)
            self.sent += [begin, *(msgspec.structs.replace(message, id=0) for message in aside)]


def _hears(outcome: Outcome | None, event: Event) -> bool:
    """Whether an event still counts, given how the execution has ended.

    What reaches an instance together with its failure is recorded, for it may be rewound. Only
    external events pass on to the next generation.
    """
    match outcome:
        case None:
            return True
        case Failed():
            return not isinstance(
                event, (ev.ExecutionSuspended, ev.ExecutionResumed, ev.ExecutionTerminated)
            )
        case ContinuedAsNew():
            return isinstance(event, ev.EventRaised)
        case Completed() | Terminated():
            return False
        case _:
            assert_never(outcome)


_SCHEDULING = (
    ev.TaskScheduled,
    ev.TimerCreated,
    ev.SubOrchestrationInstanceCreated,
    ev.EventSent,
    ev.Marker,
    ev.ContinueAsNew,
    ev.ExecutionCompleted,
)

_STATUS = {
    Completed: RuntimeStatus.COMPLETED,
    Failed: RuntimeStatus.FAILED,
    Terminated: RuntimeStatus.TERMINATED,
}


def _misfits(live: Live) -> bool:
    """Whether replay alone has ended an instance that has not ended."""
    orchestration = live.orchestration
    return (
        orchestration is not None
        and isinstance(orchestration.outcome, Failed)
        and not live.head.status.is_finished
    )


def _to_parent(parent: Parent, outcome: Completed | Failed | Terminated, now: datetime) -> Message:
    event: Event
    match outcome:
        case Completed(output):
            event = ev.SubOrchestrationInstanceCompleted(
                at=now, task_id=parent.task_id, result=output
            )
        case Failed(failure):
            event = ev.SubOrchestrationInstanceFailed(
                at=now, task_id=parent.task_id, failure=failure
            )
        case Terminated(reason):
            event = ev.SubOrchestrationInstanceFailed(
                at=now,
                task_id=parent.task_id,
                failure=unstructured(SUB_ORCHESTRATION_ERROR, reason),
            )
        case _:
            assert_never(outcome)
    return Message(instance_id=parent.instance_id, execution_id=parent.execution_id, event=event)
