"""An in-memory task hub: what the Durable extension and its storage do for an app.

`TaskHub` has the verbs of clients, and those by which a test sees and steers it. A thread takes
the turns of orchestrations, a pool runs activities, so that an activity that waits holds up nobody
else.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any

from ostinato.local.clock import Clock
from ostinato.testing.azure.decisions import Complete
from ostinato.testing.azure.dispatcher import Dispatcher
from ostinato.testing.azure.entities import Operation
from ostinato.testing.azure.events import (
    Event,
    EventRaised,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    GenericEvent,
    TaskCompleted,
    TaskFailed,
)
from ostinato.testing.azure.history import History
from ostinato.testing.azure.hub_errors import InstanceInUse, WrongState
from ostinato.testing.azure.instance import Instance, InstanceState, Message, state_of
from ostinato.testing.azure.options import HubOptions
from ostinato.testing.azure.pool import Pool
from ostinato.testing.azure.ports import Functions, Log, one_line
from ostinato.testing.azure.post import Post
from ostinato.testing.azure.rewind import rewound
from ostinato.testing.azure.status import Status

_logger = logging.getLogger(__name__)


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
        log: Told, in a line, of each instance that failed or was terminated.
    """

    def __init__(
        self,
        functions: Functions,
        *,
        clock: Clock,
        options: HubOptions | None = None,
        name: str = "TestHubName",
        activity_threads: int = 16,
        log: Log = _logger.info,
    ) -> None:
        self.name = name
        self.options = options or HubOptions()
        self._functions = functions
        self._clock = clock
        self._log = log
        self._broken: BaseException | None = None
        self._closed = False
        self._moved = threading.Condition()
        self._post = Post(clock, self._moved.notify_all)
        self._pool = Pool(
            activity_threads, name=f"{name}-activity", moved=self._moved, broke=self._break
        )
        self._dispatcher = Dispatcher(
            lambda: self._functions,
            clock=clock,
            options=self.options,
            post=self._post,
            pool=self._pool,
            moved=self._moved,
            log=log,
        )
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
        self._pool.close()

    def deploy(self, functions: Functions) -> None:
        """Replace the app; calls under way end as they began, or are made anew if they cannot."""
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
            before = self._post.instances.get(instance_id)
            if before is not None and not before.status.finished:
                raise InstanceInUse(instance_id, before.status)
            self._post.create(
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
            return state_of(self._post.known(instance_id))

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
            found = self._post.matching(statuses, created_from, created_to, prefix)
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
            self._post.unfinished(instance_id, "raise an event to")
            self._post.deliver(
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
            instance = self._post.unfinished(instance_id, "terminate")
            if instance.history is None and not instance.inbox and not instance.busy:
                instance.status = Status.Terminated
                instance.output = reason
                instance.updated = self._clock.now()
                ended = Complete(id=0, status=Status.Terminated, result=reason)
                self._dispatcher.tell_end(instance, ended)
                self._moved.notify_all()
                return
            event = ExecutionTerminated(timestamp=self._clock.now(), reason=reason)
            self._post.deliver(instance_id, Message(event))

    def suspend(self, instance_id: str, reason: str | None = None) -> None:
        """Suspend an instance.

        Raises:
            InstanceUnknown: There is none.
            InstanceOver: It has finished.
            WrongState: It is suspended.
        """
        with self._moved:
            instance = self._post.unfinished(instance_id, "suspend")
            if instance.status is Status.Suspended:
                raise WrongState("suspend", instance_id, instance.status)
            event = ExecutionSuspended(timestamp=self._clock.now(), reason=reason)
            self._post.deliver(instance_id, Message(event))

    def resume(self, instance_id: str, reason: str | None = None) -> None:
        """Let a suspended instance go on.

        Raises:
            InstanceUnknown: There is none.
            InstanceOver: It has finished.
            WrongState: It is not suspended.
        """
        with self._moved:
            instance = self._post.unfinished(instance_id, "resume")
            if instance.status is not Status.Suspended:
                raise WrongState("resume", instance_id, instance.status)
            event = ExecutionResumed(timestamp=self._clock.now(), reason=reason)
            self._post.deliver(instance_id, Message(event))

    def rewind(self, instance_id: str, reason: str | None = None) -> None:
        """Run a failed instance from its failures on; see `rewind.rewound`.

        Raises:
            InstanceUnknown: There is none.
            WrongState: It has not failed.
        """
        with self._moved:
            instance = self._post.known(instance_id)
            if instance.status is not Status.Failed:
                raise WrongState("rewind", instance_id, instance.status)
            for leaf in self._rewind(instance):
                event = GenericEvent(timestamp=self._clock.now(), data=reason)
                self._post.deliver(leaf.id, Message(event, leaf.started.execution_id))

    def restart(self, instance_id: str, *, new_id: bool = True, version: str | None = None) -> str:
        """Start again with the name and the input of an instance; returns the id.

        Raises:
            InstanceUnknown: There is none.
            InstanceInUse: The same id is wanted, and the instance has not finished.
        """
        with self._moved:
            instance = self._post.known(instance_id)
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
            self._post.known(instance_id)
            del self._post.instances[instance_id]
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
                instance.id
                for instance in self._post.matching(statuses, created_from, created_to)
                if instance.status.finished
            ]
            for id in gone:
                del self._post.instances[id]
            return len(gone)

    def signal_entity(self, name: str, key: str, operation: str, input: str | None = None) -> None:
        """Send an operation to an entity; the input is JSON text."""
        with self._moved:
            self._dispatcher.to_entity(
                f"@{name.lower()}@{key}",
                Operation(name=operation, input=input, signal=True),
            )

    def entity_state(self, name: str, key: str) -> str | None:
        """An entity's state, JSON text; None where there is no entity."""
        with self._moved:
            return self._dispatcher.entities.state(f"@{name.lower()}@{key}")

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
                lambda: self._broken is not None or not self._moving(activities), timeout
            )
            self._check()
            if not settled:
                raise TimeoutError(f"the hub is still at work: {self._moving(activities)}")

    def wait(self, instance_id: str, timeout: float = 60.0) -> InstanceState:
        """Wait until an instance has finished; ``timeout`` is in seconds of real time.

        Raises:
            InstanceUnknown: There is none.
            TimeoutError: It has not finished.
        """
        with self._moved:
            self._post.known(instance_id)
            finished = self._moved.wait_for(
                lambda: self._broken is not None or self._post.known(instance_id).status.finished,
                timeout,
            )
            self._check()
            state = state_of(self._post.known(instance_id))
            if not finished:
                raise TimeoutError(f"instance {instance_id} is {state.status.name}")
            return state

    def next_due(self) -> datetime | None:
        """When the first timer or scheduled start is due; None when there is none."""
        with self._moved:
            return self._post.next_due()

    def hold(self, instance_id: str | None = None) -> None:
        """Put aside what comes for an instance from now on; for all instances when None."""
        with self._moved:
            self._post.hold(instance_id)

    def release(self, instance_id: str, order: Callable[[Event], Any] | None = None) -> None:
        """Let an instance have what was put aside for it, sorted by ``order`` if given.

        Raises:
            InstanceUnknown: There is none, but something was put aside for it.
        """
        with self._moved:
            self._post.release(instance_id, order)

    def let_through(self, instance_id: str, wanted: Sequence[Callable[[Event], bool]]) -> None:
        """Give an instance, of what was put aside, the first message that each wants.

        They come in the order of ``wanted``, in one turn; the others stay aside.

        Raises:
            InstanceUnknown: There is none.
            LookupError: A message has not come.
        """
        with self._moved:
            self._post.let_through(instance_id, wanted)

    def redeliver(self, instance_id: str, task_id: int) -> None:
        """Deliver the answer of an activity once more, as a queue may.

        Raises:
            InstanceUnknown: There is none.
            LookupError: History has no such answer.
        """
        with self._moved:
            instance = self._post.known(instance_id)
            for event in instance.history.events if instance.history else ():
                if isinstance(event, TaskCompleted | TaskFailed) and event.task_id == task_id:
                    self._post.deliver(instance_id, Message(event, instance.started.execution_id))
                    return
            raise LookupError(f"activity {task_id} of {instance_id} has not answered")

    # Inside.

    def _notice(self) -> None:
        with self._moved:
            self._moved.notify_all()

    def _check(self) -> None:
        if self._broken is not None:
            raise RuntimeError("the task hub broke down") from self._broken

    def _break(self, error: BaseException) -> None:
        """Let whoever waits know of what should not happen. The lock is held."""
        self._broken = error
        self._moved.notify_all()
        self._log(one_line(f"the task hub broke down: {type(error).__name__}: {error}"))

    def _moving(self, activities: bool) -> list[str]:
        return [*self._post.moving(), *(self._pool.running if activities else ())]

    def _fire_due(self) -> None:
        for entity_id, message in self._post.take_due():
            self._dispatcher.to_entity(entity_id, Operation.of(message.event))

    def _rewind(self, instance: Instance) -> list[Instance]:
        """Rewrite histories; returns the instances at which work goes on."""
        assert instance.history is not None, "a failed instance has a history"
        events, children = rewound(instance.history.events)
        instance.history = History(events)
        instance.history.end_turn()
        instance.status = Status.Pending
        instance.output = None
        failed = [
            child
            for child in map(self._post.instances.get, children)
            if child is not None and child.status is Status.Failed
        ]
        return [leaf for child in failed for leaf in self._rewind(child)] or [instance]

    def _work(self) -> None:
        try:
            while (turn := self._next_turn()) is not None:
                self._dispatcher.turn(*turn)
        except BaseException as error:
            with self._moved:
                self._break(error)

    def _more_comes(self) -> bool:
        """Wait for what running activities may add to the next turn; whether anything moved.

        The lock is held.
        """
        waiting = self._post.waiting_for_turn()
        if not 0 < waiting < self.options.control_queue_buffer or not self._pool.busy:
            return False
        return self._moved.wait_for(
            lambda: self._closed or not self._pool.busy or self._post.waiting_for_turn() != waiting,
            self.options.poll.total_seconds(),
        )

    def _next_turn(self) -> tuple[Instance, list[Message]] | None:
        with self._moved:
            while not self._closed:
                self._fire_due()
                if self._more_comes():
                    continue
                turn = self._post.next_turn(self.options.control_queue_buffer)
                if turn is not None:
                    return turn
                self._moved.notify_all()
                due = self._post.next_due()
                self._moved.wait(None if due is None else self._clock.seconds_until(due))
            return None
