"""What waits before the host is asked for it, and until when: a function of the history."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from ostinato.actions import ScheduleTask
from ostinato_azure.entries import Entry


class Groups:
    """Items of bounded maps: each waits for a place of its group, in order of id."""

    def __init__(self) -> None:
        self._held: dict[int, deque[Entry]] = {}
        self._running: dict[int, int] = {}

    def add(self, group: int, entry: Entry) -> None:
        """Have an item wait."""
        self._held.setdefault(group, deque()).append(entry)

    def ended(self, group: int) -> None:
        """Note that one of a group has ended."""
        self._running[group] -= 1

    def admitted(self) -> Iterator[Entry]:
        """Give free places to the next items."""
        for group, waiting in self._held.items():
            while waiting:
                action = waiting[0].action
                assert isinstance(action, ScheduleTask) and action.bound is not None
                if self._running.get(group, 0) >= action.bound:
                    break
                self._running[group] = self._running.get(group, 0) + 1
                yield waiting.popleft()

    def clear(self) -> None:
        """Forget what waits."""
        self._held.clear()


class Chains:
    """Operations with the durable client: one at a time for each target, in order."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Entry]] = {}

    def add(self, entry: Entry) -> bool:
        """Add an operation; whether it is its turn, else it waits."""
        waiting = self._waiting.get(entry.instance_id)
        if waiting is None:
            self._waiting[entry.instance_id] = deque()
            return True
        waiting.append(entry)
        return False

    def next(self, target: str) -> Entry | None:
        """Take the operation that follows the one on this target that is done."""
        waiting = self._waiting[target]
        if waiting:
            return waiting.popleft()
        del self._waiting[target]
        return None

    def drop_checks(self) -> None:
        """Forget the questions that wait."""
        for target, waiting in self._waiting.items():
            self._waiting[target] = deque(entry for entry in waiting if not entry.is_check)


@dataclass(slots=True)
class Children:
    """Ids of the children of one execution, as far as anything waits for them."""

    open: set[str] = field(default_factory=set[str])
    """Asked for, and not ended."""
    ended: set[str] = field(default_factory=set[str])
    replacing: set[str] = field(default_factory=set[str])
    """In the place of an instance that has ended, which is found until they appear."""

    def end(self, instance_id: str) -> None:
        """Note that a child has ended."""
        self.open.discard(instance_id)
        self.ended.add(instance_id)
