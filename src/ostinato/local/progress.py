"""Progress: how far an instance's activities are, read from its history as it grows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ostinato import events as ev
from ostinato.local.store import Store
from ostinato.replay import rewound_positions


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
    """Attempts of all activities of an instance's current execution and of its children's."""

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
        self._children: dict[int, ProgressReader] = {}
        self._ended: list[ProgressReader] = []
        """Children read for the last time."""

    def read(self) -> Progress:
        """Return the counts as they stand."""
        counts = self._read()
        by_activity = {name: ActivityProgress(*columns) for name, columns in counts.items()}
        all_of_them = by_activity.values()
        return Progress(
            scheduled=sum(one.scheduled for one in all_of_them),
            completed=sum(one.completed for one in all_of_them),
            failed=sum(one.failed for one in all_of_them),
            retried=sum(one.retried for one in all_of_them),
            by_activity=by_activity,
        )

    def _read(self) -> dict[str, list[int]]:
        """Read what is new, of the children too, and return all counts by activity."""
        head = self._store.instance(self._instance_id)
        if head is None or head.execution_id != self._execution_id:
            self._execution_id = "" if head is None else head.execution_id
            self._restart()
        new = self._store.history(self._instance_id, self._position)
        if any(isinstance(event, ev.ExecutionRewound) for event in new):
            self._restart()
            new = self._store.history(self._instance_id)
        self._position += len(new)
        dropped = rewound_positions(new)
        finished: list[int] = []
        for position, event in enumerate(new):
            if position in dropped:
                continue
            match event:
                case ev.TaskScheduled():
                    self._names[event.task_id] = event.name
                    self._count(event.name, 0)
                    if event.attempt > 1:
                        self._count(event.name, 3)
                case ev.TaskCompleted():
                    self._count(self._names[event.task_id], 1)
                case ev.TaskFailed():
                    self._count(self._names[event.task_id], 2)
                case ev.SubOrchestrationInstanceCreated() if not event.detached:
                    child = ProgressReader(self._store, event.instance_id)
                    self._children[event.task_id] = child
                case ev.SubOrchestrationInstanceCompleted() | ev.SubOrchestrationInstanceFailed():
                    finished.append(event.task_id)
                case _:
                    pass
        totals = {name: list(columns) for name, columns in self._counts.items()}
        for child in self._ended:
            _add(totals, child._counts)
        for task_id, child in list(self._children.items()):
            counts = child._read()
            _add(totals, counts)
            if task_id in finished:
                child._counts = counts
                self._ended.append(self._children.pop(task_id))
        return totals

    def _count(self, name: str, column: int) -> None:
        self._counts.setdefault(name, [0, 0, 0, 0])[column] += 1


def _add(totals: dict[str, list[int]], counts: dict[str, list[int]]) -> None:
    for name, columns in counts.items():
        mine = totals.setdefault(name, [0, 0, 0, 0])
        for column, value in enumerate(columns):
            mine[column] += value
