from datetime import UTC, datetime

import pytest

from ostinato.activities import ActivityCall
from ostinato.definitions import ActivityDefinition, Registry
from ostinato.events import TaskScheduled
from ostinato.local.scheduling import Schedule, Work
from ostinato.local.store import WorkItem, WorkKey


def schedule(
    *definitions: ActivityDefinition, running: int = 100, processes: int = 100
) -> Schedule:
    registry = Registry()
    for definition in definitions or (ActivityDefinition(name="a", fn=int),):
        registry.add_activity(definition)
    return Schedule(registry, max_concurrent=running, max_processes=processes, max_unread=1000)


def work(
    task_id: int, name: str = "a", *, group: int | None = None, bound: int | None = None
) -> Work:
    call = ActivityCall(
        instance_id="i", execution_id="e", task_id=task_id, first_id=task_id, name=name
    )
    return Work(call, group=group, bound=bound)


def add(to: Schedule, *works: Work) -> None:
    for one in works:
        to.add(one)


def started(by: Schedule) -> list[Work]:
    """Start all that may start."""
    works: list[Work] = []
    while by.head() is not None:
        works.append(by.start())
    return works


def ids(works: list[Work]) -> list[int]:
    return [one.call.task_id for one in works]


def finish_all(by: Schedule) -> list[int]:
    """Run everything to its end, the oldest first, and return the order of starts."""
    order: list[int] = []
    running = started(by)
    while running:
        order += ids(running)
        for one in running:
            by.finish(one)
            by.unread -= 1
        running = started(by)
    return order


def test_work_starts_in_order_of_arrival():
    plan = schedule()
    add(plan, work(2), work(1), work(3))
    assert ids(started(plan)) == [2, 1, 3]


def test_no_more_run_than_the_limit():
    plan = schedule(running=2)
    add(plan, *map(work, range(5)))
    first, second = started(plan)
    assert started(plan) == []
    plan.finish(second)
    assert ids(started(plan)) == [2]
    plan.finish(first)
    assert ids(started(plan)) == [3]


def test_no_more_of_an_activity_run_than_its_limit():
    plan = schedule(ActivityDefinition(name="a", fn=int, max_concurrency=2))
    add(plan, *map(work, range(5)))
    first, _ = started(plan)
    plan.finish(first)
    assert ids(started(plan)) == [2]


def test_no_more_of_a_group_run_than_its_bound_and_in_order():
    plan = schedule()
    add(plan, *(work(n, group=0, bound=2) for n in range(5)))
    first, second = started(plan)
    plan.finish(second)
    third = started(plan)
    assert ids(third) == [2]
    plan.finish(first)
    plan.finish(third[0])
    assert ids(started(plan)) == [3, 4]


def test_work_that_waits_for_its_limit_blocks_no_other():
    plan = schedule(
        ActivityDefinition(name="slow", fn=int, max_concurrency=1),
        ActivityDefinition(name="a", fn=int),
    )
    add(plan, work(0, "slow"), work(1, "slow"), work(2), work(3, group=3, bound=1))
    add(plan, work(4, group=3, bound=1), work(5))
    assert ids(started(plan)) == [0, 2, 3, 5]


def test_groups_of_different_instances_are_different():
    plan = schedule()
    other = Work(
        ActivityCall(instance_id="j", execution_id="e", task_id=0, first_id=0, name="a"),
        group=0,
        bound=1,
    )
    add(plan, work(0, group=0, bound=1), other)
    assert len(started(plan)) == 2


def test_a_group_without_a_bound_is_bounded_by_the_host_alone():
    plan = schedule(running=3)
    add(plan, *(work(n, group=0) for n in range(5)))
    assert len(started(plan)) == 3


def test_a_group_is_forgotten_when_it_has_ended():
    plan = schedule()
    add(plan, *(work(n, group=0, bound=2) for n in range(5)))
    assert finish_all(plan) == [0, 1, 2, 3, 4]
    assert not plan._groups  # pyright: ignore[reportPrivateUsage]


def test_processes_have_a_limit_of_their_own():
    plan = schedule(
        ActivityDefinition(name="p", fn=int, isolation="process"),
        ActivityDefinition(name="q", fn=int, isolation="process"),
        ActivityDefinition(name="a", fn=int),
        processes=1,
    )
    add(plan, work(0, "p"), work(1, "q"), work(2))
    assert ids(started(plan)) == [0, 2]


def test_cancelled_work_never_starts():
    plan = schedule(running=1)
    works = [work(n) for n in range(4)]
    add(plan, *works)
    works[0].cancel()
    works[2].cancel()
    assert finish_all(plan) == [1, 3]


@pytest.mark.parametrize("cancelled", [{0}, {1}, {1, 2}, {0, 2, 3}, {1, 2, 3, 4}])
def test_cancelled_work_keeps_no_place(cancelled: set[int]):
    plan = schedule(ActivityDefinition(name="a", fn=int, max_concurrency=1), running=1)
    works = [work(n, group=n % 2, bound=1) for n in range(6)]
    blocker = work(9)
    add(plan, blocker)
    (running,) = started(plan)
    add(plan, *works)
    for n in cancelled:
        works[n].cancel()
    plan.finish(running)
    assert set(finish_all(plan)) == set(range(6)) - cancelled
    assert not plan._groups  # pyright: ignore[reportPrivateUsage]


def test_cancelled_work_that_was_about_to_start_keeps_no_place():
    plan = schedule(
        ActivityDefinition(name="a", fn=int, max_concurrency=1),
        ActivityDefinition(name="other", fn=int),
        running=1,
    )
    add(plan, work(0, "other"))
    (running,) = started(plan)
    cancelled = work(1, group=1, bound=1)
    add(plan, cancelled, work(2), work(3, group=1, bound=1))
    cancelled.cancel()
    plan.finish(running)
    assert finish_all(plan) == [2, 3]


def test_nothing_starts_while_too_many_outcomes_wait_to_be_read():
    plan = schedule()
    plan.unread = 1000
    add(plan, work(0))
    assert started(plan) == []
    plan.unread = 999
    assert ids(started(plan)) == [0]


def test_nothing_is_left_after_clearing():
    plan = schedule(ActivityDefinition(name="a", fn=int, max_concurrency=1))
    add(plan, work(0), work(1), work(2, group=2, bound=1), work(3, group=2, bound=1))
    (running,) = started(plan)
    plan.clear()
    plan.finish(running)
    assert started(plan) == []


def test_an_unknown_activity_is_refused():
    with pytest.raises(KeyError):
        add(schedule(), work(0, "nobody"))


def test_work_is_made_of_what_the_store_keeps():
    event = TaskScheduled(
        at=datetime(2026, 1, 1, tzinfo=UTC),
        task_id=7,
        name="a",
        input="[1]",
        attempt=2,
        first_id=5,
        group=3,
        bound=4,
        timeout=1.5,
    )
    made = Work.of(WorkItem(key=WorkKey("i", "e", 7), event=event))
    assert made.call == ActivityCall(
        instance_id="i",
        execution_id="e",
        task_id=7,
        first_id=5,
        attempt=2,
        name="a",
        input="[1]",
        timeout=1.5,
    )
    assert (made.group, made.bound, made.key) == (3, 4, WorkKey("i", "e", 7))


def test_a_first_attempt_is_its_own_first():
    event = TaskScheduled(at=datetime(2026, 1, 1, tzinfo=UTC), task_id=7, name="a")
    assert Work.of(WorkItem(key=WorkKey("i", "e", 7), event=event)).call.first_id == 7


def test_whoever_listens_late_is_told_of_the_cancellation():
    one = work(0)
    one.cancel()
    told: list[int] = []
    one.on_cancel(lambda: told.append(1))
    assert told == [1]
