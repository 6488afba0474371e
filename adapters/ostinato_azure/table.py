"""The table: which of the host's task ids stands for which of the core's.

Theory of operation. The host's history, its task ids included, is read as events of the core's
own types. The table gives them to the core turn by turn, under the core's ids, and finds out
after each turn what the core asked for. What a turn recorded is matched with what was asked, in
order; what no turn has recorded is what the host is asked for next. The core's own checks are
thereby made on every host event, and a contradiction fails the instance as everywhere.

Between what the core asks and what the host does stand the adapter's devices, which have ids
of the host's, and none of the core's: gates, hops of long timers, markers, operations with the
durable client. They are known from history by their names and due times alone, since the host
gives no inputs back. So both wires read each other's devices.

Some things wait before the host is asked for them: items of a bounded map for a place, the
second of two operations on the same target for the first, a child with an explicit id for the
answer whether it is free. When a wait ends is a function of the history.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

import msgspec

from ostinato import events as ev
from ostinato.actions import (
    Action,
    CancelTimer,
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
from ostinato.definitions import Registry
from ostinato.events import SCHEDULING, Event, Json, Scheduling
from ostinato.failures import ACTIVITY_ERROR, SUB_ORCHESTRATION_ERROR, Failure, unstructured
from ostinato.ids import child_id
from ostinato.replay import PARENT_ENDED, Orchestration
from ostinato_azure import envelope, generation, operations
from ostinato_azure.entries import Entry, Kind, stands_for
from ostinato_azure.given import activity_payload, child_payload
from ostinato_azure.markers import (
    MARKERS_END,
    is_marker,
    marker_due,
)
from ostinato_azure.names import GATE
from ostinato_azure.rewinding import Failures
from ostinato_azure.turns import Turn, is_taken_out, recorded_markers, turns_of, with_rewinds
from ostinato_azure.waiting import Chains, Children, Groups

LONGEST_TIMER = timedelta(days=6)
"""Timers that are due later are set in hops: Azure Storage cannot delay a message for longer."""

HOP = timedelta(days=3)

_logger = logging.getLogger(__name__)

MISMATCH = "NonDeterminismError"

TRIES = 5
"""How often an operation with the durable client is asked for before it is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the adapter knows of the function app around it.

    Attributes:
        registry: What the application declares.
        has_activity: Whether the function app has an activity function of someone else's.
        has_orchestration: The same for orchestration functions.
        longest_timer: Timers that are due later are set in hops.
        hop: How long one is.
    """

    registry: Registry
    has_activity: Callable[[str], bool]
    has_orchestration: Callable[[str], bool]
    longest_timer: timedelta = LONGEST_TIMER
    hop: timedelta = HOP

    def is_own_activity(self, name: str) -> bool:
        """Whether the application has an activity of this name, and not only declares one."""
        definition = self.registry.activity(name)
        return definition is not None and definition.fn is not None

    def runs_activity(self, name: str) -> bool:
        """Whether the function app has an activity of this name, of anyone's."""
        return self.is_own_activity(name) or self.has_activity(name)

    def runs_orchestration(self, name: str) -> bool:
        """Whether the function app has an orchestration of this name, of anyone's."""
        definition = self.registry.orchestration(name)
        is_own = definition is not None and definition.fn is not None
        return is_own or self.has_orchestration(name)


class Table:
    """One generation of an instance as the host and the core have it.

    Args:
        around: The application, and the function app that it is part of.
        transcript: Takes the history as the core has it, with the core's ids.
    """

    def __init__(self, around: Surroundings, transcript: list[Event] | None = None) -> None:
        self._around = around
        self._recorded_markers: set[datetime] = set()
        self._asked_markers: list[datetime] = []
        self._core = Orchestration(around.registry, marked=self._is_recorded)
        self._known: dict[int, Entry] = {}
        self._next_host_id = 0
        self._seen = 0
        self._ready: deque[Entry] = deque()
        self._groups = Groups()
        self._chains = Chains()
        self._failures = Failures()
        self._given_up: Outcome | None = None
        self._live = False
        self._undecided = False
        self._suspended = False
        self._now = datetime.min
        self._gate: Entry | None = None
        self._waiting_start: ev.ExecutionStarted | None = None
        self._early: list[Event] = []
        self._children = Children()
        self._ending: set[int] = set()
        self._tags: dict[str, str] | None = None
        self._clock_stands_at = datetime.max
        """Where the extension's clock stays: the turn in which it last awaited something."""
        self.raised: list[str] = []
        """Names of all external events of this generation, in order."""
        self._transcript = transcript

    # What the wires ask

    @property
    def outcome(self) -> Outcome | None:
        """How the execution ended, or None."""
        return self._core.outcome if self._given_up is None else self._given_up

    @property
    def rewinds(self) -> bool:
        """Whether a rewind that takes every failure out of the history is the core's own."""
        return self._failures.rewinds

    @property
    def custom_status(self) -> Json | None:
        """JSON text of the custom status."""
        return self._core.custom_status

    @property
    def known(self) -> Iterable[Entry]:
        """What has a host id, by host id."""
        return (self._known[host_id] for host_id in sorted(self._known))

    def take_unrecorded(self) -> list[Entry]:
        """Return, once, what the host is to be asked for now, in order of their ids to be."""
        markers = [] if self._starts_later else self._new_markers()
        return [*markers, *map(self._write, self._ready)]

    @property
    def weight(self) -> int:
        """How many task ids the core has taken: a measure of the memory it holds."""
        return self._core.weight

    @property
    def next_host_id(self) -> int:
        """The host id of the first that is not recorded."""
        return self._next_host_id

    @property
    def gate_is_pending(self) -> bool:
        """Whether the extension waits at a gate."""
        return self._gate is not None

    @property
    def is_draining(self) -> bool:
        """Whether operations with the durable client are yet to be done."""
        return any(
            entry.kind is Kind.CLIENT and not entry.finished
            for entry in (*self._known.values(), *self._ready)
        )

    def is_gone(self, entry: Entry) -> bool:
        """Whether the function app has no longer what an entry calls."""
        match entry.kind:
            case Kind.ACTIVITY:
                return not self._around.runs_activity(entry.name)
            case Kind.CHILD:
                return not self._around.runs_orchestration(entry.name)
            case Kind.TIMER | Kind.CLIENT | Kind.GATE | Kind.MARKER:
                return False
            case _:
                assert_never(entry.kind)

    def is_wanted(self, entry: Entry) -> bool:
        """Whether a timer is still waited for."""
        if entry.kind is Kind.MARKER or self._starts_later:
            return True
        return self.outcome is None and (entry.core_id < 0 or self._core.is_open(entry.core_id))

    def fires_at(self, due: datetime) -> datetime:
        """When a timer set now fires: when it is due or, where that is too far off, at a hop."""
        if due - self._now <= self._around.longest_timer:
            return due
        return self._now + self._around.hop

    def outruns_clock(self, fires: datetime) -> bool:
        """Whether a timer is too long for the extension, which counts from its own clock."""
        return fires - self._clock_stands_at > self._around.longest_timer

    def continuation(self, outcome: ContinuedAsNew) -> Json:
        """The payload with which the next generation starts."""
        return generation.continuation(self._core.name, outcome, self._around.registry, self._tags)

    def close(self) -> None:
        """End the orchestrator's generator."""
        self._core.close()

    # Running the history

    def run(self, history: Sequence[Event]) -> None:
        """Give the core a history whose task ids are the host's; its last turn is the new one."""
        turns = turns_of(with_rewinds(history))
        self._recorded_markers.update(recorded_markers(history))
        self._play(turns)

    def give_up(self, history: Sequence[Event], failure: Failure) -> None:
        """Fail for a reason that keeps the orchestrator from being run; a rewind lets it go on.

        What the history records is taken for what it says, so that a wire can repeat it. Open
        children are let be: the rewound instance gets what becomes of them.
        """
        self._given_up = Failed(failure)
        for event in with_rewinds(history):
            match event:
                case (
                    ev.TaskScheduled()
                    | ev.TimerCreated()
                    | ev.SubOrchestrationInstanceCreated()
                    | ev.EventSent()
                ):
                    entry = self._device(event) or stands_for(event)
                    entry.recorded = True
                    self._number(entry, event.task_id)
                case ev.TaskFailed() | ev.SubOrchestrationInstanceFailed():
                    self._failures.note_other()  # whether it was handled is not known
                    self._ended(event.task_id)
                case ev.TaskCompleted() | ev.TimerFired() | ev.SubOrchestrationInstanceCompleted():
                    self._ended(event.task_id)
                case ev.ExecutionTerminated(reason=reason):
                    self._given_up = Terminated(reason)
                case _:
                    pass
        self._failures.decide((), self._next_host_id, asks_more=False)

    def go_on(self, events: Sequence[Event]) -> bool:
        """Take up what the history has more than when it was last taken up.

        Returns:
            Whether that is what comes after the answer that was given then. Otherwise the
            table is of no use any more: the answer was lost and the turn is taken again, or the
            history was rewritten by a rewind.
        """
        turn = next((n for n, e in enumerate(events) if isinstance(e, ev.OrchestratorStarted)), -1)
        recorded = [event for event in events[: max(turn, 0)] if isinstance(event, SCHEDULING)]
        if len(recorded) != turn or any(map(_is_of_rewind, events)):
            return False
        if sorted(recorded_markers(recorded)) != sorted(self._asked_markers):
            return False
        self._recorded_markers.update(recorded_markers(events))
        for event in recorded:
            self._match(event)
        self._play(turns_of(events[turn:]))
        outcome = self.outcome
        return not (isinstance(outcome, Failed) and outcome.failure.type == MISMATCH)

    def _play(self, turns: list[Turn]) -> None:
        recorded = max((n for n, turn in enumerate(turns) if turn.scheduled), default=-1)
        for position, turn in enumerate(turns):
            last = position == len(turns) - 1
            # What was asked for behind a gate that is closed, or while the extension held it back
            # from a suspended instance, is in no history: it is decided anew.
            was_suspended = self._suspended
            self._suspended = turn.leaves_suspended(was_suspended)
            held = self._gate is not None or self._suspended
            self._live, self._undecided = last, held and position > recorded
            self._now = turn.at
            self._feed([ev.OrchestratorStarted(at=turn.at)])
            for message in turn.messages:
                if was_suspended:
                    self._fire_held_back(before=message)
                self._take(message)
            self._settle()
            for event in turn.scheduled:
                self._match(event)

    def _feed(self, events: list[Event]) -> None:
        if self._transcript is not None:
            self._transcript += events
        self._tell(events)

    def _tell(self, events: list[Event]) -> None:
        """Give the core events that the transcript has already."""
        if self._live:
            for event in events:
                self._core.apply(event)
        else:
            self._core.replay(events, undecided=self._undecided)

    @property
    def _starts_later(self) -> bool:
        return self._waiting_start is not None

    def _take(self, event: Event) -> None:
        """Give the core a message of the host's, or take it for a device's."""
        match event:
            case ev.ExecutionStarted():
                self._start(event)
            case ev.TaskCompleted() | ev.TaskFailed():
                self._activity_ended(event)
            case ev.TimerFired():
                self._timer_fired(event)
            case ev.SubOrchestrationInstanceCompleted() | ev.SubOrchestrationInstanceFailed():
                entry = self._ended(event.task_id)
                if entry is not None:
                    ended = msgspec.structs.replace(event, task_id=entry.core_id)
                    if isinstance(ended, ev.SubOrchestrationInstanceFailed):
                        self._failures.note(entry.core_id, self._next_host_id)
                        failure = _named(ended.failure, entry)
                        ended = msgspec.structs.replace(ended, failure=failure)
                    self._feed([ended])
            case ev.EventRaised():
                self.raised.append(event.name)
                payload = envelope.read(event.data)
                self._hand_over(
                    msgspec.structs.replace(event, data=payload.text, event_id=payload.event_id)
                )
            case ev.ExecutionSuspended() | ev.ExecutionResumed() | ev.ExecutionTerminated():
                self._hand_over(event)
            case ev.ExecutionRewound():
                self._set_timers_anew()
            case _:
                pass  # marks of the host's own

    def _hand_over(self, event: Event) -> None:
        """Give the core what came from outside; events wait for a start that is put off."""
        if self._starts_later and isinstance(event, ev.EventRaised):
            self._early.append(event)
            return
        self._feed([event])
        if self._starts_later and isinstance(event, ev.ExecutionTerminated):
            self._begin()

    def _start(self, event: ev.ExecutionStarted) -> None:
        started = generation.begin(event, self._around.registry, self._recorded_markers)
        self._tags = started.tags
        self._clock_stands_at = self._now
        if started.start_at is not None and started.start_at > self._now:
            self._waiting_start = started
            self._ready.append(Entry(Kind.TIMER, due=started.start_at, again=True))
        else:
            self._feed([started])

    def _is_recorded(self, marker: str) -> bool:
        return marker_due(marker) in self._recorded_markers

    def _begin(self) -> None:
        """Start the core, with what came while the start was waited for."""
        started, self._waiting_start = self._waiting_start, None
        early, self._early = self._early, []
        assert started is not None
        for event in [started, *early]:
            self._feed([event])

    def _ended(self, host_id: int) -> Entry | None:
        """Note the end of an entry; None where it has ended before, or is unknown."""
        entry = self._known.get(host_id)
        if entry is None or entry.finished:
            return None
        entry.finished = True
        if entry.kind is Kind.CHILD:
            self._children.end(entry.instance_id)
        if entry.group is not None:
            self._groups.ended(entry.group)
        return entry

    def _activity_ended(self, event: ev.TaskCompleted | ev.TaskFailed) -> None:
        entry = self._ended(event.task_id)
        if entry is None:
            return
        if entry.kind in (Kind.GATE, Kind.CLIENT) and isinstance(event, ev.TaskFailed):
            self._failures.note_other()
        if entry.kind is Kind.GATE:
            self._gate = None
            self._clock_stands_at = self._now
        elif entry.kind is Kind.CLIENT:
            self._operation_ended(entry, event)
        elif isinstance(event, ev.TaskCompleted):
            self._feed([ev.TaskCompleted(at=event.at, task_id=entry.core_id, result=event.result)])
        else:
            self._failures.note(entry.core_id, self._next_host_id)
            failure = _named(event.failure, entry)
            self._feed([msgspec.structs.replace(event, task_id=entry.core_id, failure=failure)])

    def _operation_ended(self, entry: Entry, event: ev.TaskCompleted | ev.TaskFailed) -> None:
        if isinstance(event, ev.TaskFailed) and entry.tries < TRIES - 1:
            again = entry.once_more()
            again.tries += 1
            again.text = operations.once_more(entry.text)
            self._ready.append(again)
            return
        if isinstance(event, ev.TaskFailed) and self._live:
            what = type(operations.read_operation(entry.text)).__name__
            _logger.error(
                "instance %s gave up %s for %s after %d tries: %s: %s",
                *(self._core.instance_id, what, entry.instance_id, TRIES),
                *(event.failure.type, event.failure.message),
            )
        if entry.is_check and self.outcome is None:
            assert isinstance(entry.action, CreateSubOrchestration)
            if isinstance(event, ev.TaskFailed):
                self._fail_child(entry.action, event.failure)
            elif event.result == '"taken"':
                self._refuse_child(entry.action)
            else:
                if event.result == '"over"':
                    self._children.replacing.add(entry.instance_id)
                self._ready.append(self._child(entry.action, again=True))
        following = self._chains.next(entry.instance_id)
        while (
            following is not None
            and following.is_check
            and following.instance_id in self._children.open
        ):
            assert isinstance(following.action, CreateSubOrchestration)
            self._refuse_child(following.action)
            following = self._chains.next(entry.instance_id)
        if following is not None:
            self._ready.append(following)

    def _timer_fired(self, event: ev.TimerFired) -> None:
        entry = self._ended(event.task_id)
        if entry is None or entry.kind is Kind.MARKER:
            return
        if entry.is_hop:
            if self._starts_later or self.is_wanted(entry):
                self._ready.append(entry.once_more())
        elif entry.core_id >= 0:
            self._feed([msgspec.structs.replace(event, task_id=entry.core_id)])
        elif self._starts_later:
            self._begin()

    def _fire_held_back(self, *, before: Event) -> None:
        """Let timers fire that were due before a message came.

        The extension sets none while an instance is suspended, nor the next hop of one that is:
        what came after they were due would go before them.
        """
        came_at = before.due if isinstance(before, ev.TimerFired) else before.at
        held = [(e.due, e) for e in self._ready if e.kind is Kind.TIMER and e.core_id >= 0]
        due = [(at, entry) for at, entry in held if at is not None and at <= came_at]
        for at, entry in sorted(due, key=lambda timer: timer[0]):
            assert entry.action is not None
            self._ready.remove(entry)
            if not entry.again:
                self._tell([_recorded(entry.action, self._now)])
            self._feed([ev.TimerFired(at=self._now, task_id=entry.core_id, due=at)])

    def _set_timers_anew(self) -> None:
        """The end of an instance cancelled its open timers, which a rewind does not bring back."""
        for entry in list(self._known.values()):
            if entry.kind is Kind.TIMER and not entry.finished and self.is_wanted(entry):
                self._ready.append(entry.once_more())
                entry.finished = entry.replaced = True

    # What the core asks for

    def _settle(self) -> None:
        """Put what the core asks for where it waits or is ready, until it asks for no more."""
        while True:
            asked = self._core.asked(self._seen)
            self._seen = self._core.next_id
            if not asked:
                break
            for action in asked:
                if self._transcript is not None:  # in the turn that asked, whatever it waits for
                    self._transcript.append(_recorded(action, self._now))
                self._ask(action)
        if self.outcome is None:
            self._ready.extend(self._groups.admitted())
            return
        asks_more = any(entry.core_id >= 0 for entry in self._ready)
        self._wind_up()
        asks_more = asks_more or bool(self._ending)
        self._failures.decide(self._core.culprits, self._next_host_id, asks_more=asks_more)

    def _ask(self, action: Action) -> None:
        match action:
            case ScheduleTask():
                self._ask_activity(action)
            case CreateTimer():
                # One of the distant past would be read as a marker; both fire at once.
                due = max(action.due, MARKERS_END)
                self._ready.append(
                    Entry(Kind.TIMER, action=action, core_id=action.task_id, due=due)
                )
            case CreateSubOrchestration():
                self._ask_child(action)
            case SendEvent():
                operation = operations.Send(
                    action.instance_id, action.name, action.data, action.event_id
                )
                self._operate(operation, action)
            case CancelTimer() | RecordMarker() | TerminateChild() | CompleteOrchestration():
                pass  # the core does not ask for these under an id
            case _:
                assert_never(action)

    def _ask_activity(self, action: ScheduleTask) -> None:
        is_own = self._around.is_own_activity(action.name)
        if not (is_own or self._around.has_activity(action.name)):
            reason = f"activity {action.name!r} is another application's: no one here runs it"
            failure = unstructured(ACTIVITY_ERROR, reason, action.name, action.attempt)
            failed = ev.TaskFailed(at=self._now, task_id=action.task_id, failure=failure)
            self._answer(action, failed)
            return
        entry = Entry(
            Kind.ACTIVITY,
            name=action.name,
            action=action,
            core_id=action.task_id,
            group=action.group,
            foreign=not is_own,
        )
        if action.group is None:
            self._ready.append(entry)
        else:
            self._groups.add(action.group, entry)

    def _write(self, entry: Entry) -> Entry:
        """Write what an activity is given: only where the host is to be asked for it."""
        action = entry.action
        if isinstance(action, SendEvent) and entry.instance_id in self._children.open:
            replaces = entry.instance_id in self._children.replacing
            entry.text = operations.for_a_child(entry.text, replaces=replaces)
        if not isinstance(action, ScheduleTask) or entry.text:
            return entry
        ids = self._core.instance_id, self._core.execution_id
        entry.text = action.input if entry.foreign else activity_payload(action, *ids)
        return entry

    def _ask_child(self, action: CreateSubOrchestration) -> None:
        if action.detached:
            payload = child_payload(action, self._around.registry)
            operation = operations.StartDetached(action.instance_id, action.name, payload)
            self._operate(operation, action)
            return
        if not self._around.runs_orchestration(action.name):
            reason = f"orchestration {action.name!r} is another application's: no one here runs it"
            failure = unstructured(SUB_ORCHESTRATION_ERROR, reason, action.name)
            self._answer(
                action,
                ev.SubOrchestrationInstanceFailed(
                    at=self._now, task_id=action.task_id, failure=failure
                ),
            )
        elif action.instance_id == child_id(self._core.execution_id, action.task_id):
            self._ready.append(self._child(action, again=False))
        elif action.instance_id in self._children.open:
            self._refuse_child(action)
        else:
            lingers = action.instance_id in self._children.ended
            self._operate(operations.CheckId(action.instance_id, lingers=lingers), action)

    def _child(self, action: CreateSubOrchestration, *, again: bool) -> Entry:
        self._children.open.add(action.instance_id)
        return Entry(
            Kind.CHILD,
            name=action.name,
            action=action,
            core_id=action.task_id,
            instance_id=action.instance_id,
            text=child_payload(action, self._around.registry),
            again=again,
        )

    def _refuse_child(self, action: CreateSubOrchestration) -> None:
        message = f"instance id {action.instance_id!r} is in use by an unfinished instance"
        self._answer_child(action, unstructured("InstanceExistsError", message, action.name))

    def _fail_child(self, action: CreateSubOrchestration, why: Failure) -> None:
        """Refuse a child of which nobody knows whether its id is free: one in use never starts."""
        message = (
            f"whether instance id {action.instance_id!r} is free could not be told in {TRIES} "
            f"tries: {why.type}: {why.message}"
        )
        self._answer_child(action, unstructured(SUB_ORCHESTRATION_ERROR, message, action.name))

    def _answer_child(self, action: CreateSubOrchestration, failure: Failure) -> None:
        failed = ev.SubOrchestrationInstanceFailed(
            at=self._now, task_id=action.task_id, failure=failure
        )
        self._answer(action, failed)

    def _answer(self, action: Action, answer: Event) -> None:
        """Tell the core at once what comes of an ask that the host is never asked for."""
        self._failures.note_other()
        self._tell([_recorded(action, self._now)])
        self._feed([answer])

    def _operate(self, operation: operations.Operation, action: Action | None) -> None:
        """Have the durable client do something, after what it does for the same target."""
        entry = Entry(
            Kind.CLIENT,
            action=action,
            core_id=getattr(action, "task_id", -1),
            instance_id=operation.instance_id,
            text=operations.operation_text(operation),
            is_check=isinstance(operation, operations.CheckId),
            again=action is None,
        )
        if self._chains.add(entry):
            self._ready.append(entry)

    def _wind_up(self) -> None:
        """The execution has ended: drop what never starts, and end its open children."""
        self._groups.clear()
        kept = [e for e in self._ready if self._starts_after_the_end(e)]
        dropped = [e for e in self._ready if e.kind is Kind.CLIENT and e not in kept]
        self._ready.clear()
        self._ready.extend(kept)
        self._chains.drop_checks()
        for entry in dropped:
            following = self._chains.next(entry.instance_id)
            while following is not None and not self._starts_after_the_end(following):
                following = self._chains.next(entry.instance_id)
            if following is not None:
                self._ready.append(following)
        for entry in (*self._known.values(), *kept):
            if (
                entry.kind is Kind.CHILD
                and not entry.finished
                and entry.core_id not in self._ending
                and self._core.is_open(entry.core_id)
            ):
                self._ending.add(entry.core_id)
                replaces = entry.instance_id in self._children.replacing
                operation = operations.TerminateTree(
                    entry.instance_id, PARENT_ENDED, replaces=replaces
                )
                self._operate(operation, None)

    def _starts_after_the_end(self, entry: Entry) -> bool:
        if entry.kind is Kind.TIMER or entry.is_check:
            return False
        if entry.again:
            return entry.kind is Kind.CLIENT
        if isinstance(self.outcome, Terminated):
            return False
        return self._core.is_asked(entry.core_id)

    def _new_markers(self) -> list[Entry]:
        """Markers that the core has just decided on."""
        self._asked_markers = [marker_due(name) for name in self._core.take_markers()]
        return [Entry(Kind.MARKER, due=due, fires=due) for due in self._asked_markers]

    # What the host has recorded

    def _match(self, event: Scheduling) -> None:
        """Find out what a scheduling event of the host's stands for."""
        while event.task_id > self._next_host_id and self._was_taken_back():
            self._number(self._write(self._ready.popleft()), self._next_host_id)
        known = self._known.get(event.task_id)
        if known is not None and (known.recorded or not known.fits(event)):
            return
        entry = known or self._device(event) or self._asked_for(event)
        entry.recorded = True
        if known is None:
            self._number(entry, event.task_id)
        if isinstance(event, ev.TimerCreated):
            # A due time that the code no longer repeats is no hop's: the timer is what was set.
            hops = (self._now + self._around.hop, self._now + HOP)
            entry.is_hop = event.due != entry.due and event.due in hops
            entry.fires = event.due
        action = entry.action
        if action is None or not self._core.is_asked(entry.core_id):
            return
        if entry.is_check:
            return  # the child itself is still to be asked for
        self._tell([_recorded(action, event.at)])

    def _was_taken_back(self) -> bool:
        """Whether what comes next may be without its event because a rewind took that away."""
        return bool(self._ready) and self._ready[0].kind in (Kind.ACTIVITY, Kind.CLIENT)

    def _number(self, entry: Entry, host_id: int) -> None:
        entry.host_id = host_id
        self._known[host_id] = entry
        self._next_host_id = host_id + 1

    def _device(self, event: Scheduling) -> Entry | None:
        """The entry of a device that goes by its name or time, or that was asked for earlier."""
        if isinstance(event, ev.TaskScheduled) and event.name == GATE:
            self._gate = Entry(Kind.GATE, name=GATE)
            return self._gate
        if isinstance(event, ev.TimerCreated) and is_marker(event.due):
            return Entry(Kind.MARKER, due=event.due, fires=event.due)
        head = self._ready[0] if self._ready else None
        if head is not None and head.fits(event):
            return None
        for entry in self._ready:
            if entry.again and entry.fits(event):
                self._ready.remove(entry)
                return entry
        return None

    def _asked_for(self, event: Scheduling) -> Entry:
        """The entry at the head of the queue; where it does not fit, the core is told."""
        if self._ready and self._ready[0].fits(event):
            return self._ready.popleft()
        head = self._ready.popleft() if self._ready else None
        core_id = head.core_id if head is not None and head.core_id >= 0 else self._core.next_id
        self._feed([msgspec.structs.replace(event, task_id=core_id)])
        self._ready.clear()
        return stands_for(event)


def _is_of_rewind(event: Event) -> bool:
    return isinstance(event, ev.ExecutionRewound) or is_taken_out(event)


def _named(failure: Failure, entry: Entry) -> Failure:
    """A failure that the host made, with the name and the attempt of what failed."""
    if failure.task is not None:
        return failure
    attempt = entry.action.attempt if isinstance(entry.action, ScheduleTask) else failure.attempt
    return msgspec.structs.replace(failure, task=entry.name, attempt=attempt)


def _recorded(action: Action, at: datetime) -> Event:
    """The event that records something asked under a task id."""
    scheduled = scheduling_event(action, at)
    assert scheduled is not None
    return scheduled
