"""Where messages are: in inboxes, in timers, or put aside by a test.

Nothing here is safe for threads: the task hub holds its lock. Whatever may let somebody go on
calls ``notify``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any

from ostinato.local.clock import Clock
from ostinato.testing.azure.events import Event, ExecutionStarted
from ostinato.testing.azure.hub_errors import InstanceOver, InstanceUnknown
from ostinato.testing.azure.instance import Instance, Message
from ostinato.testing.azure.status import Status
from ostinato.testing.azure.timers import Timers


class Post:
    """The instances of a hub and their messages.

    Attributes:
        instances: By id.
    """

    def __init__(self, clock: Clock, notify: Callable[[], None]) -> None:
        self.instances: dict[str, Instance] = {}
        self._before: dict[str, Instance] = {}
        """Instances that clients find until the child that has their id now has appeared."""
        self._clock = clock
        self._notify = notify
        self._timers = Timers()
        self._ready: dict[Instance, None] = {}
        self._holds_all = False
        self._holds: set[str] = set()
        self._aside: dict[str, list[Message]] = {}

    def known(self, instance_id: str) -> Instance:
        """An instance that clients find.

        Raises:
            InstanceUnknown: There is none.
        """
        instance = self._found(instance_id)
        if instance is None:
            raise InstanceUnknown(instance_id)
        return instance

    def _found(self, instance_id: str) -> Instance | None:
        instance = self.instances.get(instance_id)
        if instance is None or instance.has_appeared:
            return instance
        return self._before.get(instance_id)

    def unfinished(self, instance_id: str, what: str) -> Instance:
        """An instance that has not finished, to do ``what``.

        Raises:
            InstanceUnknown: There is none.
            InstanceOver: It has finished.
        """
        instance = self.known(instance_id)
        if instance.status.finished:
            raise InstanceOver(what, instance_id, instance.status)
        return instance

    def matching(
        self,
        statuses: Collection[Status] | None,
        created_from: datetime | None,
        created_to: datetime | None,
        prefix: str = "",
    ) -> list[Instance]:
        """Instances that clients find and that match, by id."""
        return [
            instance
            for id in sorted(self.instances)
            if id.startswith(prefix)
            and (instance := self._found(id)) is not None
            and (not statuses or instance.status in statuses)
            and (created_from is None or instance.created >= created_from)
            and (created_to is None or instance.created <= created_to)
        ]

    def create(self, started: ExecutionStarted) -> None:
        """Add an instance, in place of one that had its id, and send it its first message."""
        before = self._found(started.instance_id)
        self._before.pop(started.instance_id, None)
        if before is not None and started.parent is not None:
            self._before[started.instance_id] = before
        instance = Instance(started, created=started.timestamp, updated=started.timestamp)
        self.instances[instance.id] = instance
        self._aside.pop(instance.id, None)
        message = Message(started, started.execution_id)
        if started.scheduled_start is not None and started.scheduled_start > self._clock.now():
            self.deliver_at(started.scheduled_start, instance.id, message)
        else:
            self.deliver(instance.id, message)

    def deliver(self, instance_id: str, message: Message) -> None:
        """Put a message into the inbox of an instance that may still want it."""
        instance = self.instances.get(instance_id)
        if instance is None or instance.status.finished:
            return
        if self._holds_all or instance_id in self._holds:
            self._aside.setdefault(instance_id, []).append(message)
            self._notify()
        else:
            self._put(instance, message)

    def deliver_at(self, due: datetime, address: str, message: Message) -> None:
        """Deliver a message at a time; an address may be an entity's."""
        self._timers.add(due, address, message)
        self._notify()

    def take_due(self) -> list[tuple[str, Message]]:
        """Deliver what is due to instances; returns what is due to entities."""
        to_entities: list[tuple[str, Message]] = []
        for address, message in self._timers.take_due(self._clock.now()):
            if address.startswith("@"):
                to_entities.append((address, message))
            else:
                self.deliver(address, message)
        return to_entities

    def next_due(self) -> datetime | None:
        """When the first message is due that somebody still wants; None when there is none."""
        return self._timers.next_due(self._is_wanted)

    def waiting_for_turn(self) -> int:
        """How many messages the instance has whose turn is next; 0 when there is none."""
        return next((len(instance.inbox) for instance in self._ready if instance.ready), 0)

    def next_turn(self, limit: int) -> tuple[Instance, list[Message]] | None:
        """An instance that is ready, now busy, and at most ``limit`` messages; else None."""
        while self._ready:
            instance = next(iter(self._ready))
            del self._ready[instance]
            if instance.ready and self.instances.get(instance.id) is instance:
                instance.busy = True
                count = min(len(instance.inbox), limit)
                return instance, [instance.inbox.popleft() for _ in range(count)]
        return None

    def end_turn(self, instance: Instance) -> None:
        """The instance is busy no more."""
        instance.busy = False
        self.queue(instance)

    def queue(self, instance: Instance) -> None:
        """Have an instance's turn taken if it is ready for one."""
        if instance.ready:
            self._ready[instance] = None
        self._notify()

    def moving(self) -> list[str]:
        """Ids of the instances whose turn is being taken, or is to be taken now."""
        busy = [instance.id for instance in self.instances.values() if instance.busy]
        due = self.next_due()
        if due is not None and due <= self._clock.now():
            busy.append("a timer")
        return busy + [instance.id for instance in self._ready]

    def hold(self, instance_id: str | None) -> None:
        """Put aside what comes for an instance, or for all of them."""
        if instance_id is None:
            self._holds_all = True
        else:
            self._holds.add(instance_id)

    def release(self, instance_id: str, order: Callable[[Event], Any] | None) -> None:
        """Deliver what was put aside for an instance, sorted if told, and hold nothing back."""
        self._holds.discard(instance_id)
        waiting = self._aside.pop(instance_id, [])
        if order is not None:
            key = order
            waiting.sort(key=lambda message: key(message.event))
        for message in waiting:
            self._put(self.instances[instance_id], message)

    def let_through(self, instance_id: str, wanted: Sequence[Callable[[Event], bool]]) -> None:
        """Deliver, of what was put aside, the first message that each wants, in their order.

        Raises:
            LookupError: There is no such instance, or one wants a message that has not come.
        """
        instance = self.instances[instance_id]
        aside = self._aside.get(instance_id, [])
        chosen: list[Message] = []
        for number, wants in enumerate(wanted):
            message = next((m for m in aside if wants(m.event)), None)
            if message is None:
                raise LookupError(f"message {number} for {instance_id} has not come: {aside}")
            aside.remove(message)
            chosen.append(message)
        instance.inbox.extend(chosen)
        self.queue(instance)

    def _put(self, instance: Instance, message: Message) -> None:
        if not isinstance(message.event, ExecutionStarted):
            instance.inbox.append(message)
        elif message.execution_id == instance.started.execution_id:
            instance.inbox.appendleft(message)
        self.queue(instance)

    def _is_wanted(self, address: str, message: Message) -> bool:
        if address.startswith("@"):
            return True
        instance = self.instances.get(address)
        return (
            instance is not None
            and not instance.status.finished
            and message.execution_id in (None, instance.started.execution_id)
        )
