"""Where activities run: threads, one event loop, and processes.

The engine submits work and takes outcomes from a queue of its own. Scheduling is done by
whoever has something to schedule, under one short lock: a thread that ends an activity takes the
next one itself, so that a burst of small activities costs no wake-ups.

Threads are few on purpose. Each thread that starts work while more could start wakes one other,
which finds something to do only if the first is slow or waits for something: activities that are
all computing would only compete for the interpreter, with each other and with the engine.
"""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, TypeAlias

from ostinato.activities import CancelToken, Outcome, failed, run_activity
from ostinato.definitions import Registry
from ostinato.errors import UnknownNameError
from ostinato.local.scheduling import Schedule, Work
from ostinato.local.store import Board

if TYPE_CHECKING:
    from ostinato.local.loop import EventLoop
    from ostinato.local.processes import Processes

OnDone: TypeAlias = Callable[[Work, Outcome], None]

MAX_UNREAD = 512
"""Outcomes that may wait for the engine: what has not been committed is lost in a crash."""

_GRACE = 5.0
"""Seconds for threads that have nothing left to do to end."""


class ActivityWorkers:
    """Runs submitted activities within their limits and reports each outcome.

    Args:
        on_done: Called with each outcome from any thread, the submitting one included;
            must be cheap, e.g. a queue's ``put``.
        max_concurrent: Activities of all kinds that run at a time.
        board: Told what runs in this process, so that a crash finds its culprit. Activities in
            processes of their own are not on it: they cannot kill this one.
    """

    def __init__(
        self,
        registry: Registry,
        on_done: OnDone,
        *,
        max_concurrent: int = 32,
        board: Board | None = None,
    ) -> None:
        self._limit = registry.payload_limit
        self._on_done = on_done
        self._board = board
        self._max_threads = max_concurrent
        self._context = contextvars.copy_context()
        self._lock = threading.Lock()
        self._schedule = Schedule(
            registry,
            max_concurrent=max_concurrent,
            max_processes=min(max_concurrent, os.cpu_count() or 1),
            max_unread=max(MAX_UNREAD, max_concurrent),
        )
        self._threads: list[threading.Thread] = []
        self._signals: SimpleQueue[bool] = SimpleQueue()
        """True wakes an idle thread, False ends it."""
        self._idle = 0
        self._waking = False
        self._closing = False
        self._closed = False
        self._drained = threading.Event()
        self._loop: EventLoop | None = None
        self._processes: Processes | None = None

    def submit(self, works: Sequence[Work]) -> None:
        """Take work in; it starts in this order as far as its limits allow.

        Work for a name that is not registered fails at once.
        """
        unknown: list[Work] = []
        with self._lock:
            if self._closing:
                return
            for work in works:
                try:
                    self._schedule.add(work)
                except KeyError:
                    self._schedule.unread += 1
                    unknown.append(work)
            self._pump()
        for work in unknown:
            self._on_done(work, failed(work.call, _unknown(work)))

    def finished(self, work: Work) -> None:
        """Note that the engine has taken the outcome of ``work``; call it once for each.

        Workers pause while `MAX_UNREAD` outcomes have not been taken.
        """
        with self._lock:
            self._schedule.unread -= 1
            if not self._waking:
                self._pump()

    @property
    def running(self) -> list[Work]:
        """What runs now."""
        with self._lock:
            return list(self._schedule.running)

    def close(self, timeout: float = 10.0) -> None:
        """Drop what has not started, ask what runs to stop, and wait ``timeout`` seconds for it.

        Processes that have not stopped by then are killed and coroutines cancelled. A thread
        cannot be: it runs on, unheard. No outcome is reported after this returns.
        """
        with self._lock:
            if self._closing:
                return
            self._closing = True
            self._schedule.clear()
            running = list(self._schedule.running)
        for work in running:
            work.cancel()
        if running:
            self._drained.wait(timeout)
        with self._lock:
            self._closed = True
            stuck = {work.thread for work in self._schedule.running if not work.kind.is_process}
        if self._processes is not None:
            self._processes.close()
        if self._loop is not None:
            self._loop.close()
        self._end_threads(stuck)

    def _end_threads(self, stuck: set[threading.Thread | None]) -> None:
        for _ in self._threads:
            self._signals.put(False)
        deadline = monotonic() + _GRACE
        for thread in self._threads:
            if thread not in stuck and thread is not threading.current_thread():
                thread.join(max(0.0, deadline - monotonic()))

    # Scheduling; all of it with the lock held.

    def _take(self) -> Work | None:
        """Start the next work of the calling thread, and coroutines on the way to it."""
        while (work := self._schedule.head()) is not None:
            self._schedule.start()
            if not work.kind.is_async:
                return work
            self._event_loop().start(work)
        return None

    def _pump(self) -> None:
        """Start coroutines, and have a thread start anything else."""
        while (work := self._schedule.head()) is not None:
            if not work.kind.is_async:
                self._wake()
                return
            self._event_loop().start(self._schedule.start())

    def _wake(self) -> None:
        if self._waking:
            return
        if self._idle:
            self._idle -= 1
            self._signals.put(True)
        elif len(self._threads) < self._max_threads:
            thread = threading.Thread(
                target=self._serve, name=f"ostinato-activity-{len(self._threads)}", daemon=True
            )
            thread.start()
            self._threads.append(thread)
        else:
            return
        self._waking = True

    def _finish(self, work: Work) -> None:
        self._schedule.finish(work)
        if self._closing and not self._schedule.running:
            self._drained.set()

    def _event_loop(self) -> EventLoop:
        if self._loop is None:
            from ostinato.local.loop import EventLoop

            self._loop = EventLoop(self._context, self._limit, self._board, self._end_coroutine)
        return self._loop

    # The life of a thread.

    def _serve(self) -> None:
        me = threading.current_thread()
        done: Work | None = None
        woken = True
        while True:
            with self._lock:
                if woken:
                    woken = self._waking = False
                if done is not None:
                    self._finish(done)
                work = None if self._closing else self._take()
                if work is None:
                    self._idle += 1
                else:
                    work.thread = me
                    self._pump()
            if work is None:
                done = None
                if not self._signals.get():
                    return
                woken = True
                continue
            run = self._run_in_process if work.kind.is_process else self._run
            self._report(work, run(work))
            done = work

    def _run(self, work: Work) -> Outcome:
        slot = -1 if self._board is None else self._board.started(work.key)
        try:
            token = CancelToken() if work.kind.takes_context else None
            if token is not None:
                work.on_cancel(token.cancel)
            return self._context.copy().run(
                run_activity,
                work.kind.definition,
                work.call,
                token,
                limit=self._limit,
                on_heartbeat=work.beat,
            )
        finally:
            if self._board is not None:
                self._board.finished(slot)

    def _run_in_process(self, work: Work) -> Outcome:
        with self._lock:
            if self._processes is None:
                from ostinato.local.processes import Processes

                self._processes = Processes(self._limit)
        try:
            return self._processes.run(work)
        except Exception as error:  # a thread that died would take its place with it
            return failed(work.call, error)

    def _report(self, work: Work, outcome: Outcome) -> None:
        if not self._closed:
            self._on_done(work, outcome)

    def _end_coroutine(self, work: Work, outcome: Outcome) -> None:
        """Called in the event loop's thread."""
        self._report(work, outcome)
        with self._lock:
            self._finish(work)
            if not self._closing:
                self._pump()


def _unknown(work: Work) -> UnknownNameError:
    return UnknownNameError(
        f"activity {work.call.name!r} is not registered; register it with @app.activity"
    )
