"""The crash explorer: is your orchestration right wherever its host dies?

`explore` plays a scenario once undisturbed and then again and again, each time killing the host
at another of its writes, before or after that took effect. Another host goes on each time,
and in the end every instance must have ended as it did undisturbed, with a sound history::

    def scenario(stage: Stage) -> None:
        stage.do(lambda c: c.start("order", 7, instance_id="a", if_exists="attach"))
        stage.settle()
        stage.do(lambda c: c.raise_event("a", "paid", event_id="payment-1"))
        stage.advance(3600)

    def test_an_order_survives_a_crash_at_any_moment():
        explore(app, scenario)

On the way completions arrive twice and out of order, as far as the protocol allows it:
activities that run at the same time end in any order, and what has been reported may be
reported again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from random import Random
from threading import Condition, RLock
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

import msgspec

from ostinato import events as ev
from ostinato.app import App
from ostinato.client import Client, IfExists, InstanceStatus, Query
from ostinato.errors import InstanceFinishedError, StoreError
from ostinato.events import SCHEDULING, Event, ExecutionStarted
from ostinato.local.host import LocalHost
from ostinato.local.memory import MemoryStore
from ostinato.local.store import (
    Board,
    Change,
    Instance,
    Message,
    Store,
    Timer,
    WorkItem,
    WorkKey,
)
from ostinato.replay import rewound_positions
from ostinato.testing.clock import ManualClock

R = TypeVar("R")

_PATIENCE = 30.0
"""Seconds after which a host that still moves is taken to be stuck."""

_HELD_BACK = 0.2
"""Seconds that an activity's end is held back at most, so that another overtakes it."""


class KillableStore(Store, Protocol):
    """A store whose executor can die."""

    def abandon(self) -> None:
        """Release the hub as a killed process would."""
        ...


OpenStore: TypeAlias = Callable[[], KillableStore]
"""Opens one task hub, as often as it is called and the last store has been abandoned."""


class CrashPoint(NamedTuple):
    """Where a host dies: at which of its writes (from 1), and whether that takes effect."""

    write: int
    when: Literal["before", "after"]


class _KilledError(StoreError):
    """The host is dead: nothing it does has an effect any more."""


class CrashingStore:
    """A `Store` that dies at a given write; until then it is the one it wraps.

    From its death on, every call raises `StoreError` and nothing is written.

    Args:
        inner: The store that is left behind.
        point: Where to die; None for never.
        random: Orders what may come in any order, and has completions reported again; None
            leaves everything as it is.
        on_death: Called at the moment of death, by the thread that wrote.
    """

    def __init__(
        self,
        inner: KillableStore,
        point: CrashPoint | None = None,
        *,
        random: Random | None = None,
        on_death: Callable[[], None] = lambda: None,
    ) -> None:
        self._inner = inner
        self._point = point
        self._random = random
        self._on_death = on_death
        self._lock = RLock()
        self._repeated = 0
        self.writes = 0
        """Writes until now, the last one included where it did not take effect."""
        self.dead = False

    def _alive(self) -> KillableStore:
        if self.dead:
            raise _KilledError("this host has been killed by the crash explorer")
        return self._inner

    def _write(self, write: Callable[[], R]) -> R:
        with self._lock:
            self._alive()
            self.writes += 1
            when = None
            if self._point is not None and self._point.write == self.writes:
                when = self._point.when
            if when == "before":
                self.kill()
                self._alive()
            result = write()
            if when == "after":
                self.kill()
                self._alive()
            return result

    def kill(self) -> None:
        """Die now."""
        with self._lock:
            if not self.dead:
                self.dead = True
                self._inner.abandon()
                self._on_death()

    # Writes

    def commit(self, changes: Sequence[Change]) -> None:
        """See `Store.commit`."""
        if self._random is None:
            self._write(lambda: self._inner.commit(changes))
            return
        random = self._random
        changes = [
            msgspec.structs.replace(one, messages_sent=_shuffled(one.messages_sent, random))
            for one in changes
        ]
        self._write(lambda: self._commit_and_repeat(changes, random))

    def _commit_and_repeat(self, changes: Sequence[Change], random: Random) -> None:
        self._inner.commit(changes)
        again = [
            Message(
                instance_id=change.instance.instance_id,
                execution_id=change.instance.execution_id,
                event=event,
            )
            for change in changes
            for event in change.events
            if isinstance(event, _COMPLETIONS)
        ]
        random.shuffle(again)
        if again:
            self._inner.send(again)
            self._repeated += 1

    def discard(self, message_ids: Sequence[int]) -> None:
        """See `Store.discard`."""
        self._write(lambda: self._inner.discard(message_ids))

    def create(
        self, instance: Instance, started: ExecutionStarted, if_exists: IfExists
    ) -> Literal["created", "exists"]:
        """See `Store.create`."""
        return self._write(lambda: self._inner.create(instance, started, if_exists))

    def send(self, messages: Sequence[Message]) -> None:
        """See `Store.send`."""
        self._write(lambda: self._inner.send(messages))

    def purge(self, instance_ids: Sequence[str]) -> Sequence[str]:
        """See `Store.purge`."""
        return self._write(lambda: self._inner.purge(instance_ids))

    def crashed(self) -> Sequence[WorkKey]:
        """See `Store.crashed`."""
        return self._alive().crashed()

    # Reads

    def acquire(self) -> Board:
        """See `Store.acquire`."""
        return _Board(self, self._alive().acquire(), self._random)

    def work(self) -> Iterable[WorkItem]:
        """See `Store.work`."""
        return self._alive().work()

    def due(self, now: datetime, limit: int) -> Sequence[Timer]:
        """See `Store.due`."""
        return self._alive().due(now, limit)

    def next_due(self) -> datetime | None:
        """See `Store.next_due`."""
        return self._alive().next_due()

    def inbox(self, after: int, limit: int) -> Sequence[Message]:
        """See `Store.inbox`."""
        return self._alive().inbox(after, limit)

    def inbox_of(self, instance_id: str) -> Sequence[Message]:
        """See `Store.inbox_of`."""
        return self._alive().inbox_of(instance_id)

    def instance(self, instance_id: str) -> Instance | None:
        """See `Store.instance`."""
        return self._alive().instance(instance_id)

    def instances(self, query: Query) -> tuple[Sequence[Instance], str | None]:
        """See `Store.instances`."""
        return self._alive().instances(query)

    def children(self, instance_id: str) -> Sequence[Instance]:
        """See `Store.children`."""
        return self._alive().children(instance_id)

    def history(self, instance_id: str, start: int = 0) -> list[Event]:
        """See `Store.history`."""
        return self._alive().history(instance_id, start)

    def first_event(self, instance_id: str) -> ExecutionStarted | None:
        """See `Store.first_event`."""
        return self._alive().first_event(instance_id)

    def last_event(self, instance_id: str) -> Event | None:
        """See `Store.last_event`."""
        return self._alive().last_event(instance_id)

    def version(self) -> int:
        """See `Store.version`."""
        return self._alive().version() + self._repeated

    def close(self) -> None:
        """See `Store.close`; the dead have left already."""
        with self._lock:
            if not self.dead:
                self._inner.close()


class _Board:
    """A board that a death leaves as it is, and that lets activities overtake each other."""

    def __init__(self, store: CrashingStore, inner: Board, random: Random | None) -> None:
        self._store = store
        self._inner = inner
        self._random = random
        self._ended = Condition()
        self._running = 0
        self._count = 0

    def started(self, key: WorkKey) -> int:
        with self._ended:
            self._running += 1
        with self._store._lock:
            return -1 if self._store.dead else self._inner.started(key)

    def finished(self, slot: int) -> None:
        with self._ended:
            self._running -= 1
            if self._random is not None and self._running and self._random.random() < 0.5:
                self._let_one_overtake()
            self._count += 1
            self._ended.notify_all()
        with self._store._lock:
            if not self._store.dead:
                self._inner.finished(slot)

    def _let_one_overtake(self) -> None:
        if _on_an_event_loop():
            return  # it would hold up all the others
        count = self._count
        self._ended.wait_for(lambda: self._count > count or not self._running, _HELD_BACK)


class Stage:
    """A host that is replaced when it dies: what a scenario acts on."""

    def __init__(
        self,
        app: App,
        open_store: OpenStore,
        points: Sequence[CrashPoint],
        seed: int,
        **options: Any,
    ) -> None:
        self.clock = ManualClock()
        """The clock of all its hosts, moved by `advance`."""
        self.deaths = 0
        self._app = app
        self._open_store = open_store
        self._points = list(points)
        self._random = Random(seed)
        self._options = options
        self._open()

    @property
    def writes(self) -> int:
        """What the present host has written."""
        return self._store.writes

    def do(self, step: Callable[[Client], R]) -> R | None:
        """Take a step of the scenario, and take it again when the host dies of it.

        Write steps that may be repeated: give a start an instance id and
        ``if_exists="attach"``, an event an ``event_id``. A repeated step that finds its
        instance finished has been done; None is returned.
        """
        repeated = False
        while True:
            try:
                return step(self._host.client)
            except InstanceFinishedError:
                if repeated:
                    return None
                raise
            except StoreError:
                if not self._store.dead:
                    raise
            self._replace()
            repeated = True

    def settle(self) -> None:
        """Wait until nothing moves any more without time or messages."""
        while True:
            self._host.settle(_PATIENCE)
            if not self._store.dead:
                return
            self._replace()

    def advance(self, by: timedelta | float) -> None:
        """Let time pass (seconds, when a number), timer by timer, and settle."""
        end = self.clock.now() + (by if isinstance(by, timedelta) else timedelta(seconds=by))
        self.settle()
        while (due := self.do(lambda _: self._store.next_due())) is not None and due <= end:
            self.clock.advance_to(due)
            self.settle()
        self.clock.advance_to(end)
        self.settle()

    def statuses(self) -> list[InstanceStatus]:
        """All instances, oldest first."""
        return [self._host.client.get_status(head.instance_id) for head in _heads(self._store)]

    def check(self) -> None:
        """Check all histories; see `check_hub`."""
        check_hub(self._store)

    def close(self) -> None:
        """Close the host."""
        self._host.close()

    def _replace(self) -> None:
        self.deaths += 1
        self._host.close()
        self._open()

    def _open(self) -> None:
        point = self._points.pop(0) if self._points else None
        self._store = CrashingStore(
            self._open_store(), point, random=self._random, on_death=self._tell_waiting
        )
        self._host = LocalHost(self._app, store=self._store, clock=self.clock, **self._options)
        if self._store.dead:  # while we could not be told
            self._tell_waiting()

    def _tell_waiting(self) -> None:
        """Let those go who wait for the host that has died."""
        if hasattr(self, "_host"):
            self._host._engine.notices.close()


Scenario: TypeAlias = Callable[[Stage], object]


@dataclass(frozen=True, slots=True)
class Exploration:
    """How much has been explored."""

    writes: int
    """Of the undisturbed run: so many moments to die at, before and after each."""
    kills: int
    """Hosts that died."""


def outcome_of(status: InstanceStatus) -> tuple[object, ...]:
    """What is compared of an instance: not its ids and times, which are new in each run."""
    failure = status.failure
    return (
        status.name,
        status.input,
        status.runtime_status.value,
        status.output,
        None if failure is None else (failure.type, failure.message),
        status.custom_status,
    )


def memory_hub() -> OpenStore:
    """Return what opens a task hub in memory."""
    store = MemoryStore()
    return lambda: store


def explore(
    app: App,
    scenario: Scenario,
    *,
    new_hub: Callable[[], OpenStore] = memory_hub,
    outcome: Callable[[InstanceStatus], object] = outcome_of,
    deaths: int = 1,
    **options: Any,
) -> Exploration:
    """Play a scenario with a death at every write, before and after it takes effect.

    Args:
        scenario: Acts on the stage it is given; nothing outside may make its outcome differ
            from one time to the next. After it the stage is settled.
        new_hub: Makes an empty task hub for each run.
        outcome: What has to be the same of each instance, whenever a host died.
        deaths: Hosts that die in one run, the later ones at their first write.
        options: Of `LocalHost`, e.g. ``cache_size=0``.

    Raises:
        AssertionError: An instance ended differently, or a history is not sound; it
            says where the host died.
    """
    play = partial(_play, app, scenario, new_hub, outcome, options)
    expected, writes, _ = play([], 0)
    kills = 0
    for write in range(1, writes + 1):
        for when in ("before", "after"):
            points = [CrashPoint(write, when), *[CrashPoint(1, when)] * (deaths - 1)]
            try:
                found, _, killed = play(points, write)
                assert found == expected, f"expected {expected}, found {found}"
            except AssertionError as error:
                raise AssertionError(f"after a death {when} write {write}: {error}") from error
            kills += killed
    return Exploration(writes, kills)


def _play(
    app: App,
    scenario: Scenario,
    new_hub: Callable[[], OpenStore],
    outcome: Callable[[InstanceStatus], object],
    options: dict[str, Any],
    points: Sequence[CrashPoint],
    seed: int,
) -> tuple[list[str], int, int]:
    """Play once; return the outcomes, what the last host wrote and how many hosts died."""
    with contextlib.closing(Stage(app, new_hub(), points, seed, **options)) as stage:
        scenario(stage)
        stage.settle()
        stage.check()
        outcomes = sorted(repr(outcome(status)) for status in stage.statuses())
        return outcomes, stage.writes, stage.deaths


def check_hub(store: Store) -> None:
    """Check the history of every instance.

    Raises:
        AssertionError: One is not sound; see `check_history`.
    """
    for head in _heads(store):
        try:
            check_history(store.history(head.instance_id), head.length)
        except AssertionError as error:
            raise AssertionError(f"instance {head.instance_id!r}: {error}") from error


def check_history(events: Sequence[Event], length: int | None = None) -> None:
    """Check that a history has neither duplicates nor gaps; what was rewound does not count.

    Task ids count up from 0, each is scheduled once and completed at most once, by an event of
    its kind and after it was scheduled; there is one start, and nothing follows the end.

    Args:
        length: How many events there must be, where that is known.

    Raises:
        AssertionError: It says what is wrong.
    """
    assert length in (None, len(events)), f"there are {len(events)} events, not {length}"
    dropped = rewound_positions(events)
    kept = [event for position, event in enumerate(events) if position not in dropped]
    starts = sum(isinstance(event, ExecutionStarted) for event in kept)
    assert starts == (1 if events else 0), f"it started {starts} times"
    ends = [n for n, event in enumerate(kept) if isinstance(event, ev.ExecutionCompleted)]
    assert ends in ([], [len(kept) - 1]), f"it goes on after its end: {kept[ends[0] + 1 :]}"
    open_tasks: dict[int, type[Event]] = {}
    scheduled: list[int] = []
    for event in kept:
        if isinstance(event, SCHEDULING):
            assert event.task_id not in scheduled, f"task {event.task_id} was scheduled twice"
            scheduled.append(event.task_id)
            open_tasks[event.task_id] = type(event)
        elif isinstance(event, _COMPLETIONS):
            kind = open_tasks.pop(event.task_id, None)
            assert kind is _SCHEDULED_BY[type(event)], f"nothing is open that fits {event}"
    assert sorted(scheduled) == list(range(len(scheduled))), f"task ids have gaps: {scheduled}"


_COMPLETIONS = (
    ev.TaskCompleted,
    ev.TaskFailed,
    ev.TimerFired,
    ev.SubOrchestrationInstanceCompleted,
    ev.SubOrchestrationInstanceFailed,
)

_SCHEDULED_BY: dict[type[Event], type[Event]] = {
    ev.TaskCompleted: ev.TaskScheduled,
    ev.TaskFailed: ev.TaskScheduled,
    ev.TimerFired: ev.TimerCreated,
    ev.SubOrchestrationInstanceCompleted: ev.SubOrchestrationInstanceCreated,
    ev.SubOrchestrationInstanceFailed: ev.SubOrchestrationInstanceCreated,
}


def _shuffled(messages: Sequence[Message], random: Random) -> Sequence[Message]:
    """The messages with their completions in another order; the rest stay where they are."""
    places = [n for n, one in enumerate(messages) if isinstance(one.event, _COMPLETIONS)]
    order = random.sample(places, len(places))
    moved = dict(zip(places, order, strict=True))
    return [messages[moved.get(n, n)] for n in range(len(messages))]


def _heads(store: Store) -> list[Instance]:
    heads: list[Instance] = []
    page: str | None = None
    while True:
        found, page = store.instances(Query(page=page))
        heads += found
        if page is None:
            return heads[::-1]


def _on_an_event_loop() -> bool:
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
