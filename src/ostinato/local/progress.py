"""Progress: how far an instance's activities are, read from its history as it grows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ostinato import events as ev
from ostinato.local.store import Store


@dataclass(frozen=True, slots=True)
class ActivityProgress:
    """Attempts of one activity."""

    scheduled: int = 0
    completed: int = 0
    failed: int = 0
    retried: int = 0
    """Scheduled attempts that are not first ones."""

    @property
    def running(self) -> int:
        """Attempts that run or wait to run."""
        return self.scheduled - self.completed - self.failed


@dataclass(frozen=True, slots=True)
class Progress(ActivityProgress):
    """Attempts of all activities of an instance's current execution."""

    by_activity: Mapping[str, ActivityProgress] = field(default_factory=dict[str, ActivityProgress])


class ProgressReader:
    """Counts the events that are new since the last reading."""

    def __init__(self, store: Store, instance_id: str) -> None:
        self._store = store
        self._instance_id = instance_id
        self._execution_id = ""
        self._restart()

    def _restart(self) -> None:
        self._position = 0
        self._names: dict[int, str] = {}
        self._counts: dict[str, list[int]] = {}

    def read(self) -> Progress:
        """Return the counts as they stand."""
        head = self._store.instance(self._instance_id)
        if head is None or head.execution_id != self._execution_id:
            self._execution_id = "" if head is None else head.execution_id
            self._restart()
        new = self._store.history(self._instance_id, self._position)
        self._position += len(new)
        for event in new:
            match event:
                case ev.TaskScheduled():
                    self._names[event.task_id] = event.name
                    self._count(event.name, 0)
                    if event.attempt > 1:
                        self._count(event.name, 3)
                case ev.TaskCompleted():
                    self._count(self._names.pop(event.task_id, ""), 1)
                case ev.TaskFailed():
                    self._count(self._names.pop(event.task_id, ""), 2)
                case _:
                    pass
        by_activity = {name: ActivityProgress(*counts) for name, counts in self._counts.items()}
        counts = by_activity.values()
        return Progress(
            scheduled=sum(one.scheduled for one in counts),
            completed=sum(one.completed for one in counts),
            failed=sum(one.failed for one in counts),
            retried=sum(one.retried for one in counts),
            by_activity=by_activity,
        )

    def _count(self, name: str, column: int) -> None:
        self._counts.setdefault(name, [0, 0, 0, 0])[column] += 1
