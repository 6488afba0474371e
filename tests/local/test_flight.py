from __future__ import annotations

from collections.abc import Iterator

import pytest

from ostinato import events as ev
from ostinato.activities import ActivityCompleted, ActivityCrashed, ActivityFailed, Outcome
from ostinato.definitions import Registry
from ostinato.failures import Failure
from ostinato.local.flight import Flight
from ostinato.local.scheduling import Work
from ostinato.local.store import Message
from ostinato.local.workers import ActivityWorkers
from ostinato.testing.store_contract import NOW, item
from tests.local.engine_stand import PATIENCE, Gauge, activity


class Stand:
    """Work that is dispatched and held; its outcomes are made up."""

    def __init__(self, max_crashes: int = 3) -> None:
        self.gauge = Gauge(1)
        registry = Registry(payload_limit=1000)
        registry.add_activity(activity(self._hold, "fetch"))
        self.workers = ActivityWorkers(registry, lambda work, outcome: None)
        self.flight = Flight(self.workers, max_crashes)

    def _hold(self) -> None:
        self.gauge.hold()

    def dispatch(self, task_id: int = 0) -> Work:
        work = Work.of(item(task_id))
        self.flight.dispatch([work])
        return work

    def report(self, work: Work, outcome: Outcome) -> Message | None:
        return self.flight.report(work, outcome, NOW)

    def again(self) -> Work:
        """The work that is in flight now."""
        ((work,),) = (mine.values() for mine in self.flight._works.values())
        return work


@pytest.fixture
def stand() -> Iterator[Stand]:
    stand = Stand()
    yield stand
    stand.gauge.release.set()
    stand.workers.close(PATIENCE)


def test_an_outcome_becomes_a_message_to_its_execution(stand: Stand):
    work = stand.dispatch(4)
    reported = stand.report(work, ActivityCompleted("7"))
    event = ev.TaskCompleted(at=NOW, task_id=4, result="7")
    assert reported == Message(instance_id="a", execution_id="a-1", event=event)


def test_a_failure_becomes_a_message(stand: Stand):
    failure = Failure(type="ValueError", message="no")
    reported = stand.report(stand.dispatch(), ActivityFailed(failure))
    assert reported is not None
    assert reported.event == ev.TaskFailed(at=NOW, task_id=0, failure=failure)


def test_work_is_in_flight_until_it_is_retired(stand: Stand):
    assert not stand.flight
    work = stand.dispatch()
    stand.report(work, ActivityCompleted("7"))
    assert stand.flight
    assert stand.report(work, ActivityCompleted("7")) is not None  # its commit has failed
    stand.flight.retire([work.key])
    assert not stand.flight
    assert stand.report(work, ActivityCompleted("7")) is None


def test_retired_work_is_asked_to_stop(stand: Stand):
    work = stand.dispatch()
    stand.flight.retire([work.key, item(9).key])
    assert work.cancelled


def test_work_of_an_instance_that_is_no_more_is_asked_to_stop(stand: Stand):
    works = [stand.dispatch(0), stand.dispatch(1)]
    stand.flight.forget("a")
    stand.flight.forget("unknown")
    assert [work.cancelled for work in works] == [True, True]
    assert not stand.flight


def test_a_crash_is_tried_again_until_there_are_too_many(stand: Stand):
    for _ in range(2):
        work = stand.again() if stand.flight else stand.dispatch()
        assert stand.report(work, ActivityCrashed("killed by signal 9")) is None
        assert stand.report(work, ActivityCompleted("late")) is None
    reported = stand.report(stand.again(), ActivityCrashed("killed by signal 9"))
    assert reported is not None
    assert isinstance(reported.event, ev.TaskFailed)
    failure = reported.event.failure
    assert failure.type == "ActivityError"
    assert failure.message == "killed by signal 9; that was crash 3, and it is not tried again"


def test_crashes_are_not_forgotten_when_their_commit_fails(stand: Stand):
    stand.report(stand.dispatch(), ActivityCrashed("x"))
    stand.report(stand.again(), ActivityCrashed("x"))
    last = stand.again()
    for _ in range(2):
        reported = stand.report(last, ActivityCrashed("x"))
        assert reported is not None
        assert isinstance(reported.event, ev.TaskFailed)
        assert "crash 3" in reported.event.failure.message


def test_what_was_in_flight_is_recovered_but_for_what_crashed_too_often(stand: Stand):
    items = [item(0), item(1, crashes=2), item(2, crashes=3)]
    (failed,) = stand.flight.recover(items, NOW)
    assert isinstance(failed.event, ev.TaskFailed)
    assert failed.event.task_id == 2
    assert failed.event.failure.type == "ActivityError"
    assert "running in 3 crashes" in failed.event.failure.message
    assert {task_id for _, task_id in stand.flight._works["a"]} == {0, 1}
