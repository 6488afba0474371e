"""The embedded engine: one thread that takes turns and commits them.

Each cycle takes everything that is ready (commands of clients, outcomes of activities, stored
messages, due timers), takes one turn for each instance concerned, and writes all of them in
one commit: durability costs one flush a cycle, however many turns there are. What the
turns owe (activities to start, callers to answer) happens only after that commit.

If a commit fails, the turns' live orchestrations are dropped and each item is tried in a cycle
of its own; what fails again is kept and tried later, except that a client's command is
answered with the error, since nothing of it was accepted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeAlias, TypeVar, assert_never

from ostinato import events as ev
from ostinato.actions import Failed
from ostinato.activities import ActivityCompleted, Outcome
from ostinato.client import Query, RuntimeStatus
from ostinato.definitions import Registry
from ostinato.errors import OstinatoError, StoreError
from ostinato.local.clock import Clock
from ostinato.local.cycle import Cycle
from ostinato.local.flight import Flight
from ostinato.local.instances import Instances
from ostinato.local.notices import Notices
from ostinato.local.scheduling import Work
from ostinato.local.store import PURGE_TIMER, START_TIMER, Change, Message, Store
from ostinato.local.workers import ActivityWorkers

logger = logging.getLogger("ostinato.local")

R = TypeVar("R")

MAX_ITEMS = 1000
"""Items in one cycle."""

CHECKS_PER_CYCLE = 50
"""Instances that are checked against their code in one cycle after a start."""

LINGER = 0.0003
"""Seconds in which an answered client's next call is waited for, while others have work ready."""

_FIRST_PAUSE, _LAST_PAUSE = 0.05, 5.0
"""Seconds between attempts to write when the store fails."""


class Command(Generic[R]):
    """Something a client asks for, answered when it is durable."""

    __slots__ = ("_done", "_result", "answered", "error", "prepare")

    def __init__(self, prepare: Callable[[Cycle], R]) -> None:
        self.prepare = prepare
        self.answered = False
        self.error: BaseException | None = None
        self._result: list[R] = []
        self._done = threading.Lock()
        self._done.acquire()

    def run(self, cycle: Cycle) -> None:
        """Have the client's wish put into the cycle."""
        self._result = [self.prepare(cycle)]

    def answer(self, error: BaseException | None = None) -> None:
        """Let the caller go on; the first answer counts."""
        if not self.answered:
            self.answered = True
            self.error = error
            self._done.release()

    def wait(self) -> R:
        """Return the result, or raise the error, once it is answered."""
        self._done.acquire()
        if self.error is not None:
            raise self.error
        return self._result[0]


Item: TypeAlias = Command[Any] | tuple[Work, Outcome] | Message
"""What reaches the engine from outside; stored messages and timers are read from the store."""


class Engine:
    """Executes one task hub. `start` and `close` are the host's to call.

    Raises:
        HubLockedError: Someone else executes the hub.
    """

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
        self.store = store
        self.notices = Notices()
        self._registry = registry
        self._clock = clock
        self._poll_interval = poll_interval
        self._inputs: SimpleQueue[Item | None] = SimpleQueue()
        self._instances = Instances(registry, store, cache_size)
        self._workers = ActivityWorkers(
            registry,
            lambda work, outcome: self._inputs.put((work, outcome)),
            max_concurrent=max_concurrent_activities,
            board=store.acquire(),
        )
        self._flight = Flight(self._workers, max_crashes)
        self._cursor = 0
        """Id of the last stored message that was read."""
        self._unread = True
        """Whether there may be stored messages after the cursor."""
        self._seen_version = store.version()
        self._look_at = 0.0
        self._answered_at = 0.0
        """When clients were last answered; 0 once one has called again."""
        self._next_due = store.next_due()
        self._unchecked: Iterator[str] | None = self._unfinished()
        self._stalled: list[Item] = []
        self._resume_at = 0.0
        self._pause = _FIRST_PAUSE
        self._lock = threading.Lock()
        self._closing = False
        self._ending = False
        self.trouble: StoreError | None = None
        """Why nothing can be written at the moment."""
        self._thread = threading.Thread(target=self._run, name="ostinato-engine", daemon=True)
        clock.subscribe(self.wake)

    # For the host and its clients, from any thread

    def start(self) -> int:
        """Recover what was in flight and begin; return how many instances are unfinished."""
        self.store.crashed()
        unfinished = sum(1 for _ in self._unfinished())
        for failure in self._flight.recover(self.store.work(), self._clock.now()):
            self._inputs.put(failure)
        self._thread.start()
        self._take_what_came()
        return unfinished

    def _take_what_came(self) -> None:
        """Let messages that were sent while nobody executed the hub count before anyone looks."""
        with suppress(StoreError):  # noted as trouble, and tried again
            self.call(lambda _: None)
            while self._unread and self.trouble is None:
                self.call(lambda _: None)

    def call(self, prepare: Callable[[Cycle], R]) -> R:
        """Run ``prepare`` in the next cycle and return its result once that is durable.

        Raises:
            StoreError: The store cannot be written; nothing was accepted.
            OstinatoError: Whatever ``prepare`` raises.
        """
        command = Command(prepare)
        with self._lock:
            if self._closing:
                raise StoreError("this host is closed; open another to go on with its task hub")
            self._inputs.put(command)
        return command.wait()

    def wake(self) -> None:
        """Look at the clock and the store again."""
        self._inputs.put(None)

    def purge(self, instance_ids: Sequence[str]) -> int:
        """Forget finished instances, see `Store.purge`; within a command."""
        gone = self.store.purge(instance_ids)
        for instance_id in gone:
            self._instances.drop(instance_id)
            self._instances.waiting.discard(instance_id)
            self._flight.forget(instance_id)
        return len(gone)

    def running(self, instance_id: str) -> list[Work]:
        """The instance's activities that run now."""
        return [work for work in self._workers.running if work.call.instance_id == instance_id]

    def settle(self, timeout: float) -> bool:
        """Wait until nothing moves without time or messages; False when it takes longer.

        What other processes have sent until now counts as moving.
        """
        with suppress(StoreError):  # then it does not come to rest, or has been closed
            self.call(self._look_now)
        idle = self.notices.idle()
        self.wake()
        return idle.wait(timeout)

    def close(self, timeout: float) -> None:
        """Stop: nothing is lost, what runs is asked to stop and runs again at the next start.

        What completes within ``timeout`` seconds is still recorded; a failure is not, since the
        request to stop may be its cause.
        """
        with self._lock:
            if self._closing:
                return
            self._closing = True
        self._workers.close(timeout)
        self._ending = True
        if self._thread.is_alive():
            self._inputs.put(None)
            self._thread.join()
        self._instances.clear()
        self.notices.close()

    # The loop

    def _run(self) -> None:
        try:
            while not (self._ending and self._inputs.empty()):
                self._turn_round()
        finally:  # whatever stopped it, nobody is to wait for ever
            with self._lock:
                self._closing = True
            self.notices.close()
            while not self._inputs.empty():
                item = self._inputs.get_nowait()
                if isinstance(item, Command):
                    item.answer(StoreError("this host has stopped; see its log"))

    def _turn_round(self) -> None:
        items = self._collect()
        try:
            self._take(items)
        except Exception:  # a defect of ours must not stop every instance
            logger.exception("the engine could not take a turn")
            self._refuse(items, OstinatoError("the engine failed; see its log"))
        except BaseException:
            self._refuse(items, StoreError("this host has stopped; see its log"))
            raise
        if self._is_idle():
            self.notices.tell_idle()

    def _collect(self) -> list[Item]:
        """Wait until there is something to do."""
        items: list[Item] = []
        if self._stalled and self._may_write():
            items, self._stalled = self._stalled, items
        item = self._next_input(0.0 if items else self._patience())
        while item is not None:
            items.append(item)
            item = self._next_input(self._linger(item)) if len(items) < MAX_ITEMS else None
        return items

    def _linger(self, item: Item) -> float:
        """Seconds to wait for more before a turn is taken.

        A client that has just been answered often calls again at once; its next call then
        shares a commit with what its last one set going, rather than waiting for that.
        """
        if isinstance(item, Command):
            self._answered_at = 0.0
        return max(0.0, self._answered_at + LINGER - time.monotonic()) if self._answered_at else 0.0

    def _may_write(self) -> bool:
        """Whether it is time to try again after the store failed."""
        return self._resume_at <= time.monotonic()

    def _next_input(self, patience: float) -> Item | None:
        try:
            if patience == 0.0:
                return self._inputs.get_nowait()
            return self._inputs.get(timeout=patience)
        except Empty:
            return None

    def _patience(self) -> float:
        """Seconds to wait for an input."""
        if not self._may_write():
            return max(0.001, self._resume_at - time.monotonic())
        if self._unread or self._unchecked is not None:
            return 0.0
        due = None if self._next_due is None else self._clock.seconds_until(self._next_due)
        return self._poll_interval if due is None else min(self._poll_interval, due)

    def _refuse(self, items: list[Item], error: OstinatoError) -> None:
        for item in items:
            if isinstance(item, Command):
                item.answer(error)

    def _is_idle(self) -> bool:
        return not (
            self._flight
            or self._stalled
            or self._unread
            or self._unchecked is not None
            or not self._inputs.empty()
            or (self._next_due is not None and self._next_due <= self._clock.now())
        )

    # A cycle

    def _cycle(self, *, delivers: bool) -> Cycle:
        return Cycle(
            self._registry,
            self.store,
            self._instances,
            self._flight,
            self._clock.now(),
            delivers=delivers,
        )

    def _take(self, items: list[Item]) -> None:
        """Take the turns that items and the store call for, together if that can be written."""
        cycle = self._cycle(delivers=not self._unread)
        commands = self._take_in(cycle, items)
        stored = self._read_store(cycle) if self._may_write() else {}
        try:
            if self._write(cycle, commands):
                self._let_go(items)
                return
            if len(cycle.turns) <= 1:
                self._hold(items)
                return
        except Exception:  # a turn holds what cannot be stored: found when it is alone
            logger.debug("a cycle cannot be written", exc_info=True)
        for item in items:
            self._take_alone([item], {})
        for instance_id, messages in stored.items():
            self._take_alone([], {instance_id: messages})

    def _take_alone(self, items: list[Item], stored: dict[str, list[Message]]) -> None:
        """Try a part of a cycle that could not be written."""
        cycle = self._cycle(delivers=False)
        cycle.messages.update(stored)
        try:
            if self._write(cycle, self._take_in(cycle, items)):
                self._let_go(items)
            else:
                self._hold(items)
        except Exception as error:
            logger.exception("a turn can never be written")
            if any(isinstance(item, Command) for item in items):
                self._refuse(items, OstinatoError(f"this cannot be written: {error}"))
            else:
                self._give_up(list(cycle.turns), items, stored, error)

    def _give_up(
        self,
        instance_ids: list[str],
        items: list[Item],
        stored: dict[str, list[Message]],
        error: Exception,
    ) -> None:
        """Fail instances whose turns can never be written, so that they are not tried for ever."""
        cycle = self._cycle(delivers=False)
        done = [item[0].key for item in items if isinstance(item, tuple)]
        for instance_id in instance_ids:
            mine = [key for key in done if key.instance_id == instance_id]
            cycle.give_up(instance_id, stored.get(instance_id, []), mine, error)
        if self._write(cycle, []):
            self._let_go(items)
        else:
            self._hold(items)

    def _let_go(self, items: list[Item]) -> None:
        """Tell the workers which outcomes are off our hands: they pause when there are many."""
        for item in items:
            if isinstance(item, tuple):
                self._workers.finished(item[0])

    def _hold(self, items: list[Item]) -> None:
        """Keep what cannot be written; commands are answered, since nothing was accepted."""
        self._refuse(items, self.trouble or StoreError("the task hub cannot be written"))
        self._stalled += [item for item in items if not isinstance(item, Command)]
        self._resume_at = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, _LAST_PAUSE)

    def _take_in(self, cycle: Cycle, items: list[Item]) -> list[Command[Any]]:
        """Turn items into messages; return the commands that await the commit."""
        commands: list[Command[Any]] = []
        for item in items:
            match item:
                case (work, outcome):
                    if self._closing and not isinstance(outcome, ActivityCompleted):
                        continue
                    message = self._flight.report(work, outcome, cycle.now)
                    if message is not None:
                        cycle.send(message)
                case Message():
                    cycle.send(item)
                case Command():
                    if item.answered:
                        continue
                    try:
                        item.run(cycle)
                    except Exception as error:
                        item.answer(error)
                    else:
                        commands.append(item)
                case _:
                    assert_never(item)
        return commands

    # What the store calls for

    def _read_store(self, cycle: Cycle) -> dict[str, list[Message]]:
        """Add stored messages, due timers and checks that are owed to the cycle.

        Returns what the store still holds if the cycle is not written.
        """
        others = set(cycle.messages)
        try:
            self._notice_others()
            if self._unread:
                self._read_inbox(cycle)
            if self._next_due is not None and self._next_due <= cycle.now:
                self._fire_timers(cycle)
            stored = {i: list(m) for i, m in cycle.messages.items() if i not in others}
            if self._unchecked is not None:
                self._check_some(self._unchecked)
        except StoreError as error:
            self._note_trouble(error)
            self._read_again()
            self._resume_at = time.monotonic() + self._pause
            return {}
        return stored

    def _look_now(self, _: Cycle) -> None:
        self._look_at = 0.0

    def _notice_others(self) -> None:
        """See, now and then, whether another process has written."""
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + self._poll_interval / 2
        version = self.store.version()
        if version != self._seen_version:
            self._seen_version = version
            self._unread = True
            self._next_due = self.store.next_due()

    def _read_inbox(self, cycle: Cycle) -> None:
        stored = self.store.inbox(self._cursor, MAX_ITEMS)
        self._unread = len(stored) == MAX_ITEMS
        for message in stored:
            self._cursor = message.id
            cycle.send(message)

    def _fire_timers(self, cycle: Cycle) -> None:
        expired: list[str] = []
        for timer in self.store.due(cycle.now, MAX_ITEMS):
            instance_id = timer.instance_id
            if timer.task_id == PURGE_TIMER:
                expired.append(instance_id)
            elif timer.task_id == START_TIMER:
                self._instances.waiting.add(instance_id)
                cycle.messages.setdefault(instance_id, [])
            else:
                fired = ev.TimerFired(at=cycle.now, task_id=timer.task_id, due=timer.due)
                cycle.send(
                    Message(instance_id=instance_id, execution_id=timer.execution_id, event=fired)
                )
        if expired:
            self.purge(expired)
        self._next_due = self.store.next_due()

    def _unfinished(self) -> Iterator[str]:
        """Ids of the instances that run."""
        page: str | None = None
        while True:
            running = (RuntimeStatus.RUNNING, RuntimeStatus.SUSPENDED)
            heads, page = self.store.instances(Query(status=running, page_size=500, page=page))
            yield from (head.instance_id for head in heads)
            if page is None:
                return

    def _check_some(self, unchecked: Iterator[str]) -> None:
        """Say which of the instances found at the start the code does not fit any more.

        They fail when they next wake, not before: the deployment may yet be taken back.
        """
        for _ in range(CHECKS_PER_CYCLE):
            instance_id = next(unchecked, None)
            if instance_id is None:
                self._unchecked = None
                return
            live = self._instances.load(instance_id)
            outcome = live.orchestration.outcome if live and live.orchestration else None
            if isinstance(outcome, Failed):
                logger.error(
                    "instance %r will fail when it next wakes: %s",
                    instance_id,
                    outcome.failure.message,
                )
        self._instances.trim()

    # The commit

    def _write(self, cycle: Cycle, commands: list[Command[Any]]) -> bool:
        """Take the cycle's turns, commit them and do what they owe; False if the store fails."""
        try:
            changes = cycle.run()
            if changes:
                self.store.commit(changes)
        except Exception as error:
            for instance_id in cycle.turns:
                self._instances.drop(instance_id)
            self._read_again()
            if not isinstance(error, StoreError):
                raise
            self._note_trouble(error)
            return False
        if changes and self.trouble is not None:
            logger.warning("the task hub can be written again")
            self.trouble = None
        self._pause = _FIRST_PAUSE
        for command in commands:
            command.answer()
        try:
            self._pay(cycle, changes)
        except Exception:  # e.g. no thread can be started: what is committed must not be redone
            logger.exception("what a commit owes could not all be done")
        self._answered_at = time.monotonic() if commands else 0.0
        return True

    def _note_trouble(self, error: StoreError) -> None:
        if self.trouble is None:
            logger.error("%s; nothing is lost, and it is tried again", error)
        self.trouble = error

    def _read_again(self) -> None:
        """Read from the store what was read and not written."""
        self._cursor = 0
        self._unread = True
        self._next_due = self._clock.now()

    def _pay(self, cycle: Cycle, changes: list[Change]) -> None:
        """Do what the committed turns owe."""
        works: list[Work] = []
        for change in changes:
            if change.messages_sent:
                self._unread = True
            if change.work_removed:
                self._flight.retire(change.work_removed)
            works += map(Work.of, change.work_added)
            for _, due in change.timers_added:
                if self._next_due is None or due < self._next_due:
                    self._next_due = due
        for instance_id, turn in cycle.turns.items():
            self._flight.retire(turn.stale)
            if turn.ended:
                self.notices.tell_end(instance_id)
                self._instances.drop(instance_id)
        self._flight.dispatch(works)
        self._instances.trim()
