"""Messages that are delivered at a time."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from datetime import datetime

from ostinato.testing.azure.instance import Message


class Timers:
    """What is due when. Not safe for threads: the hub holds its lock."""

    def __init__(self) -> None:
        self._heap: list[tuple[datetime, int, str, Message]] = []
        self._order = itertools.count()

    def add(self, due: datetime, instance_id: str, message: Message) -> None:
        """Deliver a message to an instance once it is due."""
        heapq.heappush(self._heap, (due, next(self._order), instance_id, message))

    def next_due(self, wanted: Callable[[str, Message], bool]) -> datetime | None:
        """When the first is due of those still ``wanted``; the others before it are forgotten."""
        while self._heap:
            due, _, instance_id, message = self._heap[0]
            if wanted(instance_id, message):
                return due
            heapq.heappop(self._heap)
        return None

    def take_due(self, now: datetime) -> list[tuple[str, Message]]:
        """Remove and return what is due, earliest first."""
        due: list[tuple[str, Message]] = []
        while self._heap and self._heap[0][0] <= now:
            _, _, instance_id, message = heapq.heappop(self._heap)
            due.append((instance_id, message))
        return due
