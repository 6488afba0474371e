"""What an unfinished instance is said to wait for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ostinato import events as ev
from ostinato.cli.waiting import shortened, unanswered_in
from ostinato.client import InstanceStatus, RuntimeStatus
from ostinato.events import Event
from ostinato.failures import unstructured

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
EVENT = "an external event, or its next turn (nobody knows)"


def waits(*history: Event, status: RuntimeStatus = RuntimeStatus.RUNNING) -> list[str]:
    instance = InstanceStatus(
        instance_id="one",
        execution_id="",
        name="job",
        version=None,
        runtime_status=status,
        created_at=NOW,
        updated_at=NOW,
    )
    return unanswered_in(history, instance, "nobody knows")


def activity(task_id: int, name: str = "charge", at: datetime = NOW) -> Event:
    return ev.TaskScheduled(at=at, task_id=task_id, name=name)


def child(task_id: int, *, detached: bool = False) -> Event:
    return ev.SubOrchestrationInstanceCreated(
        at=NOW, task_id=task_id, name="ship", instance_id="one:1", detached=detached
    )


def test_activities_and_children_without_an_answer_are_told_with_the_time_they_were_asked():
    assert waits(activity(0), child(1)) == [
        "activity 'charge', since 2030-01-01 00:00:00 UTC",
        "child 'ship' 'one:1', since 2030-01-01 00:00:00 UTC",
    ]


def test_many_calls_of_one_activity_are_one_line_with_the_oldest():
    assert waits(activity(0, at=LATER), activity(1), activity(2, "pack")) == [
        "2 calls of activity 'charge', the oldest since 2030-01-01 00:00:00 UTC",
        "activity 'pack', since 2030-01-01 00:00:00 UTC",
    ]


def test_what_was_answered_is_not_waited_for():
    failure = unstructured("OSError", "no")
    answered: list[Event] = [
        activity(0),
        activity(1),
        child(2),
        child(3),
        ev.TimerCreated(at=NOW, task_id=4, due=LATER),
        child(5, detached=True),
        ev.TaskCompleted(at=NOW, task_id=0),
        ev.TaskFailed(at=NOW, task_id=1, failure=failure),
        ev.SubOrchestrationInstanceCompleted(at=NOW, task_id=2),
        ev.SubOrchestrationInstanceFailed(at=NOW, task_id=3, failure=failure),
        ev.TimerFired(at=LATER, task_id=4, due=LATER),
    ]
    assert waits(*answered) == [EVENT]


def test_a_timer_may_be_the_deadline_of_an_event():
    assert waits(ev.TimerCreated(at=NOW, task_id=0, due=LATER)) == [
        "the timer due at 2030-01-01 00:05:00 UTC",
        "perhaps an external event, too (nobody knows)",
    ]


def test_what_a_rewind_dropped_is_not_waited_for():
    rewound = ev.ExecutionRewound(at=LATER, dropped=(0,))
    assert waits(activity(0), rewound, activity(1, at=LATER)) == [
        "activity 'charge', since 2030-01-01 00:05:00 UTC"
    ]


def test_an_instance_that_has_not_begun_waits_for_its_first_turn():
    assert waits(status=RuntimeStatus.PENDING) == ["its first turn"]


def test_a_long_list_is_shortened():
    assert shortened(["a", "b", "c"], 3) == ["a", "b", "c"]
    assert shortened(["a", "b", "c"], 1) == ["a", "and 2 more"]
