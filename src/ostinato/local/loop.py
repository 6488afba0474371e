"""The event loop on which async activities run, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import TypeAlias

from ostinato.activities import CancelToken, Outcome, run_activity_async
from ostinato.local.scheduling import Work
from ostinato.local.store import Board

_GRACE = 5.0
"""Seconds for cancelled coroutines to end."""

OnEnd: TypeAlias = Callable[[Work, Outcome], None]


class EventLoop:
    """Runs coroutines side by side until closed.

    Args:
        context: Each activity gets a copy of it.
        limit: Bytes of JSON that a result may have.
        on_end: Called in the loop's thread with each outcome.
    """

    def __init__(
        self, context: Context, limit: int | None, board: Board | None, on_end: OnEnd
    ) -> None:
        self._context = context
        self._limit = limit
        self._board = board
        self._on_end = on_end
        self._arrived: deque[Work] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._serve, name="ostinato-activity-loop", daemon=True
        )
        self._thread.start()

    def start(self, work: Work) -> None:
        """Run ``work`` soon; callable from any thread."""
        self._arrived.append(work)
        if len(self._arrived) == 1:  # otherwise the loop has been told and will find it
            self._loop.call_soon_threadsafe(self._admit)

    def close(self) -> None:
        """Cancel what runs and end the thread.

        A coroutine that blocks the loop, or goes on after its cancellation, is left behind, and
        so are threads that it waits for.
        """
        self._loop.call_soon_threadsafe(self._cancel)
        self._thread.join(_GRACE)

    def _serve(self) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            if self._tasks:
                loop.run_until_complete(asyncio.wait(self._tasks, timeout=_GRACE / 2))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._loop.stop()

    def _admit(self) -> None:
        while self._arrived:
            task = self._loop.create_task(self._run(self._arrived[0]), context=self._context.copy())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            # Only now: as long as one is in the queue, `start` knows that we are looking.
            self._arrived.popleft()

    async def _run(self, work: Work) -> None:
        kind = work.kind
        token = CancelToken() if kind.takes_context else None
        if token is not None:
            work.on_cancel(token.cancel)
        slot = -1 if self._board is None else self._board.started(work.key)
        try:
            outcome = await run_activity_async(
                kind.definition, work.call, token, limit=self._limit, on_heartbeat=work.beat
            )
        finally:
            if self._board is not None:
                self._board.finished(slot)
        self._on_end(work, outcome)
