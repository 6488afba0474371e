"""The embedded engine: one thread that turns messages into turns and turns into commits.

Each cycle takes everything that is ready (commands of clients, outcomes of activities, stored
messages, due timers), runs one turn for each instance concerned, and writes all of them in one
commit: durability costs one flush a cycle, however many turns there are. What the turns
owe (activities to start, callers to answer) happens only after that commit.

Messages that a turn sends to another instance are delivered within the cycle, if that instance
has not had its turn yet, and stored otherwise. If a commit fails, the turns' live orchestrations
are dropped and each item is tried in a cycle of its own; one that fails again is kept and
tried later, except that a client's command is answered with the error.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeAlias, TypeVar, assert_never

from ostinato import events as ev
from ostinato.actions import CreateSubOrchestration
from ostinato.activities import (
    ActivityCompleted,
    ActivityCrashed,
    ActivityFailed,
    Outcome,
)
from ostinato.client import Query, RuntimeStatus
from ostinato.definitions import Registry
from ostinato.errors import OstinatoError, StoreError
from ostinato.events import Parent
from ostinato.failures import ACTIVITY_ERROR, SUB_ORCHESTRATION_ERROR, unstructured
from ostinato.local.cache import LiveCache
from ostinato.local.clock import Clock
from ostinato.local.scheduling import Work
from ostinato.local.store import (
    PURGE_TIMER,
    START_TIMER,
    Change,
    Instance,
    Message,
    Store,
    WorkItem,
)
from ostinato.local.turns import ChildStart, Live, Turn
from ostinato.local.workers import ActivityWorkers
from ostinato.replay import Orchestration

logger = logging.getLogger("ostinato.local")

R = TypeVar("R")

MAX_ITEMS = 1000
"""Items in one cycle."""

MAX_WAVES = 4
"""How far messages between instances travel in one cycle."""

CHECKS_PER_CYCLE = 50
"""Instances that are checked against their code in one cycle after a start."""

_FIRST_PAUSE, _LAST_PAUSE = 0.05, 5.0
"""Seconds between attempts to write when the store fails."""


class Command(Generic[R]):
    """Something a client asks for, answered when it is durable."""

    __slots__ = ("_done", "error", "prepare", "result")

    def __init__(self, prepare: Callable[[Cycle], R]) -> None:
        self.prepare = prepare
        self.result: R | None = None
        self.error: BaseException | None = None
        self._done = threading.Lock()
        self._done.acquire()

    def answer(self) -> None:
        """Let the caller go on."""
        self._done.release()

    def wait(self) -> R:
        """Return the result, or raise the error, once it is answered."""
        self._done.acquire()
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]


Item: TypeAlias = Command[Any] | tuple[Work, Outcome] | Message
"""What a cycle takes in. Stored messages and timers come from the store instead."""


class Cycle:
    """What one cycle gathers before it is committed."""

    __slots__ = (
        "deferred",
        "engine",
        "messages",
        "now",
        "starts",
        "stored",
        "stored_only",
        "turns",
    )

    def __init__(self, engine: Engine, *, stored_only: bool) -> None:
        self.engine = engine
        self.now = engine.clock.now()
        self.stored_only = stored_only
        """Messages to others are stored, not delivered at once."""
        self.messages: dict[str, list[Message]] = {}
        self.stored: dict[str, list[Message]] = {}
        """Those that the store still holds if the cycle is not written."""
        self.turns: dict[str, Turn] = {}
        self.starts: dict[str, tuple[Instance, bool]] = {}
        """New heads that have no turn yet, and whether each replaces a finished instance."""
        self.deferred: dict[str, Instance] = {}
        """New heads whose first turn is left to another cycle."""

    def head(self, instance_id: str) -> Instance | None:
        """The instance as this cycle leaves it so far."""
        turn = self.turns.get(instance_id)
        if turn is not None:
            return turn.head
        started = self.starts.get(instance_id)
        if started is not None:
            return started[0]
        return self.deferred.get(instance_id) or self.engine.head(instance_id)

    def send(self, message: Message) -> None:
        """Have a message applied in this cycle."""
        self.messages.setdefault(message.instance_id, []).append(message)

    def start(self, instance: Instance, started: ev.ExecutionStarted, *, replaces: bool) -> None:
        """Have a new instance run its first turn in this cycle."""
        self.starts[instance.instance_id] = (instance, replaces)
        self.messages[instance.instance_id] = [
            Message(
                instance_id=instance.instance_id,
                event=started,
                execution_id=started.execution_id,
            )
        ]


class Engine:
    """Executes one task hub. `start` and `close` are the host's to call."""

    def __init__(
        self,
        registry: Registry,
        store: Store,
        clock: Clock,
        *,
        max_concurrent_activities: int,
        cache_size: int,
        max_crashes: int,
        poll_interval: float,
    ) -> None:
        self.registry = registry
        self.store = store
        self.clock = clock
        self._max_crashes = max_crashes
        self._poll_interval = poll_interval
        self._inputs: SimpleQueue[Item | None] = SimpleQueue()
        self._live = LiveCache(cache_size)
        self._workers = ActivityWorkers(
            registry,
            lambda work, outcome: self._inputs.put((work, outcome)),
            max_concurrent=max_concurrent_activities,
            board=store.acquire(),
        )
        self._in_flight: dict[str, dict[tuple[str, int], Work]] = {}
        self._crashes: dict[Work, int] = {}
        self._cursor = 0
        """Id of the last stored message that was read."""
        self._unread = True
        """Whether there may be stored messages after the cursor."""
        self._left: set[str] = set()
        """Instances that have stored messages waiting for their start."""
        self._stalled: list[Item] = []
        self._resume_at = 0.0
        self._pause = _FIRST_PAUSE
        self._seen_version = store.version()
        self._next_due = store.next_due()
        self._unchecked: Iterator[str] = iter(())
        self._checking = True
        self._ended: dict[str, list[threading.Event]] = {}
        self._idlers: list[threading.Event] = []
        self._lock = threading.Lock()
        self._stopping = False
        self._closed = False
        self.trouble: StoreError | None = None
        """Why nothing can be written at the moment."""
        self._thread = threading.Thread(target=self._run, name="ostinato-engine", daemon=True)
        clock.subscribe(self.wake)

    # For the host and its clients, from any thread

    def start(self) -> int:
        """Recover what was in flight and begin; return how many activities that were."""
        for key in self.store.crashed():
            logger.warning("%s was running when the process died", key)
        works: list[Work] = []
        for item in self.store.work():
            work = Work.of(item)
            if item.crashes < self._max_crashes:
                works.append(work)
            else:
                self._inputs.put(self._crashed_too_often(item))
        self._unchecked = self._unfinished()
        self._thread.start()
        self._dispatch(works)
        return len(works)

    def call(self, prepare: Callable[[Cycle], R]) -> R:
        """Run ``prepare`` in the next cycle and return its result once that is durable.

        Raises:
            StoreError: The store cannot be written; nothing was accepted.
            OstinatoError: Whatever ``prepare`` raises.
        """
        command = Command(prepare)
        with self._lock:
            if self._stopping:
                raise StoreError("this host is closed; open another to go on with its task hub")
            self._inputs.put(command)
        return command.wait()

    def wake(self) -> None:
        """Look at the clock and the store again."""
        self._inputs.put(None)

    def notice_of_end(self, instance_id: str) -> threading.Event:
        """Return an event that is set when the instance ends."""
        notice = threading.Event()
        with self._lock:
            if self._closed:
                notice.set()
            self._ended.setdefault(instance_id, []).append(notice)
        return notice

    def forget_notice(self, instance_id: str, notice: threading.Event) -> None:
        """Drop a notice that nobody waits for any more."""
        with self._lock:
            notices = self._ended.get(instance_id, [])
            if notice in notices:
                notices.remove(notice)
            if not notices:
                self._ended.pop(instance_id, None)

    @property
    def closed(self) -> bool:
        """Whether the engine has stopped."""
        return self._closed

    def settle(self, timeout: float) -> bool:
        """Wait until nothing moves without time or messages; False when it takes longer."""
        idle = threading.Event()
        with self._lock:
            self._idlers.append(idle)
        self.wake()
        return idle.wait(timeout)

    def running(self, instance_id: str) -> list[Work]:
        """The instance's activities that are being run now."""
        return [w for w in self._workers.running if w.call.instance_id == instance_id]

    def close(self, timeout: float) -> None:
        """Stop: nothing is lost, what runs is asked to stop and runs again at the next start."""
        with self._lock:
            if self._stopping:
                return
            self._stopping = True
        if self._thread.is_alive():
            self._inputs.put(None)
            self._thread.join()
        self._workers.close(timeout)
        self._live.clear()
        with self._lock:
            self._closed = True
            notices = [notice for notices in self._ended.values() for notice in notices]
        for notice in notices:
            notice.set()

    # The loop

    def _run(self) -> None:
        while True:
            items = self._collect()
            if items is None:
                break
            try:
                self._cycle(items)
            except Exception:  # a defect of ours must not stop every other instance
                logger.exception("the engine could not take a turn")
                self._fail_commands(items, OstinatoError("the engine failed; see its log"))
            self._tell_idlers()
        self._refuse_rest()

    def _collect(self) -> list[Item] | None:
        """Wait until there is something to do; None when the engine stops."""
        items: list[Item] = []
        stalled = self._stalled and time.monotonic() >= self._resume_at
        first = self._next_input(0.0 if stalled else self._patience())
        while first is not None:
            items.append(first)
            if isinstance(first, tuple):
                self._workers.finished(first[0])
            if len(items) >= MAX_ITEMS:
                break
            try:
                first = self._inputs.get_nowait()
            except Empty:
                break
        if self._stopping:
            for item in items:
                if isinstance(item, Command):
                    self._inputs.put(item)
            return None
        if stalled:
            items = self._stalled + items
            self._stalled = []
        return items

    def _next_input(self, patience: float | None) -> Item | None:
        try:
            if patience == 0.0:
                return self._inputs.get_nowait()
            return self._inputs.get(timeout=patience)
        except Empty:
            return None

    def _patience(self) -> float | None:
        """Seconds to wait for an input."""
        if self._resume_at > time.monotonic():
            return self._resume_at - time.monotonic()
        if self._unread or self._checking:
            return 0.0
        wait = self._poll_interval
        if self._next_due is not None:
            until = self.clock.seconds_until(self._next_due)
            if until is not None:
                wait = min(wait, until)
        return wait

    def _refuse_rest(self) -> None:
        self._fail_commands(
            list(self._drain()), StoreError("this host was closed before it took the call")
        )

    def _drain(self) -> Iterator[Item]:
        while True:
            try:
                item = self._inputs.get_nowait()
            except Empty:
                return
            if item is not None:
                yield item

    def _fail_commands(self, items: list[Item], error: OstinatoError) -> None:
        for item in items:
            if isinstance(item, Command):
                item.error = error
                item.answer()

    def _tell_idlers(self) -> None:
        if not self._idlers or not self._is_idle():
            return
        with self._lock:
            idlers, self._idlers = self._idlers, []
        for idle in idlers:
            idle.set()

    def _is_idle(self) -> bool:
        return not (
            self._in_flight
            or self._stalled
            or self._unread
            or self._checking
            or not self._inputs.empty()
            or (self._next_due is not None and self._next_due <= self.clock.now())
        )

    # A cycle

    def _cycle(self, items: list[Item]) -> None:
        cycle = Cycle(self, stored_only=False)
        commands = self._take_in(cycle, items)
        if self._resume_at <= time.monotonic():
            self._read_store(cycle)
        if self._write(cycle):
            for command in commands:
                command.answer()
            return
        if len(cycle.turns) <= 1:
            self._hold(items)
            return
        for item in items:
            self._cycle_alone([item], {})
        for instance_id, messages in cycle.stored.items():
            self._cycle_alone([], {instance_id: messages})

    def _cycle_alone(self, items: list[Item], stored: dict[str, list[Message]]) -> None:
        """Try a part of a cycle that could not be written."""
        cycle = Cycle(self, stored_only=True)
        cycle.messages.update(stored)
        commands = self._take_in(cycle, items)
        if self._write(cycle):
            for command in commands:
                command.answer()
        else:
            self._hold(items)

    def _hold(self, items: list[Item]) -> None:
        """Keep what cannot be written; commands are answered, since nothing was accepted."""
        for item in items:
            if isinstance(item, Command):
                item.error = self.trouble or StoreError("the task hub cannot be written")
                item.answer()
            else:
                self._stalled.append(item)
        self._resume_at = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, _LAST_PAUSE)

    def _take_in(self, cycle: Cycle, items: list[Item]) -> list[Command[Any]]:
        """Turn items into messages; return the commands that await the commit."""
        commands: list[Command[Any]] = []
        for item in items:
            match item:
                case Command():
                    try:
                        item.result = item.prepare(cycle)
                    except Exception as error:
                        item.error = error
                        item.answer()
                    else:
                        commands.append(item)
                case Message():
                    cycle.send(item)
                case (work, outcome):
                    self._take_outcome(cycle, work, outcome)
                case _:
                    assert_never(item)
        return commands

    def _take_outcome(self, cycle: Cycle, work: Work, outcome: Outcome) -> None:
        call = work.call
        mine = self._in_flight.get(call.instance_id, {})
        if mine.get((call.execution_id, call.task_id)) is not work:
            return  # nobody waits for it any more
        event: ev.TaskCompleted | ev.TaskFailed
        match outcome:
            case ActivityCompleted(result):
                event = ev.TaskCompleted(at=cycle.now, task_id=call.task_id, result=result)
            case ActivityFailed(failure):
                event = ev.TaskFailed(at=cycle.now, task_id=call.task_id, failure=failure)
            case ActivityCrashed(reason):
                crashes = self._crashes.get(work, 0) + 1
                if crashes < self._max_crashes:
                    again = Work(call, group=work.group, bound=work.bound)
                    self._crashes.pop(work, None)
                    self._crashes[again] = crashes
                    self._dispatch([again])
                    return
                failure = unstructured(
                    ACTIVITY_ERROR,
                    f"{reason}, {crashes} times; it is not tried again",
                    call.name,
                    call.attempt,
                )
                event = ev.TaskFailed(at=cycle.now, task_id=call.task_id, failure=failure)
            case _:
                assert_never(outcome)
        cycle.send(
            Message(instance_id=call.instance_id, execution_id=call.execution_id, event=event)
        )

    def _read_store(self, cycle: Cycle) -> None:
        """Add stored messages, due timers and checks that are owed."""
        taken_in = set(cycle.messages)
        try:
            version = self.store.version()
            if version != self._seen_version:
                self._seen_version = version
                self._unread = True
                self._next_due = self.store.next_due()
            if self._unread:
                stored = self.store.inbox(self._cursor, MAX_ITEMS)
                self._unread = len(stored) == MAX_ITEMS
                for message in stored:
                    self._cursor = message.id
                    cycle.send(message)
            if self._next_due is not None and self._next_due <= cycle.now:
                self._fire(cycle)
            cycle.stored = {i: list(cycle.messages[i]) for i in cycle.messages.keys() - taken_in}
            if self._checking and len(cycle.messages) < CHECKS_PER_CYCLE:
                self._check_some(cycle)
        except StoreError as error:
            self._note_trouble(error)
            self._resume_at = time.monotonic() + self._pause
            self._unread = True

    def _fire(self, cycle: Cycle) -> None:
        for timer in self.store.due(cycle.now, MAX_ITEMS):
            instance_id = timer.instance_id
            if timer.task_id == PURGE_TIMER:
                self.store.purge([instance_id])
                self.forget(instance_id)
            elif timer.task_id == START_TIMER:
                self._left.add(instance_id)
                cycle.messages.setdefault(instance_id, [])
            else:
                fired = ev.TimerFired(at=cycle.now, task_id=timer.task_id, due=timer.due)
                cycle.send(
                    Message(instance_id=instance_id, execution_id=timer.execution_id, event=fired)
                )
        self._next_due = self.store.next_due()

    def forget(self, instance_id: str) -> None:
        """Drop what is held of an instance that has been purged."""
        self._live.drop(instance_id)
        self._left.discard(instance_id)
        for work in self._in_flight.pop(instance_id, {}).values():
            work.cancel()

    def _unfinished(self) -> Iterator[str]:
        """Ids of the instances that run, to be checked against their code after a start."""
        page: str | None = None
        while True:
            query = Query(
                status=(RuntimeStatus.RUNNING, RuntimeStatus.SUSPENDED), page_size=500, page=page
            )
            heads, page = self.store.instances(query)
            yield from (head.instance_id for head in heads)
            if page is None:
                return

    def _check_some(self, cycle: Cycle) -> None:
        for _ in range(CHECKS_PER_CYCLE):
            instance_id = next(self._unchecked, None)
            if instance_id is None:
                self._checking = False
                return
            cycle.messages.setdefault(instance_id, [])

    # Turns

    def head(self, instance_id: str) -> Instance | None:
        """The head as last committed."""
        live = self._live.peek(instance_id)
        return live.head if live is not None else self.store.instance(instance_id)

    def _write(self, cycle: Cycle) -> bool:
        """Run the cycle's turns and commit them; False when the store refuses."""
        try:
            changes = self._run_turns(cycle)
            if changes:
                self.store.commit(changes)
        except StoreError as error:
            self._note_trouble(error)
            self._forget(cycle)
            return False
        if self.trouble is not None:
            logger.warning("the task hub can be written again")
            self.trouble = None
        self._pause = _FIRST_PAUSE
        self._after_commit(cycle, changes)
        return True

    def _note_trouble(self, error: StoreError) -> None:
        if self.trouble is None:
            logger.error("%s; nothing is lost, and it is tried again", error)
        self.trouble = error

    def _forget(self, cycle: Cycle) -> None:
        """Drop what was not written: the store is read again."""
        for instance_id in cycle.turns:
            self._live.drop(instance_id)
        self._cursor = 0
        self._unread = True
        self._next_due = cycle.now

    def _run_turns(self, cycle: Cycle) -> list[Change]:
        changes: list[Change] = []
        waves = 0
        while cycle.messages:
            wave, cycle.messages = cycle.messages, {}
            waves += 1
            stores = cycle.stored_only or waves >= MAX_WAVES or self._unread
            for instance_id, messages in wave.items():
                if instance_id in cycle.turns or instance_id in cycle.deferred:
                    changes.append(self._store_only(cycle, instance_id, messages))
                    continue
                turn = self._turn(cycle, instance_id, messages)
                if turn is None:
                    continue
                deferred = self._pass_on(cycle, turn, deliver=not stores)
                change = turn.change()
                if change is not None:
                    changes.append(change)
                changes += deferred
        return changes

    def _store_only(self, cycle: Cycle, instance_id: str, messages: list[Message]) -> Change:
        """Keep messages for an instance that has had its turn."""
        head = cycle.head(instance_id)
        assert head is not None
        unstored = [message for message in messages if not message.id]
        return Change(instance=head, expected_length=head.length, messages_sent=unstored)

    def _turn(self, cycle: Cycle, instance_id: str, messages: list[Message]) -> Turn | None:
        started = cycle.starts.get(instance_id)
        if started is not None:
            self._live.drop(instance_id)
            live = Live(started[0], None)
            self._live.put(instance_id, live)
        else:
            found = self._load(instance_id)
            if found is None:
                return self._drop_messages(cycle, instance_id, messages)
            live = found
        turn = Turn(live, now=cycle.now, registry=self.registry, new_id=new_execution_id)
        cycle.turns[instance_id] = turn
        if started is not None:
            turn.creates(replaces=started[1])
        if live.head.length == 0 and not self._starts(cycle, turn, messages):
            return turn
        for message in messages:
            if isinstance(message.event, ev.ExecutionRewound):
                self._rewind(cycle, turn, message)
            else:
                turn.take(message)
        turn.conclude()
        return turn

    def _starts(self, cycle: Cycle, turn: Turn, messages: list[Message]) -> bool:
        """Put the start first; False while the instance waits for it."""
        instance_id = turn.head.instance_id
        if instance_id in self._left:
            stored = {m.id for m in messages if m.id}
            messages[:0] = [m for m in self.store.inbox_of(instance_id) if m.id not in stored]
        if not messages:
            return False
        messages.sort(key=lambda m: not isinstance(m.event, ev.ExecutionStarted))
        first = messages[0]
        if not isinstance(first.event, ev.ExecutionStarted):
            self._left.add(instance_id)
            return False
        start_at = first.event.start_at
        if start_at is None or start_at <= cycle.now:
            self._left.discard(instance_id)
            return True
        for message in messages:
            if isinstance(message.event, ev.ExecutionTerminated):
                turn.terminate_unstarted(first, message)
                turn.conclude()
                self._left.discard(instance_id)
                return False
        self._left.add(instance_id)
        if not first.id:
            turn.sent += messages
            turn.timers_added.append((START_TIMER, start_at))
        return False

    def _load(self, instance_id: str) -> Live | None:
        """The instance with its orchestration, replayed if it is not in the cache."""
        live = self._live.get(instance_id)
        if live is None:
            head = self.store.instance(instance_id)
            if head is None:
                return None
            live = Live(head, None)
            self._live.put(instance_id, live)
        head = live.head
        if live.orchestration is None and head.length and not head.status.is_finished:
            orchestration = Orchestration(self.registry)
            orchestration.replay(self.store.history(instance_id))
            live.orchestration = orchestration
        return live

    def _drop_messages(
        self, cycle: Cycle, instance_id: str, messages: list[Message]
    ) -> Turn | None:
        """Messages to an instance that does not exist are no error; stored ones are removed."""
        taken = [message.id for message in messages if message.id]
        if taken:
            self.store.discard(taken)
        self._in_flight.pop(instance_id, None)
        return None

    def _rewind(self, cycle: Cycle, turn: Turn, message: Message) -> None:
        """Let a failed instance go on, and its failed children with it."""
        head = turn.head
        if message.id:
            turn.taken.append(message.id)
        if head.status is not RuntimeStatus.FAILED:
            return
        if message.parent is not None and message.parent != head.parent:
            return
        assert isinstance(message.event, ev.ExecutionRewound)
        reason = message.event.reason
        plan = turn.rewind(self.store.history(head.instance_id), reason)
        for event in plan.in_flight:
            if not isinstance(event, ev.SubOrchestrationInstanceCreated):
                continue
            parent = Parent(head.instance_id, head.execution_id, event.task_id)
            child = cycle.head(event.instance_id)
            if child is not None and child.parent == parent:
                if child.status is RuntimeStatus.FAILED:
                    rewound = ev.ExecutionRewound(at=cycle.now, reason=reason)
                    turn.sent.append(
                        Message(instance_id=event.instance_id, event=rewound, parent=parent)
                    )
                    continue
                if not child.status.is_finished:
                    continue
            turn.children.append(ChildStart(_again(event), parent))

    def _pass_on(self, cycle: Cycle, turn: Turn, *, deliver: bool) -> list[Change]:
        """Start the turn's children, and deliver or store its messages.

        Returns what stores the children whose first turn is left to another cycle.
        """
        deferred = [
            change
            for child in turn.children
            if (change := self._start_child(cycle, turn, child, deliver=deliver)) is not None
        ]
        if turn.closed:
            for (execution_id, _), work in self._in_flight.get(
                turn.head.instance_id, {}
            ).items():
                if execution_id in turn.closed and (turn.cancelled or work.group is not None):
                    turn.work_removed.append(work.key)
        if not deliver:
            return deferred
        stored: list[Message] = []
        for message in turn.sent:
            target = message.instance_id
            if (
                target in cycle.turns
                or target in cycle.deferred
                or target in self._left
                or isinstance(message.event, ev.ExecutionStarted)
            ):
                stored.append(message)
            else:
                cycle.send(message)
        turn.sent[:] = stored
        return deferred

    def _start_child(
        self, cycle: Cycle, turn: Turn, child: ChildStart, *, deliver: bool
    ) -> Change | None:
        action, parent = child
        existing = cycle.head(action.instance_id)
        if existing is not None and (parent is None or not existing.status.is_finished):
            if parent is not None:
                self._refuse_child(cycle, turn, child, "InstanceExistsError")
            return None
        definition = self.registry.orchestration(action.name, action.version)
        if definition is None or definition.fn is None:
            self._refuse_child(cycle, turn, child, SUB_ORCHESTRATION_ERROR)
            return None
        started = ev.ExecutionStarted(
            at=cycle.now,
            instance_id=action.instance_id,
            execution_id=new_execution_id(),
            name=action.name,
            input=action.input,
            version=definition.version,
            parent=parent,
        )
        head = pending(started)
        replaces = existing is not None
        if deliver and action.instance_id not in cycle.turns:
            cycle.start(head, started, replaces=replaces)
            return None
        cycle.turns.pop(action.instance_id, None)
        self._live.drop(action.instance_id)
        cycle.deferred[action.instance_id] = head
        begin = Message(
            instance_id=action.instance_id, event=started, execution_id=started.execution_id
        )
        return Change(
            instance=head, expected_length=None, fresh=replaces, messages_sent=[begin]
        )

    def _refuse_child(self, cycle: Cycle, turn: Turn, child: ChildStart, kind: str) -> None:
        action, parent = child
        if parent is None:
            return
        if kind == "InstanceExistsError":
            message = f"instance id {action.instance_id!r} is in use by an unfinished instance"
        else:
            message = f"orchestration {action.name!r} is run by another application, not by this hub"
        failed = ev.SubOrchestrationInstanceFailed(
            at=cycle.now,
            task_id=action.task_id,
            failure=unstructured(kind, message, action.name),
        )
        turn.sent.append(
            Message(
                instance_id=parent.instance_id, execution_id=parent.execution_id, event=failed
            )
        )

    # After a commit

    def _after_commit(self, cycle: Cycle, changes: list[Change]) -> None:
        works: list[Work] = []
        for change in changes:
            if change.messages_sent:
                self._unread = True
            for item in change.work_added:
                works.append(Work.of(item))
            for key in change.work_removed:
                self._retire(key.instance_id, (key.execution_id, key.task_id))
            for _, due in change.timers_added:
                if self._next_due is None or due < self._next_due:
                    self._next_due = due
        for instance_id, turn in cycle.turns.items():
            if turn.ended:
                self._tell_end(instance_id)
                live = self._live.peek(instance_id)
                if live is not None:
                    live.orchestration = None
        self._dispatch(works)
        self._live.trim()

    def _retire(self, instance_id: str, key: tuple[str, int]) -> None:
        """Forget an activity that has reported or that nobody waits for."""
        mine = self._in_flight.get(instance_id)
        if mine is None:
            return
        work = mine.pop(key, None)
        if not mine:
            del self._in_flight[instance_id]
        if work is not None:
            work.cancel()
            self._crashes.pop(work, None)

    def _tell_end(self, instance_id: str) -> None:
        with self._lock:
            notices = self._ended.pop(instance_id, [])
        for notice in notices:
            notice.set()

    def _note(self, work: Work) -> None:
        call = work.call
        self._in_flight.setdefault(call.instance_id, {})[(call.execution_id, call.task_id)] = work

    def _dispatch(self, works: list[Work]) -> None:
        if works:
            for work in works:
                self._note(work)
            self._workers.submit(works)

    def _crashed_too_often(self, item: WorkItem) -> Message:
        event = item.event
        failure = unstructured(
            ACTIVITY_ERROR,
            f"activity {event.name!r} was running in each of {item.crashes} crashes of its "
            "process; it is not tried again",
            event.name,
            event.attempt,
        )
        failed = ev.TaskFailed(at=self.clock.now(), task_id=event.task_id, failure=failure)
        return Message(
            instance_id=item.key.instance_id, execution_id=item.key.execution_id, event=failed
        )


def new_execution_id() -> str:
    """Return the id of a new generation: 32 hexadecimal digits."""
    return uuid.uuid4().hex


def pending(started: ev.ExecutionStarted) -> Instance:
    """Return the head of an instance that has not had its first turn."""
    return Instance(
        instance_id=started.instance_id,
        execution_id=started.execution_id,
        name=started.name,
        version=started.version,
        status=RuntimeStatus.PENDING,
        created_at=started.at,
        updated_at=started.at,
        parent=started.parent,
        tags=started.tags,
    )


def _again(event: ev.SubOrchestrationInstanceCreated) -> CreateSubOrchestration:
    return CreateSubOrchestration(
        task_id=event.task_id,
        name=event.name,
        instance_id=event.instance_id,
        input=event.input,
        version=event.version,
    )
