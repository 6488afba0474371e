"""Replay: drives an orchestrator by the events of its history.

Theory of operation. An `Orchestration` holds a generator, suspended at the task it awaits.
Events are applied one by one; an event that finishes the awaited task runs the generator to
its next wait before the next event is applied. What the generator asks for on the way is
kept, by task id, until a scheduling event of the history confirms it; what no event has
confirmed is what the host must do next. Nothing here knows the time, does I/O or logs.

A host replays the past with `Orchestration.replay`, feeds new events to
`Orchestration.apply`, and records and performs `Orchestration.take_actions`. It may keep
the object for the next turn, which then costs only its new events; if what it took could
not be recorded, it must drop the object and replay.

Our own refusals (a mismatch with history, an unknown name) end the execution without being
thrown into the generator, so that no ``except`` of the user's can swallow them. One that asks for
tasks without end never comes to a wait: in that alone `execution.GiveUp` is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import datetime
from math import inf
from typing import Any, assert_never

from ostinato import events as ev
from ostinato import waits
from ostinato.actions import (
    Action,
    CancelTimer,
    Completed,
    CompleteOrchestration,
    ContinuedAsNew,
    Failed,
    Outcome,
    RecordMarker,
    TerminateChild,
    Terminated,
    scheduling_event,
)
from ostinato.codec import decode, encode
from ostinato.context import OrchestrationContext
from ostinato.definitions import OrchestrationDefinition, Registry
from ostinato.events import Event, Scheduling
from ostinato.execution import Execution
from ostinato.failures import failure_of
from ostinato.tasks import Attempts, Group, HostTask, SubOrchestrationTask, Task

PARENT_ENDED = "parent ended"
"""Reason with which open children end."""

_CLOSE_ATTEMPTS = 1000
"""Closing takes one for each helper, and one more for each yield in a ``finally``."""


def replay(registry: Registry, history: Sequence[Event]) -> list[Action]:
    """Return what the host must do next.

    Args:
        registry: The application's declarations (`App.registry`).
        history: All events of one execution, oldest first.

    Returns:
        Actions not yet in history, in the order they were asked for; empty while waiting.
    """
    orchestration = Orchestration(registry)
    orchestration.replay(history)
    try:
        return orchestration.take_actions()
    finally:
        orchestration.close()


class Orchestration:
    """One execution of an orchestrator, live.

    Args:
        registry: The application's declarations.
        exact: Whether everything that a scheduling event records has to be repeated, inputs and
            due times included; hosts look at kind, name and id, so that a mended input or
            delay does not fail the instances that run.
        marked: Whether the whole history records a marker, on a host that keeps markers
            other than as `events.Marker`.
    """

    __slots__ = (
        "_awaited",
        "_context",
        "_culprits",
        "_exact",
        "_generator",
        "_held",
        "_outcome",
        "_reported",
        "_state",
        "_suspended",
        "_thrown",
    )

    def __init__(
        self,
        registry: Registry,
        *,
        exact: bool = False,
        marked: Callable[[str], bool] | None = None,
    ) -> None:
        self._exact = exact
        self._state = Execution(registry)
        self._state.marked = marked
        self._context = OrchestrationContext(self._state)
        self._generator: Generator[Any, Any, Any] | None = None
        self._awaited: Task[Any] | None = None
        self._outcome: Outcome | None = None
        self._reported = False
        self._suspended = False
        self._held: list[Event] = []
        self._thrown: list[tuple[Exception, Task[Any]]] = []
        self._culprits: tuple[int, ...] = ()

    # What the host asks

    @property
    def instance_id(self) -> str:
        """The instance; empty before ExecutionStarted."""
        return self._state.instance_id

    @property
    def execution_id(self) -> str:
        """The generation; empty before ExecutionStarted."""
        return self._state.execution_id

    @property
    def name(self) -> str:
        """The orchestration's name; empty before ExecutionStarted."""
        return self._state.name

    @property
    def version(self) -> str | None:
        """The version that the instance runs on."""
        return self._state.version

    @property
    def clock(self) -> datetime:
        """The orchestrator's time."""
        return self._state.clock

    @property
    def outcome(self) -> Outcome | None:
        """How the execution ended; None while it goes on."""
        if isinstance(self._outcome, ContinuedAsNew):
            return self._continued(self._outcome)
        return self._outcome

    @property
    def suspended(self) -> bool:
        """Whether messages are held."""
        return self._suspended

    @property
    def custom_status(self) -> str | None:
        """JSON text of the custom status."""
        return self._state.custom_status

    @property
    def weight(self) -> int:
        """How many task ids it has taken: a measure of the memory it holds."""
        return self._state.next_id

    def awaits(self, event: Event) -> bool:
        """Whether an event is the answer to something that was asked, and the first."""
        state = self._state
        task_id = getattr(event, "task_id", -1)
        if task_id in state.asks:
            return False  # not recorded yet: the answer is to something asked before a rewind
        waiter = state.open.get(task_id)
        return waiter is not None and waiter.expects(event)

    @property
    def next_id(self) -> int:
        """The task id that is taken next."""
        return self._state.next_id

    def is_asked(self, task_id: int) -> bool:
        """Whether what was asked under this task id waits for history to confirm it."""
        return task_id in self._state.asks

    def asked(self, since: int) -> list[Action]:
        """Return what was asked under the task ids from ``since`` on and is not confirmed.

        It stays asked: for hosts that schedule things later than they are asked for.
        """
        asks = self._state.asks
        return [asks[i].action(i) for i in range(since, self._state.next_id) if i in asks]

    def is_open(self, task_id: int) -> bool:
        """Whether a completion for this task id has not come yet, and is wanted."""
        return task_id in self._state.open

    def has_taken(self, event_id: str) -> bool:
        """Whether the external event with this id has come before."""
        return event_id in self._state.event_ids

    @property
    def culprits(self) -> tuple[int, ...]:
        """Task ids of the final attempts whose failures ended the execution."""
        return self._culprits

    def waiting_for(self) -> list[str]:
        """What the orchestrator waits for, in words; empty when it has ended."""
        told = [waits.SUSPENDED] if self._suspended else []
        if self._awaited is not None and not self._outcome:
            told += _describe(self._awaited)
        return told

    # What the host tells

    def replay(self, history: Sequence[Event], *, undecided: bool = False) -> None:
        """Apply the past: events that are already in history.

        Args:
            history: The events.
            undecided: Whether versions and patches that they reach are decided anew, on a host
                whose history could not record what was decided then.
        """
        state = self._state
        state.replaying, state.undecided = True, undecided
        kinds = set(map(type, history))
        if ev.ExecutionRewound in kinds:
            dropped = rewound_positions(history)
            history = [e for position, e in enumerate(history) if position not in dropped]
        if ev.Marker in kinds:
            state.markers.update(e.name for e in history if isinstance(e, ev.Marker))
        apply = self._apply
        for event in history:
            apply(event)
        state.replaying = state.undecided = False
        state.withdrawn.clear()

    def apply(self, event: Event) -> None:
        """Apply a new event."""
        self._apply(event)

    def take_actions(self) -> list[Action]:
        """Return what history does not record yet, once: the host now records it.

        In order: markers, what was asked by task id, timers no longer wanted; at the end of
        the execution the children to end, and last the completion.
        """
        state = self._state
        actions: list[Action] = [RecordMarker(name=name) for name in self.take_markers()]
        if state.asks:
            actions += [ask.action(task_id) for task_id, ask in sorted(state.asks.items())]
            state.asks.clear()
        actions += [CancelTimer(task_id=task_id) for task_id in state.withdrawn]
        state.withdrawn.clear()
        outcome = self.outcome
        if outcome is not None and not self._reported:
            self._reported = True
            actions += self._orphans()
            actions.append(CompleteOrchestration(outcome))
        return actions

    def take_markers(self) -> list[str]:
        """Return the markers that history does not record yet, once.

        For hosts that record what is asked under task ids later than it is asked for: they
        ask for that by `asked`, and never call `take_actions`.
        """
        markers, self._state.new_markers = self._state.new_markers, []
        return markers

    def close(self) -> None:
        """End the generator; whatever its ``finally`` blocks ask for has no effect."""
        generator, self._generator = self._generator, None
        if generator is None:
            return
        self._context._execution = self._state.corpse()
        for _ in range(_CLOSE_ATTEMPTS):
            innermost = _innermost(generator)  # closing a caller would abandon it where it refuses
            try:
                innermost.close()
            except BaseException:  # it yields in a finally, or the user's cleanup failed
                continue
            if innermost is generator:
                return

    # Applying events

    def _apply(self, event: Event) -> None:
        if self._suspended and not isinstance(event, _NOT_HELD):
            self._held.append(event)
            return
        state = self._state
        match event:
            case ev.TaskCompleted():  # the first three make up most of any history
                self._settle(event)
            case ev.TaskScheduled():
                self._confirm(event)
            case ev.OrchestratorStarted():
                if event.at > state.clock:
                    state.clock = event.at
            case (
                ev.TaskFailed()
                | ev.TimerFired()
                | ev.SubOrchestrationInstanceCompleted()
                | ev.SubOrchestrationInstanceFailed()
            ):
                self._settle(event)
            case ev.TimerCreated() | ev.SubOrchestrationInstanceCreated() | ev.EventSent():
                self._confirm(event)
            case ev.EventRaised():
                state.raise_event(event)
                self._resume()
            case ev.ExecutionStarted():
                self._start(event)
            case ev.ExecutionSuspended():
                self._suspended = self._outcome is None
            case ev.ExecutionResumed():
                self._release()
            case ev.ExecutionTerminated():
                if self._outcome is None:
                    self._end(Terminated(event.reason))
                    if not event.cascade:
                        state.open.clear()
            case ev.Marker():
                if event.name in state.new_markers:
                    state.new_markers.remove(event.name)
            case ev.EntityOperationCalled() | ev.EntityOperationSignaled():
                self._mismatch(event, None)
            case ev.ContinueAsNew() | ev.ExecutionCompleted():
                self._reported = self._outcome is not None
            case ev.ExecutionRewound() | ev.EntityOperationCompleted() | ev.EntityOperationFailed():
                pass
            case _:
                assert_never(event)

    def _start(self, event: ev.ExecutionStarted) -> None:
        state = self._state
        state.instance_id = event.instance_id
        state.execution_id = event.execution_id
        state.name = event.name
        state.input = event.input
        state.parent = event.parent
        state.custom_status = event.custom_status
        state.event_ids = dict.fromkeys(event.event_ids)
        state.clock = max(state.clock, event.at)
        for carried in event.events:
            state.keep(carried)
        if self._outcome is not None:
            return  # terminated before it started
        definition = self._definition(event)
        if definition is None:
            return
        state.version = definition.version
        if definition.fn is None:
            state.refuse(
                "UnsupportedError",
                f"orchestration {event.name!r} is declared foreign: another application runs it",
            )
            self._end_refused()
            return
        self._call(definition)

    def _definition(self, event: ev.ExecutionStarted) -> OrchestrationDefinition | None:
        """The version that this instance runs on, by the rules of DESIGN section 1."""
        state = self._state
        registry = state.registry
        version = event.version
        if version is None:
            marked = next((m for m in state.markers if m.startswith("version:")), None)
            if marked is not None:
                version = marked.removeprefix("version:")
            elif not state.decides:
                definition = registry.first_version(event.name)
                if definition is not None:
                    return definition
            else:
                definition = registry.orchestration(event.name)
                if definition is not None:
                    if definition.version is not None:
                        state.new_markers.append(f"version:{definition.version}")
                    return definition
        definition = registry.orchestration(event.name, version)
        if definition is None:
            known = [d.name for d in registry.orchestrations()]
            if event.name in known:
                have = [d.version for d in registry.orchestrations() if d.name == event.name]
                state.refuse(
                    "UnknownNameError",
                    f"orchestration {event.name!r} has no version {version!r} any more (it has "
                    f"{', '.join(map(repr, have))}): register it again, then rewind",
                )
            else:
                state.refuse_name("orchestration", event.name, known)
            self._end_refused()
        return definition

    def _call(self, definition: OrchestrationDefinition) -> None:
        """Call the orchestrator and run it to its first wait."""
        assert definition.fn is not None
        signature = definition.signature
        try:
            if signature.takes_input:
                value = decode(self._state.input, signature.input_type, definition.input_label)
                self._generator = definition.fn(self._context, value)
            else:
                self._generator = definition.fn(self._context)
        except Exception as error:
            self._fail(error)
            return
        self._advance(None)

    def _confirm(self, event: Scheduling) -> None:
        """Hold a scheduling event against what the code asked for under its task id."""
        ask = self._state.asks.pop(event.task_id, None)
        if (
            ask is None
            or not ask.confirms(event)
            or (self._exact and scheduling_event(ask.action(event.task_id), event.at) != event)
        ):
            self._state.open.pop(event.task_id, None)  # what was asked was never begun
            self._mismatch(event, ask)

    def _settle(
        self,
        event: ev.TaskCompleted
        | ev.TaskFailed
        | ev.TimerFired
        | ev.SubOrchestrationInstanceCompleted
        | ev.SubOrchestrationInstanceFailed,
    ) -> None:
        state = self._state
        waiter = state.open.pop(event.task_id, None)
        if waiter is None or self._outcome is not None:
            return  # cancelled, or of an earlier generation, or too late: not heeded
        if isinstance(event, ev.TimerFired) and event.due > state.clock:
            state.clock = event.due
        if event.task_id in state.asks or not waiter.settle(event):
            self._mismatch(event, state.asks.get(event.task_id))
            return
        self._resume()

    def _release(self) -> None:
        if not self._suspended:
            return
        self._suspended = False
        held, self._held = self._held, []
        for event in held:
            self._apply(event)

    def _resume(self) -> None:
        """Run the generator on if what it awaits is done."""
        awaited = self._awaited
        if awaited is not None and awaited._done and self._outcome is None:
            self._advance(awaited)

    def _advance(self, task: Task[Any] | None) -> None:
        """Run the generator from a finished task (None: from its beginning) to its next wait."""
        generator = self._generator
        state = self._state
        assert generator is not None
        try:
            while True:
                state.resume()
                if task is None:
                    yielded = generator.send(None)
                else:
                    error = task._error()
                    if error is None:
                        try:
                            value = task._value()
                        except Exception as mistaken:  # it does not fit its annotation
                            yielded = generator.throw(mistaken)
                        else:
                            yielded = generator.send(value)
                    else:
                        self._thrown.append((error, task))
                        yielded = generator.throw(error)
                if state.fatal is not None or state.continuation is not None:
                    break
                if not isinstance(yielded, Task):
                    yielded = generator.throw(_not_a_task(yielded))
                    continue
                task = yielded  # pyright: ignore[reportUnknownVariableType]
                if not task._done:
                    self._awaited = task
                    state.budget = inf
                    return
        except StopIteration as stop:
            self._returned(stop.value)
        except BaseException as error:  # sys.exit() in an orchestrator fails it, not its host
            if state.fatal is None:
                self._fail(error)
        self._awaited = None
        if state.fatal is not None:
            self._end_refused()
        elif state.continuation is not None and self._outcome is None:
            self._end(state.continuation)

    # Ending

    def _returned(self, value: Any) -> None:
        state = self._state
        if state.continuation is not None or state.fatal is not None:
            return
        try:
            text = encode(
                value, f"output of orchestration {state.name!r}", state.registry.payload_limit
            )
        except Exception as error:
            self._fail(error)
            return
        self._end(Completed(text))

    def _fail(self, error: BaseException) -> None:
        raised = list(_raised_from(error))
        for thrown, task in reversed(self._thrown):
            if any(thrown is one for one in raised):
                self._culprits = tuple(_blame(task))
                break
        self._end(Failed(failure_of(error, task=self._state.name)))

    def _end(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self._awaited = None
        self._suspended = False
        self._held.clear()
        self.close()
        self._state.waiters.clear()  # events that come now are for the next generation

    def _end_refused(self) -> None:
        state = self._state
        assert state.fatal is not None
        for task_id in [i for i in state.asks if i >= state.refused_at]:
            del state.asks[task_id]
            state.open.pop(task_id, None)  # a child that was never begun is not to be ended
        self._end(Failed(state.fatal))

    def _continued(self, outcome: ContinuedAsNew) -> ContinuedAsNew:
        """The continuation with the events that have arrived until now."""
        state = self._state
        return ContinuedAsNew(
            input=outcome.input,
            events=outcome.events + state.unread(),
            event_ids=state.remembered_ids(),
            custom_status=state.custom_status,
            version=outcome.version,
        )

    def _orphans(self) -> list[Action]:
        return [
            TerminateChild(task_id=task_id, instance_id=child, reason=PARENT_ENDED)
            for task_id, waiter in self._state.open.items()
            if isinstance(waiter, SubOrchestrationTask)
            and (child := waiter.running_child) is not None
        ]

    def _mismatch(self, event: Event, ask: Any) -> None:
        """Fail the execution: its code did not repeat what its history records."""
        if isinstance(self._outcome, Failed) and self._state.fatal is not None:
            return
        recorded, found, where = _show_event(event), "nothing", ""
        if ask is not None:
            action = ask.action(getattr(event, "task_id", -1))
            found, where = _show_action(action), f" at {ask.site()}"
            if ask.confirms(event):  # they differ in what only an exact replay looks at
                recorded, found = repr(event), repr(action)
        elif self._outcome is not None:
            where = " (it had ended)"
        elif self._generator is not None:
            where = f" (it waits at {_line_of(self._generator)})"
        self._state.refuse(
            "NonDeterminismError",
            f"{self._state.name!r} did not repeat its history: the history has {recorded}, but "
            f"the code asked for {found}{where}. Undo the change, give the new code another "
            "version (docs/versioning.md) or, where it looks at chance or the clock, use "
            "ctx.random, ctx.new_uuid or ctx.current_utc_datetime; then rewind",
        )
        self._state.refused_at = 0
        self._end_refused()


_NOT_HELD = (
    ev.ExecutionSuspended,  # again: one resume is enough
    ev.ExecutionResumed,
    ev.ExecutionTerminated,
    ev.OrchestratorStarted,  # the clock goes on
    ev.TaskScheduled,  # confirmations run no user code
    ev.TimerCreated,
    ev.SubOrchestrationInstanceCreated,
    ev.EventSent,
    ev.Marker,
)


def rewound_positions(history: Sequence[Event]) -> set[int]:
    """Return the positions of the events that the history's rewinds dropped."""
    return {
        position
        for event in history
        if isinstance(event, ev.ExecutionRewound)
        for position in event.dropped
    }


def _blame(task: Task[Any]) -> Iterator[int]:
    """Task ids of the failed attempts that a task was waiting for."""
    if isinstance(task, Group):
        for child in task.children:
            if child._done and child._error() is not None:
                yield from _blame(child)
    elif isinstance(task, Attempts):
        yield task.attempt_id


def _raised_from(error: BaseException) -> Iterator[BaseException]:
    """An exception and those it was raised from, nearest first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _not_a_task(yielded: object) -> TypeError:
    kind = type(yielded).__name__
    mend = (
        "yield ctx.task_all(tasks) to wait for several"
        if isinstance(yielded, (list, tuple, set))
        else "yield what ctx.call_activity, ctx.create_timer and the like return"
    )
    return TypeError(f"an orchestrator yields tasks, but this one yielded {kind}; {mend}")


def _innermost(generator: Generator[Any, Any, Any]) -> Any:
    """The user's generator that is suspended at a yield of its own, following ``yield from``."""
    inner: Any = generator
    while (
        isinstance(getattr(inner, "gi_yieldfrom", None), Generator)
        and getattr(inner.gi_yieldfrom, "gi_frame", None) is not None
        and inner.gi_yieldfrom.gi_code.co_qualname != "Task.__iter__"
    ):
        inner = inner.gi_yieldfrom
    return inner


def _line_of(generator: Generator[Any, Any, Any]) -> str:
    """Where a generator is suspended."""
    frame = _innermost(generator).gi_frame
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else "its end"


def _show_event(event: Event) -> str:
    name = getattr(event, "name", None)
    task_id = getattr(event, "task_id", None)
    shown = type(event).__name__ + (f" {name!r}" if name else "")
    return shown if task_id is None else f"{shown} as task {task_id}"


def _show_action(action: Action) -> str:
    name = getattr(action, "name", None)
    return type(action).__name__ + (f" {name!r}" if name else "")


def _describe(task: Task[Any]) -> list[str]:
    """What a task waits for, in words."""
    if isinstance(task, Group):
        return [line for child in task.children if not child._done for line in _describe(child)]
    return [task.waits_for()] if isinstance(task, HostTask) else []
