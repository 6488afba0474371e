"""Threads on which activities and entities run, and what they are running."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Condition


class Pool:
    """Runs calls of functions.

    Args:
        threads: How many at a time.
        name: Of the threads.
        moved: The hub's lock, notified when something has ended.
        broke: Called with what a call raises; the lock is held.
    """

    def __init__(
        self,
        threads: int,
        *,
        name: str,
        moved: Condition,
        broke: Callable[[BaseException], None],
    ) -> None:
        self._moved = moved
        self._broke = broke
        self._running: dict[object, str] = {}
        self._closed = False
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)

    @property
    def busy(self) -> bool:
        """Whether something is running or waits for a thread."""
        return bool(self._running)

    @property
    def running(self) -> list[str]:
        """What is running or waits for a thread."""
        return sorted(self._running.values())

    def run(self, what: str, work: Callable[[], None]) -> None:
        """Run, soon, what calls itself ``what``; nothing once closed. The lock is held."""
        if self._closed:
            return
        token = object()
        self._running[token] = what

        def run() -> None:
            try:
                work()
            except BaseException as error:
                with self._moved:
                    self._broke(error)
            finally:
                with self._moved:
                    del self._running[token]
                    self._moved.notify_all()

        self._threads.submit(run)

    def close(self) -> None:
        """Start nothing more, and wait for what runs."""
        with self._moved:
            self._closed = True
        self._threads.shutdown(wait=True, cancel_futures=True)
