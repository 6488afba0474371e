"""Waiting for several tasks: task_all, task_any, map."""

from __future__ import annotations

from datetime import timedelta

import ostinato as ost

from . import world
from .app import add_one, app, attempt, case, echo, greet, held, note, refuse
from .model import Check, Ended, Flow, Noted, Now, Open, RaiseEvent, completes, fails, stays

RUNNING = ost.RuntimeStatus.RUNNING


@app.orchestration
def fail_after(ctx: ost.OrchestrationContext, order: tuple[float, str]) -> Flow:
    """Wait some seconds, then fail with a message."""
    seconds, message = order
    yield ctx.create_timer(timedelta(seconds=seconds))
    raise ValueError(message)


# task_all


@case(
    "task_all gives results in the order of its tasks, not of their ends",
    completes(["A", "B", "C"]),
    RaiseEvent("c", "C"),
    RaiseEvent("a", "A"),
    RaiseEvent("b", "B"),
)
@app.orchestration
def all_in_order(ctx: ost.OrchestrationContext) -> Flow:
    return (yield ctx.task_all([ctx.wait_for_external_event(name) for name in "abc"]))


@case("task_all of nothing completes at once", completes([[], False]))
@app.orchestration
def all_of_nothing(ctx: ost.OrchestrationContext) -> Flow:
    timer = ctx.create_timer(timedelta(seconds=3600))
    results = yield ctx.task_all([])
    return [results, timer.is_completed]


@case(
    "task_all waits for every task before it raises",
    completes(["no", "late"], custom_status="caught"),
    Check(stays(RUNNING, custom_status="waiting")),
    RaiseEvent("late", "late"),
)
@app.orchestration
def all_waits(ctx: ost.OrchestrationContext) -> Flow:
    ctx.set_custom_status("waiting")
    late = ctx.wait_for_external_event("late")
    try:
        yield ctx.task_all([ctx.call_activity(refuse, "no"), late])
    except ValueError as error:
        assert isinstance(error, ost.TaskFailedError)
        ctx.set_custom_status("caught")
        return [error.failure.message, late.result]


@case(
    "task_all raises the failure that came first, not the one listed first",
    fails("ValueError", "early"),
)
@app.orchestration
def all_first_failure(ctx: ost.OrchestrationContext) -> Flow:
    orders = [(20, "late"), (10, "early"), (30, "last")]
    yield ctx.task_all([ctx.call_sub_orchestrator(fail_after, order) for order in orders])


@case("task_all of failed tasks raises the one that failed first", fails("ValueError", "early"))
@app.orchestration
def all_of_failed(ctx: ost.OrchestrationContext) -> Flow:
    orders = [(20, "late"), (10, "early")]
    tasks = [ctx.call_sub_orchestrator(fail_after, order) for order in orders]
    yield ctx.create_timer(timedelta(seconds=60))
    assert all(task.is_faulted for task in tasks)
    yield ctx.task_all(tasks)


@case("task_all of finished tasks completes at once", completes([[2, 3], False]))
@app.orchestration
def all_of_finished(ctx: ost.OrchestrationContext) -> Flow:
    tasks = [ctx.call_activity(add_one, 1), ctx.call_activity(add_one, 2)]
    yield tasks[1]
    yield tasks[0]
    timer = ctx.create_timer(timedelta(seconds=3600))
    results = yield ctx.task_all(tasks)
    return [results, timer.is_completed]


@case("task_all takes a task twice", completes([2, 2]))
@app.orchestration
def all_of_the_same(ctx: ost.OrchestrationContext) -> Flow:
    task = ctx.call_activity(add_one, 1)
    return (yield ctx.task_all([task, task]))


@case("a task_all that raised, raises again", completes(["no", "no"]))
@app.orchestration
def all_raises_again(ctx: ost.OrchestrationContext) -> Flow:
    task = ctx.task_all([ctx.call_activity(add_one, 1), ctx.call_activity(refuse, "no")])
    messages = []
    for _ in range(2):
        try:
            yield task
        except ost.TaskFailedError as error:
            messages.append(error.failure.message)
    return messages


@case(
    "task_all takes tasks of every kind",
    completes([2, None, "data", 3], scheduled=("0 add_one", "1 timer", "2 child add_two")),
    RaiseEvent("event", "data"),
)
@app.orchestration
def all_kinds(ctx: ost.OrchestrationContext) -> Flow:
    tasks = [
        ctx.call_activity(add_one, 1),
        ctx.create_timer(timedelta(seconds=1)),
        ctx.wait_for_external_event("event"),
        ctx.call_sub_orchestrator(add_two, 1),
    ]
    return (yield ctx.task_all(tasks))


@app.orchestration
def add_two(ctx: ost.OrchestrationContext, number: int) -> Flow:
    number = yield ctx.call_activity(add_one, number)
    return (yield ctx.call_activity(add_one, number))


# task_any


@case(
    "task_any gives the very task that finished first",
    completes([True, "B", False]),
    RaiseEvent("b", "B"),
)
@app.orchestration
def any_winner(ctx: ost.OrchestrationContext) -> Flow:
    first, second = ctx.wait_for_external_event("a"), ctx.wait_for_external_event("b")
    winner = yield ctx.task_any([first, second])
    return [winner is second, winner.result, first.is_completed]


@case("task_any is won by a failed task, and does not raise", completes([True, True, "no"]))
@app.orchestration
def any_failed(ctx: ost.OrchestrationContext) -> Flow:
    failing = ctx.call_activity(refuse, "no")
    winner = yield ctx.task_any([ctx.create_timer(timedelta(seconds=3600)), failing])
    try:
        yield winner
    except ValueError as error:
        assert isinstance(error, ost.TaskFailedError)
        return [winner is failing, winner.is_faulted, error.failure.message]


@case(
    "the losers of task_any go on and can be awaited",
    completes(["B", "A"]),
    RaiseEvent("b", "B"),
    RaiseEvent("a", "A"),
)
@app.orchestration
def any_losers(ctx: ost.OrchestrationContext) -> Flow:
    first, second = ctx.wait_for_external_event("a"), ctx.wait_for_external_event("b")
    winner = yield ctx.task_any([first, second])
    return [winner.result, (yield first)]


@case(
    "task_any of finished tasks is won by the one that finished first in history",
    completes("second"),
    RaiseEvent("b", "second"),
    RaiseEvent("a", "first"),
)
@app.orchestration
def any_of_finished(ctx: ost.OrchestrationContext) -> Flow:
    tasks = [ctx.wait_for_external_event("a"), ctx.wait_for_external_event("b")]
    yield ctx.task_all(tasks)
    winner = yield ctx.task_any(tasks)
    return winner.result


@case("task_any completes at once when one of its tasks has finished", completes(True))
@app.orchestration
def any_with_finished(ctx: ost.OrchestrationContext) -> Flow:
    done = ctx.call_activity(add_one, 1)
    yield done
    winner = yield ctx.task_any([ctx.wait_for_external_event("never"), done])
    return winner is done


@case("the first of several timers wins", completes(1))
@app.orchestration
def any_timer(ctx: ost.OrchestrationContext) -> Flow:
    timers = [ctx.create_timer(timedelta(seconds=seconds)) for seconds in (300, 100, 200)]
    winner = yield ctx.task_any(timers)
    return timers.index(winner)


@case(
    "a race drawn again and again gives the tasks in the order of their ends", completes([2, 0, 1])
)
@app.orchestration
def any_repeatedly(ctx: ost.OrchestrationContext) -> Flow:
    timers = [ctx.create_timer(timedelta(seconds=seconds)) for seconds in (20, 30, 10)]
    open_timers, order = list(timers), []
    while open_timers:
        winner = yield ctx.task_any(open_timers)
        open_timers.remove(winner)
        order.append(timers.index(winner))
    return order


# Nested


@case("task_all of task_alls", completes([[1, 2], [], [3]]))
@app.orchestration
def all_of_alls(ctx: ost.OrchestrationContext) -> Flow:
    groups = [[0, 1], [], [2]]
    return (
        yield ctx.task_all(
            [ctx.task_all([ctx.call_activity(add_one, n) for n in group]) for group in groups]
        )
    )


@case(
    "task_any of task_alls is won by the first that is complete",
    completes([1, ["c", "d"]]),
    RaiseEvent("a", "a"),
    RaiseEvent("c", "c"),
    RaiseEvent("d", "d"),
)
@app.orchestration
def any_of_alls(ctx: ost.OrchestrationContext) -> Flow:
    groups = [
        ctx.task_all([ctx.wait_for_external_event(name) for name in names])
        for names in ("ab", "cd")
    ]
    winner = yield ctx.task_any(groups)
    return [groups.index(winner), winner.result]


@case(
    "task_all of task_anys gives the winners",
    completes(["b", "c"]),
    RaiseEvent("c", "c"),
    RaiseEvent("b", "b"),
)
@app.orchestration
def all_of_anys(ctx: ost.OrchestrationContext) -> Flow:
    races = [
        ctx.task_any([ctx.wait_for_external_event(name) for name in names])
        for names in ("ab", "cd")
    ]
    winners = yield ctx.task_all(races)
    return [winner.result for winner in winners]


@case(
    "task_any of task_anys is won by a task_any, whose result is the winner",
    completes(["B", True]),
    RaiseEvent("b", "B"),
)
@app.orchestration
def any_of_anys(ctx: ost.OrchestrationContext) -> Flow:
    inner = ctx.task_any([ctx.wait_for_external_event("a"), ctx.wait_for_external_event("b")])
    winner = yield ctx.task_any([ctx.create_timer(timedelta(seconds=3600)), inner])
    return [winner.result.result, winner is inner]


@case("a task_any with a failed winner does not fail the task_all it is in", completes(True))
@app.orchestration
def all_with_failed_winner(ctx: ost.OrchestrationContext) -> Flow:
    race = ctx.task_any([ctx.call_activity(refuse, "no")])
    winners = yield ctx.task_all([race, ctx.call_activity(add_one, 1)])
    return winners[0].is_faulted


@case("a failed task_all wins a task_any without raising", completes([True, "no"]))
@app.orchestration
def any_with_failed_all(ctx: ost.OrchestrationContext) -> Flow:
    failing = ctx.task_all([ctx.call_activity(refuse, "no"), ctx.call_activity(add_one, 1)])
    winner = yield ctx.task_any([failing, ctx.wait_for_external_event("never")])
    return [winner is failing, winner.result.failure.message]


@case("the failure of a nested task_all is raised by the outer one", fails("ValueError", "no"))
@app.orchestration
def nested_failure(ctx: ost.OrchestrationContext) -> Flow:
    inner = ctx.task_all([ctx.call_activity(refuse, "no"), ctx.call_activity(add_one, 1)])
    yield ctx.task_all([inner, ctx.call_activity(add_one, 1)])


# map


@case(
    "map gives results in the order of the items, and takes all ids at once",
    completes(
        [[1, 2, 3], 7], scheduled=("0 add_one (2)", "1 add_one (2)", "2 add_one (2)", "3 add_one")
    ),
)
@app.orchestration
def mapped(ctx: ost.OrchestrationContext) -> Flow:
    results = ctx.map(add_one, range(3), max_concurrency=2)
    after = ctx.call_activity(add_one, 6)
    return [(yield results), (yield after)]


@case("map over nothing completes at once", completes([]))
@app.orchestration
def mapped_nothing(ctx: ost.OrchestrationContext) -> Flow:
    return (yield ctx.map(add_one, [], max_concurrency=2))


@case("map without a bound runs all, called by name, from any iterable", completes([1, 4, 9]))
@app.orchestration
def mapped_freely(ctx: ost.OrchestrationContext) -> Flow:
    return (yield ctx.map("echo", (number * number for number in (1, 2, 3))))


@app.activity
def enter_and_leave(key: str) -> None:
    world.note(f"enter-{key}")
    world.note(f"leave-{key}")


@case(
    "map starts its items in order, no more at a time than its bound",
    completes(
        [None] * 4,
        ran=tuple(f"{step}-{key}" for key in "abcd" for step in ("enter", "leave")),
    ),
)
@app.orchestration
def mapped_singly(ctx: ost.OrchestrationContext) -> Flow:
    return (yield ctx.map(enter_and_leave, "abcd", max_concurrency=1))


@app.activity
def meet(pair: int) -> int:
    """Wait until a second one of the pair has come."""
    if world.note(f"pair-{pair}") == 2:
        world.open_gate(f"pair-{pair}")
    world.await_open(f"pair-{pair}")
    return pair


@case(
    "map runs as many at a time as its bound allows",
    completes([0, 0, 1, 1, 2, 2], ran=tuple(f"pair-{pair}" for pair in (0, 0, 1, 1, 2, 2))),
)
@app.orchestration
def mapped_in_pairs(ctx: ost.OrchestrationContext) -> Flow:
    return (yield ctx.map(meet, [0, 0, 1, 1, 2, 2], max_concurrency=2))


@app.activity
def stumble(key: str, context: ost.ActivityContext) -> str:
    world.note(f"{key}{context.attempt}")
    if key == "a" and context.attempt == 1:
        raise ConnectionError(key)
    return key


@case(
    "a retry in a map waits for its turn, and does not hold a slot while it waits",
    completes(["a", "b", "c"], ran=("a1", "b1", "c1", "a2"), delays=(5.0,)),
)
@app.orchestration
def mapped_with_retry(ctx: ost.OrchestrationContext) -> Flow:
    return (yield ctx.map(stumble, "abc", max_concurrency=1, retry=ost.RetryPolicy(2, 5)))


@case(
    "the retries of a map belong to its group",
    completes(
        [2, 2],
        scheduled=(
            "0 attempt (1)",
            "1 attempt (1)",
            "2 timer",
            "3 timer",
            "4 attempt (1)",
            "5 attempt (1)",
        ),
    ),
)
@app.orchestration
def mapped_retries(ctx: ost.OrchestrationContext) -> Flow:
    return (yield ctx.map(attempt, [2, 2], max_concurrency=1, retry=ost.RetryPolicy(2, 5)))


@case(
    "map waits for every item, then raises the first failure",
    fails("ConnectionError", "a", ran={"a1": 1, "b1": 1, "c1": 1}),
)
@app.orchestration
def mapped_failure(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.map(stumble, "abc", max_concurrency=2)


@case(
    "items of a map that have not started when the instance ends never start",
    completes("over", ran=("a",)),
    Now(Noted("a")),
    Now(RaiseEvent("end")),
    Now(Ended()),
    Now(Open("a")),
)
@app.orchestration
def mapped_cut_short(ctx: ost.OrchestrationContext) -> Flow:
    ctx.map(held, ["a", "b", "c"], max_concurrency=1)
    yield ctx.wait_for_external_event("end")
    return "over"


@case(
    "two maps have a bound each",
    completes(
        [[1, 2], [3, 4]],
        scheduled=("0 add_one (1)", "1 add_one (1)", "2 add_one (3)", "3 add_one (3)"),
    ),
)
@app.orchestration
def two_maps(ctx: ost.OrchestrationContext) -> Flow:
    first = ctx.map(add_one, [0, 1], max_concurrency=1)
    second = ctx.map(add_one, [2, 3], max_concurrency=3)
    return (yield ctx.task_all([first, second]))


@case("a large map with a small bound completes in order", completes(list(range(1, 201))))
@app.orchestration
def mapped_many(ctx: ost.OrchestrationContext) -> Flow:
    return (yield ctx.map(add_one, range(200), max_concurrency=3))


@case(
    "a map over unserialisable items is an error at the call, and asks for nothing",
    completes(["CodecError", "hello"], scheduled=("0 greet",)),
)
@app.orchestration
def mapped_objects(ctx: ost.OrchestrationContext) -> Flow:
    try:
        ctx.map(echo, [1, object()])
    except ost.CodecError as error:
        return [type(error).__name__, (yield ctx.call_activity(greet))]


@case("a task_all is awaited while an activity that nobody awaits runs", completes([[1], 1]))
@app.orchestration
def unawaited_beside(ctx: ost.OrchestrationContext) -> Flow:
    beside = ctx.call_activity(note, "beside")
    both = yield ctx.task_all([ctx.call_activity(add_one, 0)])
    return [both, (yield beside)]
