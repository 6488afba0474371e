"""Notices: who waits for the end of an instance, or for the engine to come to rest."""

from __future__ import annotations

import threading


class Notices:
    """Events that the engine sets; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: dict[str, list[threading.Event]] = {}
        self._idle: list[threading.Event] = []
        self.closed = False

    def end_of(self, instance_id: str) -> threading.Event:
        """Return an event that is set when the instance ends, or the engine does."""
        notice = threading.Event()
        with self._lock:
            if self.closed:
                notice.set()
            else:
                self._ends.setdefault(instance_id, []).append(notice)
        return notice

    def drop(self, instance_id: str, notice: threading.Event) -> None:
        """Forget a notice that nobody waits for any more."""
        with self._lock:
            waiting = self._ends.get(instance_id, [])
            if notice in waiting:
                waiting.remove(notice)
                if not waiting:
                    del self._ends[instance_id]

    def tell_end(self, instance_id: str) -> None:
        """Set the events of an instance that has ended."""
        if instance_id in self._ends:
            with self._lock:
                waiting = self._ends.pop(instance_id, [])
            for notice in waiting:
                notice.set()

    def idle(self) -> threading.Event:
        """Return an event that is set when the engine next comes to rest."""
        notice = threading.Event()
        with self._lock:
            if self.closed:
                notice.set()
            else:
                self._idle.append(notice)
        return notice

    def tell_idle(self) -> None:
        """Set the events of those who wait for rest."""
        if self._idle:
            with self._lock:
                waiting, self._idle = self._idle, []
            for notice in waiting:
                notice.set()

    def close(self) -> None:
        """Set every event: nothing further happens."""
        with self._lock:
            self.closed = True
            waiting = [notice for notices in self._ends.values() for notice in notices]
            waiting += self._idle
            self._ends.clear()
            self._idle = []
        for notice in waiting:
            notice.set()
