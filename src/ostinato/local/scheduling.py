"""Which activity may start: the limits that work waits for, in order of arrival.

Work passes its limits one after another (its group's bound, its activity's, that of processes)
and then waits for a place among all that run. Each limit has a queue of its own, so work that
waits for one blocks nobody who does not. Every step is O(1). Nothing here is thread-safe.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from ostinato.activities import ActivityCall
from ostinato.definitions import ActivityDefinition, Registry
from ostinato.events import Json
from ostinato.local.store import WorkItem, WorkKey

if TYPE_CHECKING:
    from threading import Thread

GroupKey: TypeAlias = tuple[str, str, int]


class Work:
    """One attempt on its way through the workers."""

    __slots__ = (
        "_stop",
        "bound",
        "call",
        "cancelled",
        "group",
        "heartbeat_details",
        "kind",
        "last_heartbeat",
        "limits",
        "passed",
        "thread",
    )

    def __init__(
        self, call: ActivityCall, *, group: int | None = None, bound: int | None = None
    ) -> None:
        self.call = call
        self.group = group
        """The first task id of the bounded map that this belongs to."""
        self.bound = bound
        """How many of the group may run at a time."""
        self.cancelled = False
        self.last_heartbeat: float | None = None
        """Seconds since the epoch."""
        self.heartbeat_details: Json | None = None
        self.kind: Kind
        self.limits: tuple[Limit, ...] = ()
        self.passed = 0
        """How many of its limits it holds a place in."""
        self.thread: Thread | None = None
        """The pool's thread that runs it."""
        self._stop: Callable[[], None] | None = None

    @classmethod
    def of(cls, item: WorkItem) -> Work:
        """Make work of what the store keeps."""
        event = item.event
        call = ActivityCall(
            instance_id=item.key.instance_id,
            execution_id=item.key.execution_id,
            task_id=event.task_id,
            first_id=event.task_id if event.first_id is None else event.first_id,
            attempt=event.attempt,
            name=event.name,
            input=event.input,
            timeout=event.timeout,
        )
        return cls(call, group=event.group, bound=event.bound)

    @property
    def key(self) -> WorkKey:
        return WorkKey(self.call.instance_id, self.call.execution_id, self.call.task_id)

    def cancel(self) -> None:
        """Never start it, and report nothing; when it runs already, ask it to stop.

        Callable from any thread, cheap, and harmless at any time.
        """
        self.cancelled = True
        if self._stop is not None:
            self._stop()

    def on_cancel(self, stop: Callable[[], None] | None) -> None:
        """Have ``stop`` called when the work is cancelled, at once if it is already."""
        self._stop = stop
        if self.cancelled and stop is not None:
            stop()

    def beat(self, details: Json | None) -> None:
        """Take a sign of life from the activity."""
        self.last_heartbeat = time.time()
        self.heartbeat_details = details


class Limit:
    """Places for so many at a time, and those who wait for one."""

    __slots__ = ("free", "key", "size", "waiting")

    def __init__(self, size: int, key: GroupKey | None = None) -> None:
        self.size = size
        self.free = size
        self.key = key
        self.waiting: deque[Work] = deque()


class Kind:
    """What all work of one activity shares."""

    __slots__ = ("definition", "is_async", "is_process", "limits", "takes_context")

    def __init__(self, definition: ActivityDefinition, processes: Limit) -> None:
        self.definition = definition
        self.is_process = definition.isolation == "process"
        self.is_async = definition.is_async and not self.is_process
        self.takes_context = self._takes_context()
        limits: list[Limit] = []
        if definition.max_concurrency is not None:
            limits.append(Limit(definition.max_concurrency))
        if self.is_process:
            limits.append(processes)
        self.limits = tuple(limits)

    def _takes_context(self) -> bool:
        try:
            return self.definition.signature.takes_context
        except Exception:  # reported as the failure of each attempt
            return False


class Schedule:
    """All work that is known: waiting or running."""

    def __init__(
        self, registry: Registry, *, max_concurrent: int, max_processes: int, max_unread: int
    ) -> None:
        self._registry = registry
        self._max_concurrent = max_concurrent
        self._max_unread = max_unread
        self._processes = Limit(max_processes)
        self._kinds: dict[str, Kind] = {}
        self._groups: dict[GroupKey, Limit] = {}
        self._ready: deque[Work] = deque()
        self.running: set[Work] = set()
        self.unread = 0
        """Outcomes reported that the engine has not taken yet."""

    def add(self, work: Work) -> None:
        """Take work in.

        Raises:
            KeyError: The activity is not registered.
        """
        kind = self._kinds.get(work.call.name) or self._kind(work.call.name)
        work.kind = kind
        work.limits = kind.limits if work.group is None else (self._group(work), *kind.limits)
        self._advance(work)

    def head(self) -> Work | None:
        """The work to start next; None when there is none or no room for it."""
        if len(self.running) >= self._max_concurrent or self.unread >= self._max_unread:
            return None
        while self._ready:
            if not self._ready[0].cancelled:
                return self._ready[0]
            self._leave(self._ready.popleft())
        return None

    def start(self) -> Work:
        """Start what `head` gave."""
        work = self._ready.popleft()
        self.running.add(work)
        return work

    def finish(self, work: Work) -> None:
        """Free the places of work that ran and let others move up."""
        self.running.discard(work)
        self.unread += 1
        if work.passed:
            self._leave(work)

    def clear(self) -> None:
        """Forget all that waits."""
        self._ready.clear()
        self._groups.clear()
        for limit in (
            self._processes,
            *(one for kind in self._kinds.values() for one in kind.limits),
        ):
            limit.waiting.clear()

    def _kind(self, name: str) -> Kind:
        definition = self._registry.activity(name)
        if definition is None:
            raise KeyError(name)
        return self._kinds.setdefault(name, Kind(definition, self._processes))

    def _group(self, work: Work) -> Limit:
        assert work.group is not None
        key = (work.call.instance_id, work.call.execution_id, work.group)
        group = self._groups.get(key)
        if group is None:
            size = self._max_concurrent if work.bound is None else work.bound
            group = self._groups[key] = Limit(size, key)
        return group

    def _advance(self, work: Work) -> None:
        """Pass all limits that have room, then wait at the next."""
        limits = work.limits
        while work.passed < len(limits):
            limit = limits[work.passed]
            if not limit.free:
                limit.waiting.append(work)
                return
            limit.free -= 1
            work.passed += 1
        self._ready.append(work)

    def _leave(self, work: Work) -> None:
        """Give each place that ``work`` holds to the next who waits for it."""
        for limit in work.limits[: work.passed]:
            self._pass_on(limit)

    def _pass_on(self, limit: Limit) -> None:
        while limit.waiting:
            work = limit.waiting.popleft()
            if not work.cancelled:
                work.passed += 1
                self._advance(work)
                return
            self._leave(work)
        limit.free += 1
        if limit.key is not None and limit.free == limit.size:
            self._groups.pop(limit.key, None)
