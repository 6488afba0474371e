"""Tasks, seen by the orchestrators that hold them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

import ostinato as ost
from ostinato.actions import (
    CancelTimer,
    Completed,
    CreateSubOrchestration,
    CreateTimer,
    Failed,
    ScheduleTask,
)
from ostinato.events import Event
from ostinato.failures import Failure
from ostinato.replay import replay
from tests.histories import (
    Flow,
    at,
    child,
    child_completed,
    child_failed,
    completed,
    ends,
    failed,
    fed,
    fired,
    live,
    outcome_of,
    raised,
    scheduled,
    started,
    timer,
    turn,
)


class Declined(Exception):
    pass


@pytest.fixture
def app() -> ost.App:
    app = ost.App("tasks")
    for name in ("a", "b", "c"):
        app.foreign_activity(name)
    app.foreign_orchestration("kid")

    @app.activity(raises=[Declined])
    def typed(number: int) -> list[int]:
        return [number]

    return app


def begin(app: ost.App, orchestrator: Any) -> list[Any]:
    """The first turn of an orchestrator that is called ``flow``."""
    app.orchestration(name="flow")(orchestrator)
    return [turn(), started("flow")]


def output(app: ost.App, history: list[Any]) -> Any:
    outcome = outcome_of(app.registry, history)
    assert isinstance(outcome, Completed), outcome
    return json.loads(outcome.output)


# What a task tells


def test_a_running_task_has_no_result_yet(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        task = ctx.call_activity("a")
        before = [task.is_completed, task.is_faulted, task.is_cancelled, task.result]
        yield task
        return [before, [task.is_completed, task.is_faulted, task.is_cancelled, task.result]]

    history: list[Event] = [*begin(app, flow), scheduled(0, "a"), completed(0, 5)]
    assert output(app, history) == [[False, False, False, None], [True, False, False, 5]]


def test_the_result_of_a_failed_task_is_its_exception_and_reading_it_does_not_raise(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        task = ctx.call_activity("a")
        yield ctx.task_any([task])
        assert isinstance(task.result, ValueError)
        assert isinstance(task.result, ost.TaskFailedError)
        return [task.is_completed, task.is_faulted, task.is_cancelled, task.result.failure.message]

    history: list[Event] = [*begin(app, flow), scheduled(0, "a"), failed(0, ValueError("no"))]
    assert output(app, history) == [True, True, False, "no"]


def test_yield_from_gives_what_yield_gives(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        task = ctx.call_activity("a")
        return [(yield task), (yield from task)]

    assert output(app, [*begin(app, flow), scheduled(0, "a"), completed(0, 5)]) == [5, 5]


def test_a_finished_task_can_be_yielded_again_and_again_raises(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        task = ctx.call_activity("a")
        caught = 0
        for _ in range(3):
            try:
                yield task
            except ValueError:
                caught += 1
        return caught

    assert output(app, [*begin(app, flow), scheduled(0, "a"), failed(0, ValueError())]) == 3


def test_a_result_is_decoded_by_the_annotation_or_as_the_call_says(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        by_annotation = yield ctx.call_activity("typed", 1)
        as_told = yield ctx.call_activity("a", None, timedelta)
        return [by_annotation, as_told == timedelta(minutes=1)]

    history: list[Event] = [*begin(app, flow), scheduled(0, "typed", 1), completed(0, [1])]
    history += [scheduled(1, "a"), completed(1, timedelta(minutes=1))]
    assert output(app, history) == [[1], True]


def test_a_result_that_does_not_fit_its_annotation_is_an_error_at_the_yield(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        try:
            yield ctx.call_activity("typed", 1)
        except ost.CodecError as error:
            return "activity 'typed'" in str(error)

    history: list[Event] = [*begin(app, flow), scheduled(0, "typed", 1), completed(0, "words")]
    assert output(app, history) is True


# Attempts


RETRY = ost.RetryPolicy(3, 10, backoff=2)


def retried(ctx: ost.OrchestrationContext) -> Flow:
    return (yield ctx.call_activity("a", 7, retry=RETRY))


def test_an_attempt_that_failed_is_followed_by_a_timer_and_the_next_attempt(app: ost.App):
    first = begin(app, retried)
    orchestration, actions = live(app.registry, *first)
    assert actions == [ScheduleTask(task_id=0, name="a", input="7")]
    actions = fed(orchestration, turn(5), failed(0, ValueError()))
    assert actions == [CreateTimer(task_id=1, due=at(15))]
    actions = fed(orchestration, turn(15), fired(1, 15))
    assert actions == [ScheduleTask(task_id=2, name="a", input="7", attempt=2, first_id=0)]
    actions = fed(orchestration, turn(20), failed(2, ValueError()))
    assert actions == [CreateTimer(task_id=3, due=at(40))]
    actions = fed(orchestration, turn(40), fired(3, 40))
    assert actions == [ScheduleTask(task_id=4, name="a", input="7", attempt=3, first_id=0)]
    assert fed(orchestration, turn(41), completed(4, "at last")) == ends(Completed('"at last"'))


def test_the_last_attempts_failure_is_raised(app: ost.App):
    history: list[Event] = [
        *begin(app, retried),
        scheduled(0, "a", 7),
        failed(0, KeyError("one")),
        timer(1, 10),
    ]
    history += [fired(1, 10), scheduled(2, "a", 7, attempt=2, first_id=0)]
    history += [failed(2, KeyError("two")), timer(3, 30), fired(3, 30)]
    history += [scheduled(4, "a", 7, attempt=3, first_id=0), failed(4, ValueError("three"))]
    outcome = outcome_of(app.registry, history)
    assert isinstance(outcome, Failed)
    assert (outcome.failure.type, outcome.failure.message) == ("ValueError", "three")


def test_attempts_without_a_pause_follow_at_once(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        yield ctx.call_activity("a", retry=ost.RetryPolicy(2, 0))

    history: list[Event] = [*begin(app, flow), scheduled(0, "a"), failed(0, ValueError())]
    assert replay(app.registry, history) == [
        ScheduleTask(task_id=1, name="a", input="null", attempt=2, first_id=0)
    ]


def test_no_attempt_follows_once_the_total_timeout_has_passed_when_a_failure_arrives(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        yield ctx.call_activity("a", retry=ost.RetryPolicy(9, 10, timeout=60))

    first: list[Event] = [*begin(app, flow), scheduled(0, "a")]
    assert replay(app.registry, [*first, turn(59), failed(0, ValueError())]) == [
        CreateTimer(task_id=1, due=at(69))
    ]
    assert isinstance(outcome_of(app.registry, [*first, turn(60), failed(0, ValueError())]), Failed)


def test_only_matching_failures_are_retried(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        yield ctx.call_activity("a", retry=ost.RetryPolicy(9, retry_on=OSError))

    first: list[Event] = [*begin(app, flow), scheduled(0, "a")]
    assert replay(app.registry, [*first, failed(0, ConnectionError())]) != []
    assert isinstance(outcome_of(app.registry, [*first, failed(0, ValueError())]), Failed)


def test_a_retry_predicate_that_raises_fails_the_task_with_its_error(app: ost.App):
    def broken(failure: Failure) -> bool:
        raise ZeroDivisionError("in the predicate")

    def flow(ctx: ost.OrchestrationContext) -> Flow:
        try:
            yield ctx.call_activity("a", retry=ost.RetryPolicy(9, retry_on=broken))
        except ZeroDivisionError:
            return "caught"

    history: list[Event] = [*begin(app, flow), scheduled(0, "a"), failed(0, ValueError())]
    assert output(app, history) == "caught"


def test_jitter_hashes_the_execution_the_first_task_and_the_attempt(app: ost.App):
    policy = ost.RetryPolicy(9, 100, jitter=0.5)

    def flow(ctx: ost.OrchestrationContext) -> Flow:
        yield ctx.call_activity("b")
        yield ctx.call_activity("a", retry=policy)

    history: list[Event] = [*begin(app, flow), scheduled(0, "b"), completed(0), scheduled(1, "a")]
    [action] = replay(app.registry, [*history, failed(1, ValueError())])
    assert isinstance(action, CreateTimer)
    first = policy.next_delay(1, 0, "e:1")
    assert first is not None
    assert action.due == at(first)
    history += [failed(1, ValueError()), timer(2, first), turn(200), fired(2, first)]
    history += [scheduled(3, "a", attempt=2, first_id=1), failed(3, ValueError())]
    second = policy.next_delay(2, 0, "e:1")
    assert second is not None
    assert replay(app.registry, history) == [CreateTimer(task_id=4, due=at(200 + second))]


def test_the_policy_of_the_decorator_counts_unless_the_call_has_its_own(app: ost.App):
    app.activity(name="patient", retry=ost.RetryPolicy(2, 5), timeout=9)(lambda: None)

    def flow(ctx: ost.OrchestrationContext) -> Flow:
        yield ctx.task_all(
            [
                ctx.call_activity("patient"),
                ctx.call_activity("patient", retry=ost.RetryPolicy(1), timeout=1),
            ]
        )

    orchestration, actions = live(app.registry, *begin(app, flow))
    assert [a.timeout for a in actions if isinstance(a, ScheduleTask)] == [9.0, 1.0]
    assert fed(orchestration, failed(0, ValueError()), failed(1, ValueError())) == [
        CreateTimer(task_id=2, due=at(5))
    ]


# Children


def test_a_childs_default_id_is_that_of_the_execution_and_the_task(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        yield ctx.call_activity("a")
        return (yield ctx.call_sub_orchestrator("kid", 1))

    history: list[Event] = [*begin(app, flow), scheduled(0, "a"), completed(0)]
    assert replay(app.registry, history) == [
        CreateSubOrchestration(task_id=1, name="kid", instance_id="e:1", input="1")
    ]
    history += [child(1, "kid", 1), child_completed(1, "grown")]
    assert output(app, history) == "grown"


def test_a_child_that_is_tried_again_is_another_instance_unless_its_id_was_given(app: ost.App):
    policy = ost.RetryPolicy(2, 0)

    def flow(ctx: ost.OrchestrationContext) -> Flow:
        yield ctx.task_all(
            [
                ctx.call_sub_orchestrator("kid", retry=policy),
                ctx.call_sub_orchestrator("kid", None, "mine", retry=policy),
            ]
        )

    orchestration, _ = live(app.registry, *begin(app, flow))
    actions = fed(orchestration, child_failed(0, ValueError()), child_failed(1, ValueError()))
    assert [a.instance_id for a in actions if isinstance(a, CreateSubOrchestration)] == [
        "e:2",
        "mine",
    ]


# Timers


def test_a_cancelled_timer_is_done_and_the_host_is_told(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        timer = ctx.create_timer(timedelta(hours=1))
        yield ctx.call_activity("a")
        timer.cancel()
        timer.cancel()
        ctx.set_custom_status([timer.is_completed, timer.is_cancelled, timer.is_faulted])
        yield ctx.call_activity("b")

    orchestration, _ = live(app.registry, *begin(app, flow))
    actions = fed(orchestration, completed(1))
    assert actions == [ScheduleTask(task_id=2, name="b", input="null"), CancelTimer(task_id=0)]
    assert orchestration.custom_status == "[true,true,true]"
    assert not orchestration.is_open(0)
    assert fed(orchestration, fired(0, 3600)) == []
    assert orchestration.clock == at(0)


def test_awaiting_a_cancelled_timer_raises(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        timer = ctx.create_timer(timedelta(hours=1))
        timer.cancel()
        try:
            yield timer
        except ost.TaskCancelledError as error:
            return str(error)

    assert output(app, begin(app, flow)) == "the timer due at 2026-03-01 13:00:00 UTC was cancelled"


def test_a_timer_that_has_fired_cannot_be_cancelled(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        timer = ctx.create_timer(timedelta(hours=1))
        yield timer
        try:
            timer.cancel()
        except ValueError as error:
            return str(error)

    history: list[Event] = [*begin(app, flow), timer(0, 3600), fired(0, 3600)]
    assert output(app, history) == "Cannot cancel a completed task."


def test_a_timer_knows_when_it_is_due(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        yield from ()
        return ctx.create_timer(timedelta(hours=1)).due == at(3600)

    assert output(app, begin(app, flow)) is True


# External events


def test_a_wait_takes_no_task_id(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        wait = ctx.wait_for_external_event("go")
        yield ctx.call_activity("a")
        return [wait.event_name, (yield wait)]

    orchestration, actions = live(app.registry, *begin(app, flow))
    assert actions == [ScheduleTask(task_id=0, name="a", input="null")]
    assert fed(orchestration, raised("go", 5), completed(0)) == ends(Completed('["go",5]'))


def test_a_wait_with_a_deadline_takes_a_timer_which_the_event_cancels(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        yield ctx.wait_for_external_event("go", timeout=60)
        yield ctx.call_activity("a")

    orchestration, actions = live(app.registry, *begin(app, flow))
    assert actions == [CreateTimer(task_id=0, due=at(60))]
    assert fed(orchestration, turn(30), raised("go")) == [
        ScheduleTask(task_id=1, name="a", input="null"),
        CancelTimer(task_id=0),
    ]


def test_a_wait_that_times_out_raises_and_is_withdrawn(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        try:
            yield ctx.wait_for_external_event("go", timeout=60)
        except TimeoutError as error:
            assert isinstance(error, ost.TaskFailedError)
            late = yield ctx.wait_for_external_event("go")
            return [error.failure.message, late]

    history: list[Event] = [
        *begin(app, flow),
        timer(0, 60),
        turn(60),
        fired(0, 60),
        turn(70),
        raised("go", 5),
    ]
    assert output(app, history) == ["no event 'go' came by 2026-03-01T12:01:00+00:00", 5]


def test_an_event_that_comes_after_the_deadline_is_kept_for_the_next_waiter(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        yield ctx.task_any([ctx.wait_for_external_event("go", timeout=60)])
        yield ctx.call_activity("a")
        return (yield ctx.wait_for_external_event("go"))

    history: list[Event] = [*begin(app, flow), timer(0, 60), fired(0, 60), scheduled(1, "a")]
    assert output(app, [*history, raised("go", 5), completed(1)]) == 5


def test_a_timer_that_was_cancelled_in_the_past_is_not_cancelled_again(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        timer = ctx.create_timer(timedelta(hours=1))
        yield ctx.call_activity("a")
        timer.cancel()
        yield ctx.call_activity("b")

    history: list[Event] = [*begin(app, flow), timer(0, 3600), scheduled(1, "a"), completed(1)]
    assert replay(app.registry, [*history, scheduled(2, "b")]) == []


def test_a_wait_for_an_event_that_came_early_takes_no_timer(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        yield ctx.call_activity("a")
        return (yield ctx.wait_for_external_event("go", timeout=60))

    history: list[Event] = [*begin(app, flow), scheduled(0, "a"), raised("go", 1), raised("go", 2)]
    assert replay(app.registry, [*history, completed(0)]) == ends(Completed("1"))


def test_a_cancelled_wait_leaves_the_event_to_the_next_waiter(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        first = ctx.wait_for_external_event("go")
        second = ctx.wait_for_external_event("go", timeout=60)
        second.cancel()
        second.cancel()
        assert second.is_cancelled
        yield ctx.call_activity("a")
        return [first.result, first.is_completed]

    orchestration, actions = live(app.registry, *begin(app, flow))
    assert CancelTimer(task_id=0) in actions
    assert fed(orchestration, raised("go", 5), completed(1)) == ends(Completed("[5,true]"))


def test_a_wait_that_has_its_event_cannot_be_cancelled(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        wait = ctx.wait_for_external_event("go")
        yield wait
        with pytest.raises(ValueError, match="Cannot cancel a completed task"):
            wait.cancel()
        return True

    assert output(app, [*begin(app, flow), raised("go")]) is True


def test_an_events_data_is_decoded_as_the_wait_says(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        pause = yield ctx.wait_for_external_event("pause", timedelta)
        return pause == timedelta(minutes=1)

    assert output(app, [*begin(app, flow), raised("pause", timedelta(minutes=1))]) is True


# Groups


def test_all_waits_for_every_child_and_gives_results_in_order(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        return (yield ctx.task_all([ctx.call_activity(name) for name in "abc"]))

    orchestration, _ = live(app.registry, *begin(app, flow))
    assert fed(orchestration, completed(2, "C")) == []
    assert fed(orchestration, completed(0, "A")) == []
    assert fed(orchestration, completed(1, "B")) == ends(Completed('["A","B","C"]'))


def test_all_of_nothing_is_done_at_once(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        return (yield ctx.task_all([]))

    assert output(app, begin(app, flow)) == []


def test_all_raises_the_failure_that_came_first_but_only_when_every_child_is_done(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        yield ctx.task_all([ctx.call_activity(name) for name in "abc"])

    orchestration, _ = live(app.registry, *begin(app, flow))
    assert fed(orchestration, failed(2, ValueError("first"))) == []
    assert fed(orchestration, failed(0, ValueError("second"))) == []
    fed(orchestration, completed(1))
    assert isinstance(orchestration.outcome, Failed)
    assert orchestration.outcome.failure.message == "first"


def test_all_of_children_that_are_done_already_raises_the_first_failure_of_history(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        a, b = ctx.call_activity("a"), ctx.call_activity("b")
        yield ctx.call_activity("c")
        yield ctx.task_all([a, b])

    history: list[Event] = [
        *begin(app, flow),
        scheduled(0, "a"),
        scheduled(1, "b"),
        scheduled(2, "c"),
    ]
    history += [failed(1, ValueError("first")), failed(0, ValueError("second")), completed(2)]
    outcome = outcome_of(app.registry, history)
    assert isinstance(outcome, Failed)
    assert outcome.failure.message == "first"


def test_the_same_task_may_be_awaited_several_times_in_a_group(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        task = ctx.call_activity("a")
        winner = ctx.task_any([task, task])
        both = yield ctx.task_all([task, task])
        return [both, (yield winner) is task]

    assert output(app, [*begin(app, flow), scheduled(0, "a"), completed(0, 1)]) == [[1, 1], True]


def test_any_gives_the_first_to_finish_failed_or_not(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        a, b = ctx.call_activity("a"), ctx.call_activity("b")
        winner = yield ctx.task_any([a, b])
        return [winner is b, winner.is_faulted]

    first: list[Event] = [*begin(app, flow), scheduled(0, "a"), scheduled(1, "b")]
    assert output(app, [*first, failed(1, ValueError())]) == [True, True]
    assert output(app, [*first, completed(0), completed(1)]) == [False, False]


def test_any_of_tasks_that_are_done_already_gives_the_first_of_history(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        a, b = ctx.call_activity("a"), ctx.call_activity("b")
        yield ctx.task_all([a, b])
        return (yield ctx.task_any([a, b])) is b

    history: list[Event] = [
        *begin(app, flow),
        scheduled(0, "a"),
        scheduled(1, "b"),
        completed(1),
        completed(0),
    ]
    assert output(app, history) is True


def test_groups_nest(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        a, b, c = (ctx.call_activity(name) for name in "abc")
        pair, winner = yield ctx.task_all([ctx.task_all([a, b]), ctx.task_any([b, c])])
        return [pair, winner is c]

    orchestration, _ = live(app.registry, *begin(app, flow))
    assert fed(orchestration, completed(2), completed(0, "A")) == []
    assert fed(orchestration, completed(1, "B")) == ends(Completed('[["A","B"],true]'))


def test_a_cancelled_child_wins_as_a_finished_one(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        timer = ctx.create_timer(timedelta(hours=1))
        group = ctx.task_any([timer, ctx.call_activity("a")])
        timer.cancel()
        return [(yield group) is timer, group.is_completed]

    assert output(app, begin(app, flow)) == [True, True]


def test_a_loser_that_finishes_later_disturbs_nothing(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        a, b = ctx.call_activity("a"), ctx.call_activity("b")
        group = ctx.task_any([a, b])
        yield group
        yield b
        return (yield group) is a

    history: list[Event] = [
        *begin(app, flow),
        scheduled(0, "a"),
        scheduled(1, "b"),
        completed(0),
        completed(1),
    ]
    assert output(app, history) is True


# One way


def test_what_is_sent_brings_no_answer(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        ctx.send_event("other", "go", [1])
        ctx.start_orchestration("kid", 2)
        yield from ()

    orchestration, actions = live(app.registry, *begin(app, flow))
    assert [getattr(a, "task_id", None) for a in actions] == [0, 1, None]
    assert not orchestration.is_open(0)
    assert not orchestration.is_open(1)


# What an orchestrator waits for, in words


def test_waits_are_told_in_words(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        yield ctx.task_all(
            [
                ctx.call_activity("a", retry=ost.RetryPolicy(2, 10)),
                ctx.call_activity("b", retry=ost.RetryPolicy(2, 0)),
                ctx.call_sub_orchestrator("kid"),
                ctx.task_any([ctx.create_timer(timedelta(hours=1))]),
                ctx.wait_for_external_event("go"),
            ]
        )

    orchestration, _ = live(app.registry, *begin(app, flow))
    assert orchestration.waiting_for() == [
        "activity 'a' (task 0)",
        "activity 'b' (task 1)",
        "child 'kid' 'e:2' (task 2)",
        "the timer due at 2026-03-01 13:00:00 UTC",
        "event 'go'",
    ]
    fed(orchestration, failed(0, ValueError()), failed(1, ValueError()), raised("go"))
    assert orchestration.waiting_for() == [
        "the retry of activity 'a' at 2026-03-01 12:00:10 UTC",
        "activity 'b' (task 5, attempt 2)",
        "child 'kid' 'e:2' (task 2)",
        "the timer due at 2026-03-01 13:00:00 UTC",
    ]


def test_the_failure_that_came_first_is_raised_however_deep_it_lies(app: ost.App):
    @app.orchestration
    def nested(ctx: ost.OrchestrationContext) -> Flow:
        inner = ctx.task_all([ctx.call_activity("a"), ctx.call_activity("b")])
        yield ctx.task_all([inner, ctx.call_activity("c")])

    history: list[Event] = [turn(), started("nested")]
    history += [scheduled(i, name) for i, name in enumerate("abc")]
    history += [turn(1), failed(0, ValueError("first")), failed(2, KeyError("second"))]
    outcome = outcome_of(app.registry, [*history, completed(1)])
    assert isinstance(outcome, Failed)
    assert outcome.failure.message == "first"


def test_the_result_that_does_not_fit_its_annotation_is_an_error_not_raised(app: ost.App):
    @app.orchestration
    def mistaken(ctx: ost.OrchestrationContext) -> Flow:
        task = ctx.call_activity("typed", 1)
        yield ctx.task_any([task])
        return type(task.result).__name__

    history: list[Event] = [turn(), started("mistaken"), scheduled(0, "typed", 1)]
    history += [turn(1), completed(0, "no")]
    assert outcome_of(app.registry, history) == Completed('"CodecError"')
