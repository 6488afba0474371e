"""What the tests of the workers use in the engine's place."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from ostinato.activities import ActivityCall, ActivityFailed, Outcome
from ostinato.definitions import ActivityDefinition, Registry
from ostinato.local.scheduling import Work
from ostinato.local.workers import ActivityWorkers

PATIENCE = 30.0
"""Seconds after which a test has failed; none waits so long when it passes."""


def assert_gave_way(taken: tuple[Work, Outcome], work: Work) -> None:
    """The work saw that it was to stop: whatever it returned is not its result."""
    found, outcome = taken
    assert found is work
    assert isinstance(outcome, ActivityFailed)
    assert outcome.failure.type == "TaskCancelledError"


class Stand:
    """Submits work and takes outcomes, as the engine does."""

    def __init__(
        self, *definitions: ActivityDefinition, payload_limit: int = 1000, **options: Any
    ) -> None:
        registry = Registry(payload_limit=payload_limit)
        for definition in definitions:
            registry.add_activity(definition)
        self.outcomes: SimpleQueue[tuple[Work, Outcome]] = SimpleQueue()
        self.workers = ActivityWorkers(registry, self._on_done, **options)
        self._next_id = 0

    def _on_done(self, work: Work, outcome: Outcome) -> None:
        self.outcomes.put((work, outcome))

    def __enter__(self) -> Stand:
        return self

    def __exit__(self, *_: object) -> None:
        self.workers.close(PATIENCE)

    def work(self, name: str, given: str = "null", **fields: Any) -> Work:
        group, bound = fields.pop("group", None), fields.pop("bound", None)
        self._next_id += 1
        call = ActivityCall(
            instance_id="i",
            execution_id="e",
            task_id=self._next_id,
            first_id=self._next_id,
            name=name,
            input=given,
            **fields,
        )
        return Work(call, group=group, bound=bound)

    def submit(self, name: str, given: str = "null", **fields: Any) -> Work:
        work = self.work(name, given, **fields)
        self.workers.submit([work])
        return work

    def take(self) -> tuple[Work, Outcome]:
        """Wait for the next outcome."""
        try:
            work, outcome = self.outcomes.get(timeout=PATIENCE)
        except Empty:
            pytest.fail("no outcome came")
        self.workers.finished(work)
        return work, outcome

    def run(self, name: str, given: str = "null", **fields: Any) -> Outcome:
        """Run one activity alone."""
        self.submit(name, given, **fields)
        return self.take()[1]


class Gauge:
    """Counts how many are inside at a time, and holds them there until told."""

    def __init__(self, full: int) -> None:
        self._lock = threading.Lock()
        self._full = full
        self.inside = 0
        self.most = 0
        self.entered: list[Any] = []
        self.is_full = threading.Event()
        self.release = threading.Event()

    def enter(self, what: Any = None) -> None:
        with self._lock:
            self.entered.append(what)
            self.inside += 1
            self.most = max(self.most, self.inside)
            if self.inside == self._full:
                self.is_full.set()

    def leave(self) -> None:
        with self._lock:
            self.inside -= 1

    def hold(self, what: Any = None) -> None:
        self.enter(what)
        self.release.wait(PATIENCE)
        self.leave()


def activity(fn: Callable[..., Any], name: str | None = None, **options: Any) -> ActivityDefinition:
    return ActivityDefinition(name=name or fn.__name__, fn=fn, **options)
