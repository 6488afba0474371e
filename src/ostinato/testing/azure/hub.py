"""An in-memory task hub: what the Durable extension and its storage do for an app.

`TaskHub` keeps the instances, their messages and timers, hands work items to the app's functions
and carries out what they decide. A thread takes the turns of orchestrations, a pool runs
activities, so that an activity that waits holds up nobody else.
"""

from __future__ import annotations

import threading
import uuid
from collections import deque
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from types import TracebackType
from typing import Any, assert_never

from ostinato.local.clock import Clock
from ostinato.testing.azure import activity_work
from ostinato.testing.azure.decisions import (
    Complete,
    CreateSubOrchestration,
    CreateTimer,
    Decision,
    ScheduleTask,
    SendEvent,
)
from ostinato.testing.azure.entities import Entities, Operation
from ostinato.testing.azure.events import (
    Event,
    EventRaised,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    GenericEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    ParentInstance,
    TaskCompleted,
    TaskFailed,
    TimerFired,
)
from ostinato.testing.azure.history import History
from ostinato.testing.azure.hub_errors import (
    InstanceInUse,
    InstanceOver,
    InstanceUnknown,
    WrongState,
)
from ostinato.testing.azure.instance import Instance, InstanceState, Message, state_of
from ostinato.testing.azure.options import HubOptions
from ostinato.testing.azure.ports import FunctionFailed, Functions
from ostinato.testing.azure.recording import event_of, output_of, told_to_parent
from ostinato.testing.azure.rewind import rewound
from ostinato.testing.azure.status import Status
from ostinato.testing.azure.timers import Timers
from ostinato.testing.azure.wire import take_turn


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a listing.

    Attributes:
        token: Give it to get the next page; None on the last.
    """

    instances: tuple[InstanceState, ...]
    token: str | None


class TaskHub:
    """A running task hub.

    Args:
        functions: The deployed app.
        clock: Tells the time; timers fire when it passes them.
        options: host.json's settings.
        name: The hub's name, ``hubName``.
        activity_threads: How many activities run at a time.
    """

    def __init__(
        self,
        functions: Functions,
        *,
        clock: Clock,
        options: HubOptions | None = None,
        name: str = "TestHubName",
        activity_threads: int = 16,
    ) -> None:
        self.name = name
        self.options = options or HubOptions()
        self._functions = functions
        self._clock = clock
        self._instances: dict[str, Instance] = {}
        self._ready: deque[Instance] = deque()
        self._timers = Timers()
        self._entities = Entities()
        self._running: dict[object, str] = {}
        self._broken: BaseException | None = None
        self._closed = False
        self._moved = threading.Condition()
        self._pool = ThreadPoolExecutor(activity_threads, thread_name_prefix=f"{name}-activity")
        clock.subscribe(self._notice)
        self._thread = threading.Thread(target=self._work, name=f"{name}-orchestrator", daemon=True)
        self._thread.start()

    def __enter__(self) -> TaskHub:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take no further turn and start no further activity; those running are waited for."""
        with self._moved:
            self._closed = True
            self._moved.notify_all()
        self._thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def deploy(self, functions: Functions) -> None:
        """Replace the app; calls that are under way end as they began."""
        with self._moved:
            self._functions = functions

    # What clients ask.

    def start(
        self,
        name: str,
        input: str | None = None,
        *,
        instance_id: str | None = None,
        version: str | None = None,
        tags: Mapping[str, str] | None = None,
        scheduled_start: datetime | None = None,
    ) -> str:
        """Start an instance.

        Args:
            name: The orchestration; one that does not exist fails the instance, not the call.
            input: JSON text as it is to be stored.
            instance_id: Made up when None. A finished instance of that id is replaced.
            version: The hub's ``default_version`` when None.
            scheduled_start: The first turn is not taken before.

        Returns:
            The instance id.

        Raises:
            InstanceInUse: An unfinished instance has the id.
        """
        with self._moved:
            instance_id = instance_id or uuid.uuid4().hex
            before = self._instances.get(instance_id)
            if before is not None and not before.status.finished:
                raise InstanceInUse(instance_id, before.status)
            self._create(
                ExecutionStarted(
                    timestamp=self._clock.now(),
                    instance_id=instance_id,
                    execution_id=uuid.uuid4().hex,
                    name=name,
                    input=input,
                    version=version if version is not None else self.options.default_version,
                    tags=tags,
                    scheduled_start=scheduled_start,
                )
            )
            return instance_id

    def get(self, instance_id: str) -> InstanceState:
        """Status and history of an instance.

        Raises:
            InstanceUnknown: There is none.
        """
        with self._moved:
            return state_of(self._known(instance_id))

    def list_instances(
        self,
        *,
        statuses: Collection[Status] | None = None,
        created_from: datetime | None = None,
        created_to: datetime | None = None,
        prefix: str = "",
        top: int = 100,
        token: str | None = None,
    ) -> Page:
        """Instances that match, by id, at most ``top`` of them.

        Raises:
            ValueError: The token is not one that a page gave.
        """
        begin = int(token) if token else 0
        with self._moved:
            found = [
                self._instances[id]
                for id in sorted(self._instances)
                if id.startswith(prefix)
                and _matches(self._instances[id], statuses, created_from, created_to)
            ]
            page = tuple(state_of(instance) for instance in found[begin : begin + top])
        end = begin + top
        return Page(page, str(end) if end < len(found) else None)

    def raise_event(self, instance_id: str, name: str, input: str | None) -> None:
        """Send an event, JSON text, to an instance.

        Raises:
            InstanceUnknown: There is none.
            InstanceOver: It has finished.
        """
        with self._moved:
            self._unfinished(instance_id, "raise an event to")
            self._deliver(
                instance_id,
                Message(EventRaised(timestamp=self._clock.now(), name=name, input=input)),
            )

    def terminate(self, instance_id: str, reason: str | None = None) -> None:
        """End an instance; its children go on.

        On the protobuf protocol it ends when its function answers so.

        Raises:
            InstanceUnknown: There is none.
            InstanceOver: It has finished.
        """
        with self._moved:
            instance = self._unfinished(instance_id, "terminate")
            if instance.history is None and not instance.inbox and not instance.busy:
                instance.status = Status.Terminated
                instance.output = reason
                instance.updated = self._clock.now()
                self._moved.notify_all()
                return
            event = ExecutionTerminated(timestamp=self._clock.now(), reason=reason)
            self._deliver(instance_id, Message(event))

    def suspend(self, instance_id: str, reason: str | None = None) -> None:
        """Suspend an instance.

        Raises:
            InstanceUnknown: There is none.
            InstanceOver: It has finished.
            WrongState: It is suspended.
        """
        with self._moved:
            instance = self._unfinished(instance_id, "suspend")
            if instance.status is Status.Suspended:
                raise WrongState("suspend", instance_id, instance.status)
            event = ExecutionSuspended(timestamp=self._clock.now(), reason=reason)
            self._deliver(instance_id, Message(event))

    def resume(self, instance_id: str, reason: str | None = None) -> None:
        """Let a suspended instance go on.

        Raises:
            InstanceUnknown: There is none.
            InstanceOver: It has finished.
            WrongState: It is not suspended.
        """
        with self._moved:
            instance = self._unfinished(instance_id, "resume")
            if instance.status is not Status.Suspended:
                raise WrongState("resume", instance_id, instance.status)
            event = ExecutionResumed(timestamp=self._clock.now(), reason=reason)
            self._deliver(instance_id, Message(event))

    def rewind(self, instance_id: str, reason: str | None = None) -> None:
        """Run a failed instance from its failures on; see `rewind.rewound`.

        Raises:
            InstanceUnknown: There is none.
            WrongState: It has not failed.
        """
        with self._moved:
            instance = self._known(instance_id)
            if instance.status is not Status.Failed:
                raise WrongState("rewind", instance_id, instance.status)
            for leaf in self._rewind(instance):
                event = GenericEvent(timestamp=self._clock.now(), data=reason)
                self._deliver(leaf.id, Message(event, leaf.started.execution_id))

    def restart(self, instance_id: str, *, new_id: bool = True, version: str | None = None) -> str:
        """Start again with the name and the input of an instance; returns the id.

        Raises:
            InstanceUnknown: There is none.
            InstanceInUse: The same id is wanted, and the instance has not finished.
        """
        with self._moved:
            instance = self._known(instance_id)
            started = instance.started
            return self.start(
                started.name,
                started.input,
                instance_id=None if new_id else instance_id,
                version=version if version is not None else started.version,
                tags=started.tags,
            )

    def purge(self, instance_id: str) -> None:
        """Forget an instance, whatever its state.

        Raises:
            InstanceUnknown: There is none.
        """
        with self._moved:
            self._known(instance_id)
            del self._instances[instance_id]
            self._moved.notify_all()

    def purge_many(
        self,
        *,
        created_from: datetime | None = None,
        created_to: datetime | None = None,
        statuses: Collection[Status] | None = None,
    ) -> int:
        """Forget finished instances that match; returns how many."""
        with self._moved:
            gone = [
                id
                for id, instance in self._instances.items()
                if instance.status.finished
                and _matches(instance, statuses, created_from, created_to)
            ]
            for id in gone:
                del self._instances[id]
            return len(gone)

    def signal_entity(self, name: str, key: str, operation: str, input: str | None = None) -> None:
        """Send an operation to an entity; the input is JSON text."""
        with self._moved:
            self._to_entity(
                f"@{name.lower()}@{key}",
                Operation(name=operation, input=input, signal=True),
            )

    def entity_state(self, name: str, key: str) -> str | None:
        """An entity's state, JSON text; None where there is no entity."""
        with self._moved:
            return self._entities.state(f"@{name.lower()}@{key}")

    def has_entity_function(self, name: str) -> bool:
        """Whether the app has an entity function of this name."""
        return self._functions.has_entity(name)

    # What tests ask.

    def settle(self, timeout: float = 60.0, *, activities: bool = True) -> None:
        """Wait until nothing can move without time or a message.

        Args:
            timeout: Seconds of real time.
            activities: Whether running activities are waited for.

        Raises:
            TimeoutError: Something still moves.
        """
        with self._moved:
            self._fire_due()
            settled = self._moved.wait_for(
                lambda: self._broken is not None or self._idle(activities), timeout
            )
            self._check()
            if not settled:
                raise TimeoutError(f"the hub is still at work: {self._what_moves()}")

    def wait(self, instance_id: str, timeout: float = 60.0) -> InstanceState:
        """Wait until an instance has finished; ``timeout`` is in seconds of real time.

        Raises:
            InstanceUnknown: There is none.
            TimeoutError: It has not finished.
        """
        with self._moved:
            self._known(instance_id)
            finished = self._moved.wait_for(
                lambda: self._broken is not None or self._known(instance_id).status.finished,
                timeout,
            )
            self._check()
            state = state_of(self._known(instance_id))
            if not finished:
                raise TimeoutError(f"instance {instance_id} is {state.status.name}")
            return state

    def next_due(self) -> datetime | None:
        """When the first timer or scheduled start is due; None when there is none."""
        with self._moved:
            return self._timers.next_due(self._awaits)

    def hold(self, instance_id: str) -> None:
        """Keep messages back from an instance.

        Raises:
            InstanceUnknown: There is none.
        """
        with self._moved:
            self._known(instance_id).held = True

    def release(self, instance_id: str, order: Callable[[Event], Any] | None = None) -> None:
        """Let an instance have its messages, those waiting sorted by ``order`` if given.

        Raises:
            InstanceUnknown: There is none.
        """
        with self._moved:
            instance = self._known(instance_id)
            instance.held = False
            if order is not None:
                key = order
                waiting = sorted(instance.inbox, key=lambda message: key(message.event))
                instance.inbox.clear()
                instance.inbox.extend(waiting)
            self._queue(instance)

    def redeliver(self, instance_id: str, task_id: int) -> None:
        """Deliver the answer of an activity once more, as a queue may.

        Raises:
            InstanceUnknown: There is none.
            LookupError: History has no such answer.
        """
        with self._moved:
            instance = self._known(instance_id)
            for event in instance.history.events if instance.history else ():
                if isinstance(event, TaskCompleted | TaskFailed) and event.task_id == task_id:
                    self._deliver(instance_id, Message(event, instance.started.execution_id))
                    return
            raise LookupError(f"activity {task_id} of {instance_id} has not answered")

    # Messages; the lock is held.

    def _known(self, instance_id: str) -> Instance:
        instance = self._instances.get(instance_id)
        if instance is None:
            raise InstanceUnknown(instance_id)
        return instance

    def _unfinished(self, instance_id: str, what: str) -> Instance:
        instance = self._known(instance_id)
        if instance.status.finished:
            raise InstanceOver(what, instance_id, instance.status)
        return instance

    def _create(self, started: ExecutionStarted) -> None:
        instance = Instance(started, created=started.timestamp, updated=started.timestamp)
        self._instances[instance.id] = instance
        message = Message(started, started.execution_id)
        if started.scheduled_start is not None and started.scheduled_start > self._clock.now():
            self._timers.add(started.scheduled_start, instance.id, message)
            self._moved.notify_all()
        else:
            self._deliver(instance.id, message)

    def _deliver(self, instance_id: str, message: Message) -> None:
        """Put a message into the inbox of an instance that may still want it."""
        instance = self._instances.get(instance_id)
        if instance is None or instance.status.finished:
            return
        if isinstance(message.event, ExecutionStarted):
            if message.execution_id != instance.started.execution_id:
                return
            instance.inbox.appendleft(message)
        else:
            instance.inbox.append(message)
        self._queue(instance)

    def _queue(self, instance: Instance) -> None:
        if instance.ready and instance not in self._ready:
            self._ready.append(instance)
        self._moved.notify_all()

    def _awaits(self, instance_id: str, message: Message) -> bool:
        if instance_id.startswith("@"):
            return True
        instance = self._instances.get(instance_id)
        return (
            instance is not None
            and not instance.status.finished
            and message.execution_id in (None, instance.started.execution_id)
        )

    def _fire_due(self) -> None:
        for instance_id, message in self._timers.take_due(self._clock.now()):
            if instance_id.startswith("@"):
                self._to_entity(instance_id, Operation.of(message.event))
            else:
                self._deliver(instance_id, message)

    def _notice(self) -> None:
        with self._moved:
            self._moved.notify_all()

    def _idle(self, activities: bool) -> bool:
        due = self._timers.next_due(self._awaits)
        return (
            not self._ready
            and not any(instance.busy for instance in self._instances.values())
            and not (activities and self._running)
            and (due is None or due > self._clock.now())
        )

    def _what_moves(self) -> str:
        turns = [instance.id for instance in self._instances.values() if instance.busy]
        waiting = [instance.id for instance in self._ready]
        return f"turns {turns}, ready {waiting}, running {sorted(self._running.values())}"

    def _check(self) -> None:
        if self._broken is not None:
            raise RuntimeError("the task hub broke down") from self._broken

    def _rewind(self, instance: Instance) -> list[Instance]:
        """Rewrite histories; returns the instances at which work goes on."""
        assert instance.history is not None, "a failed instance has a history"
        events, children = rewound(instance.history.events)
        instance.history = History(events)
        instance.history.end_turn()
        instance.status = Status.Pending
        instance.output = None
        leaves = [
            leaf
            for id in children
            if id in self._instances and self._instances[id].status is Status.Failed
            for leaf in self._rewind(self._instances[id])
        ]
        return leaves or [instance]

    # Turns; the orchestrator's thread.

    def _work(self) -> None:
        try:
            while (item := self._next_item()) is not None:
                self._turn(*item)
        except BaseException as error:
            with self._moved:
                self._broken = error
                self._moved.notify_all()

    def _next_item(self) -> tuple[Instance, list[Message], Functions] | None:
        with self._moved:
            while True:
                if self._closed:
                    return None
                self._fire_due()
                while self._ready:
                    instance = self._ready.popleft()
                    if instance.ready and self._instances.get(instance.id) is instance:
                        instance.busy = True
                        count = min(len(instance.inbox), self.options.control_queue_buffer)
                        messages = [instance.inbox.popleft() for _ in range(count)]
                        return instance, messages, self._functions
                self._moved.notify_all()
                due = self._timers.next_due(self._awaits)
                self._moved.wait(None if due is None else self._clock.seconds_until(due))

    def _turn(self, instance: Instance, messages: list[Message], functions: Functions) -> None:
        history = instance.history or History()
        history.begin_turn()
        execution = instance.started.execution_id
        events = [m.event for m in messages if m.execution_id in (None, execution)]
        history.append(OrchestratorStarted(timestamp=self._clock.now()), *events)
        for event in events:
            if isinstance(event, ExecutionSuspended | ExecutionResumed):
                instance.suspended = isinstance(event, ExecutionSuspended)
        carrying_on: History | None = history
        while carrying_on is not None:
            history = carrying_on
            result = take_turn(history, functions, self.options)
            history.end_turn()
            with self._moved:
                if self._instances.get(instance.id) is not instance:
                    return  # purged meanwhile
                instance.history = history
                instance.custom_status = result.custom_status
                carrying_on = self._carry_out(instance, history, result.decisions)
        with self._moved:
            instance.busy = False
            self._queue(instance)

    def _carry_out(
        self, instance: Instance, history: History, decisions: tuple[Decision, ...]
    ) -> History | None:
        """Write what was decided and do it; returns the next execution's history, if any."""
        now = self._clock.now()
        following: History | None = None
        for decision in decisions:
            if isinstance(decision, Complete) and decision.status is Status.ContinuedAsNew:
                following = self._next_execution(instance, decision, now)
                continue
            history.append(event_of(decision, now))
            self._perform(instance, decision, now)
        instance.updated = now
        if following is not None:
            instance.suspended = False
            return following
        if not isinstance(history.events[-1], OrchestratorCompleted):
            history.append(OrchestratorCompleted(timestamp=now))
        if not instance.status.finished:
            instance.status = Status.Suspended if instance.suspended else Status.Running
        return None

    def _next_execution(self, instance: Instance, how: Complete, now: datetime) -> History:
        started = replace(
            instance.started,
            timestamp=now,
            execution_id=uuid.uuid4().hex,
            input=how.result,
            version=how.new_version or instance.started.version,
            scheduled_start=None,
        )
        instance.started = started
        history = History(
            [
                OrchestratorStarted(timestamp=now),
                started,
                *how.carried,
                OrchestratorCompleted(timestamp=now),
            ],
            played=how.carried,
        )
        instance.history = history
        return history

    def _perform(self, instance: Instance, decision: Decision, now: datetime) -> None:
        execution = instance.started.execution_id
        match decision:
            case ScheduleTask():
                self._run(
                    f"{decision.name} of {instance.id}",
                    lambda: self._activity(instance.id, execution, decision),
                )
            case CreateTimer(id=id, fire_at=fire_at):
                fired = TimerFired(timestamp=now, timer_id=id, fire_at=fire_at)
                self._timers.add(fire_at, instance.id, Message(fired, execution))
            case CreateSubOrchestration():
                self._start_child(instance, decision, now)
            case SendEvent(instance_id=target) if target.startswith("@"):
                sent = EventRaised(timestamp=now, name=decision.name, input=decision.input)
                if decision.scheduled is not None:
                    self._timers.add(decision.scheduled, target, Message(sent))
                else:
                    self._to_entity(target, Operation.of(sent))
            case SendEvent(instance_id=target, name=name, input=input):
                self._deliver(target, Message(EventRaised(timestamp=now, name=name, input=input)))
            case Complete():
                self._finish(instance, decision, now)
            case _:
                assert_never(decision)

    def _start_child(
        self, instance: Instance, child: CreateSubOrchestration, now: datetime
    ) -> None:
        """Start a child; one whose id is empty, or in use, never starts, and its parent hangs."""
        before = self._instances.get(child.instance_id)
        if not child.instance_id or (before is not None and not before.status.finished):
            return
        self._create(
            ExecutionStarted(
                timestamp=now,
                instance_id=child.instance_id,
                execution_id=uuid.uuid4().hex,
                name=child.name,
                input=child.input,
                version=child.version,
                tags=child.tags,
                parent=ParentInstance(
                    name=instance.started.name,
                    instance_id=instance.id,
                    execution_id=instance.started.execution_id,
                    task_id=child.id,
                    version=instance.started.version,
                ),
            )
        )

    def _finish(self, instance: Instance, how: Complete, now: datetime) -> None:
        instance.status = how.status
        instance.output = output_of(how)
        instance.inbox.clear()
        parent = instance.started.parent
        if parent is not None:
            event = told_to_parent(how, parent.task_id, now)
            self._deliver(parent.instance_id, Message(event, parent.execution_id))

    # Activities and entities; the pool's threads.

    def _run(self, what: str, work: Callable[[], None]) -> None:
        """Run on the pool; the lock is held."""
        if self._closed:
            return
        token = object()
        self._running[token] = what

        def run() -> None:
            try:
                work()
            except BaseException as error:
                with self._moved:
                    self._broken = error
            finally:
                with self._moved:
                    del self._running[token]
                    self._moved.notify_all()

        self._pool.submit(run)

    def _activity(self, instance_id: str, execution_id: str, task: ScheduleTask) -> None:
        functions = self._functions
        answer: Event
        try:
            result = activity_work.run(task, functions)
            answer = activity_work.completed(task, result, self._clock.now())
        except FunctionFailed as failure:
            answer = activity_work.failed(task, failure, self._clock.now(), grpc=functions.grpc)
        except activity_work.NoSuchActivity as error:
            answer = activity_work.missing(task, self._clock.now(), error, grpc=functions.grpc)
        with self._moved:
            self._deliver(instance_id, Message(answer, execution_id))

    def _to_entity(self, entity_id: str, operation: Operation) -> None:
        self._entities.add(entity_id, operation)
        self._serve_entity(entity_id)

    def _serve_entity(self, entity_id: str) -> None:
        batch = self._entities.take(entity_id)
        if batch is not None:
            self._run(entity_id, lambda: self._entity(entity_id, batch))

    def _entity(self, entity_id: str, batch: tuple[Operation, ...]) -> None:
        state = self._entities.state(entity_id)
        outcome = Entities.run(entity_id, state, batch, self._functions)
        with self._moved:
            self._entities.done(entity_id, outcome)
            for reply in outcome.replies:
                event = EventRaised(timestamp=self._clock.now(), name=reply.name, input=reply.input)
                self._deliver(reply.instance_id, Message(event, reply.execution_id))
            for target, operation in outcome.signals:
                self._to_entity(target, operation)
            self._serve_entity(entity_id)


def _matches(
    instance: Instance,
    statuses: Collection[Status] | None,
    created_from: datetime | None,
    created_to: datetime | None,
) -> bool:
    return (
        (not statuses or instance.status in statuses)
        and (created_from is None or instance.created >= created_from)
        and (created_to is None or instance.created <= created_to)
    )
