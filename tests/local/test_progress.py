from __future__ import annotations

from contextlib import closing

from ostinato import events as ev
from ostinato.failures import Failure
from ostinato.local.progress import ActivityProgress, ProgressReader
from ostinato.testing.store_contract import NOW, after, current, generation, new, started
from tests.local.conftest import Hub


def scheduled(task_id: int, name: str = "fetch", attempt: int = 1) -> ev.Event:
    return ev.TaskScheduled(at=NOW, task_id=task_id, name=name, attempt=attempt)


def completed(task_id: int) -> ev.Event:
    return ev.TaskCompleted(at=NOW, task_id=task_id)


def failed(task_id: int) -> ev.Event:
    return ev.TaskFailed(at=NOW, task_id=task_id, failure=Failure(type="ValueError"))


def test_an_unknown_instance_has_done_nothing(hub: Hub):
    with closing(hub.store()) as store:
        progress = ProgressReader(store, "a").read()
        assert (progress.scheduled, progress.running, progress.by_activity) == (0, 0, {})


def test_attempts_are_counted_by_activity(hub: Hub):
    with closing(hub.store()) as store:
        events = [started(), scheduled(0), scheduled(1), scheduled(2, "store"), failed(1)]
        store.commit([new(events=[*events, scheduled(3, attempt=2), completed(0)])])
        progress = ProgressReader(store, "a").read()
        fetch = ActivityProgress(scheduled=3, completed=1, failed=1, retried=1)
        assert progress.by_activity == {"fetch": fetch, "store": ActivityProgress(scheduled=1)}
        assert fetch.running == 1
        assert (progress.scheduled, progress.completed) == (4, 1)
        assert (progress.failed, progress.retried, progress.running) == (1, 1, 2)


def test_a_later_reading_counts_what_is_new(hub: Hub):
    with closing(hub.store()) as store:
        store.commit([new(events=[started(), scheduled(0)])])
        reader = ProgressReader(store, "a")
        assert reader.read().running == 1
        store.commit([after(current(store), [completed(0), scheduled(1)])])
        progress = reader.read()
        assert (progress.scheduled, progress.completed, progress.running) == (2, 1, 1)
        assert reader.read() == progress


def test_a_new_generation_begins_at_nothing(hub: Hub):
    with closing(hub.store()) as store:
        store.commit([new(events=[started(), scheduled(0), completed(0)])])
        reader = ProgressReader(store, "a")
        assert reader.read().completed == 1
        begun = started(execution_id="a-2")
        store.commit([generation(current(store), [begun, scheduled(0, "store")])])
        assert reader.read().by_activity == {"store": ActivityProgress(scheduled=1)}


def test_a_forgotten_instance_has_done_nothing(hub: Hub):
    with closing(hub.store()) as store:
        store.commit([new(events=[started(), scheduled(0)])])
        reader = ProgressReader(store, "a")
        assert reader.read().running == 1
        store.purge(["a"])
        assert reader.read().scheduled == 0
