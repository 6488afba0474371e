from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

import ostinato as ost
from ostinato.actions import Completed, CompleteOrchestration, Failed, ScheduleTask
from ostinato.events import Event
from ostinato.replay import Orchestration, replay
from ostinato.rewind import Rewind, plan_rewind
from tests.histories import (
    Flow,
    child,
    child_completed,
    child_failed,
    completed,
    ended,
    failed,
    fired,
    outcome_of,
    raised,
    rewound,
    scheduled,
    sent,
    started,
    timer,
    turn,
)


@pytest.fixture
def app() -> ost.App:
    app = ost.App("rewind")
    for name in ("a", "b", "c"):
        app.foreign_activity(name)
    app.foreign_orchestration("kid")
    return app


def failing(app: ost.App, *history: Event) -> list[Event]:
    """A history with the end that its last event brought."""
    outcome = outcome_of(app.registry, history)
    assert isinstance(outcome, Failed), outcome
    return [*history, ended("Failed", failure=outcome.failure)]


def dropped(history: list[Event], plan: Rewind) -> list[Event]:
    return [history[position] for position in plan.dropped]


def after(app: ost.App, history: list[Event], plan: Rewind, *events: Event) -> Orchestration:
    """The instance once it is rewound and has had further events."""
    orchestration = Orchestration(app.registry)
    orchestration.replay([*history, turn(100), rewound(*plan.dropped), *events])
    return orchestration


def test_a_failed_attempt_runs_again_and_nothing_else(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        first = yield ctx.call_activity("a")
        second = yield ctx.call_activity("b")
        return [first, second]

    history = failing(
        app,
        turn(),
        started("flow"),
        scheduled(0, "a"),
        completed(0, 1),
        again := scheduled(1, "b"),
        wrong := failed(1, ValueError()),
    )
    plan = plan_rewind(app.registry, history)
    assert dropped(history, plan) == [wrong, history[-1]]
    assert plan.in_flight == (again,)
    assert after(app, history, plan, completed(1, 2)).outcome == Completed("[1,2]")


def test_all_that_failed_in_a_fan_out_runs_again_and_what_succeeded_stays(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        return (yield ctx.map("a", [0, 1, 2, 3]))

    history = failing(
        app,
        turn(),
        started("flow"),
        *(scheduled(number, "a", number) for number in range(4)),
        completed(0, "0"),
        failed(3, ValueError()),
        completed(1, "1"),
        failed(2, KeyError()),
    )
    plan = plan_rewind(app.registry, history)
    assert plan.in_flight == (scheduled(2, "a", 2), scheduled(3, "a", 3))
    end = after(app, history, plan, completed(3, "3"), completed(2, "2")).outcome
    assert end == Completed('["0","1","2","3"]')


def test_only_the_last_attempt_is_forgotten(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        return (yield ctx.call_activity("a", retry=ost.RetryPolicy(2, 5)))

    last = scheduled(2, "a", attempt=2, first_id=0)
    history = failing(
        app,
        turn(),
        started("flow"),
        scheduled(0, "a"),
        failed(0, ValueError()),
        timer(1, 5),
        fired(1, 5),
        last,
        wrong := failed(2, ValueError()),
    )
    plan = plan_rewind(app.registry, history)
    assert dropped(history, plan) == [wrong, history[-1]]
    assert plan.in_flight == (last,)
    assert after(app, history, plan, completed(2, 7)).outcome == Completed("7")


def test_what_was_scheduled_after_the_failure_is_forgotten_with_its_end(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        try:
            return (yield ctx.call_activity("a"))
        except ValueError:
            ctx.send_event("other", "trouble")
            yield ctx.call_activity("b")
            raise

    history = failing(
        app,
        turn(),
        started("flow"),
        scheduled(0, "a"),
        wrong := failed(0, ValueError()),
        told := sent(1, "other", "trouble"),
        cleaning := scheduled(2, "b"),
        raised("seen"),
        cleaned := completed(2),
    )
    plan = plan_rewind(app.registry, history)
    assert dropped(history, plan) == [wrong, told, cleaning, cleaned, history[-1]]
    assert plan.in_flight == (scheduled(0, "a"),)
    assert after(app, history, plan, completed(0, 7)).outcome == Completed("7")


def test_a_failure_that_was_handled_stays(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        with suppress(ValueError):
            yield ctx.call_activity("a")
        return (yield ctx.call_activity("b"))

    history = failing(
        app,
        turn(),
        started("flow"),
        scheduled(0, "a"),
        failed(0, ValueError()),
        scheduled(1, "b"),
        failed(1, KeyError()),
    )
    plan = plan_rewind(app.registry, history)
    assert plan.in_flight == (scheduled(1, "b"),)
    assert after(app, history, plan, completed(1, 7)).outcome == Completed("7")


def test_what_was_in_flight_beside_the_failure_is_dispatched_again(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        slow, deadline = ctx.call_activity("a"), ctx.create_timer(timedelta(hours=1))
        kid = ctx.call_sub_orchestrator("kid")
        yield ctx.call_activity("b")
        yield ctx.task_all([slow, deadline, kid])

    history = failing(
        app,
        turn(),
        started("flow"),
        scheduled(0, "a"),
        timer(1, 3600),
        child(2, "kid"),
        scheduled(3, "b"),
        failed(3, ValueError()),
    )
    plan = plan_rewind(app.registry, history)
    assert plan.in_flight == (
        scheduled(0, "a"),
        timer(1, 3600),
        child(2, "kid"),
        scheduled(3, "b"),
    )


def test_a_failed_child_is_asked_for_again(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        return (yield ctx.call_sub_orchestrator("kid"))

    history = failing(
        app, turn(), started("flow"), child(0, "kid"), child_failed(0, ValueError("no"))
    )
    plan = plan_rewind(app.registry, history)
    assert plan.in_flight == (child(0, "kid"),)
    assert after(app, history, plan, child_completed(0, 7)).outcome == Completed("7")


def test_an_error_of_the_orchestrators_own_loses_its_end_alone(app: ost.App):
    broken = True

    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        value = yield ctx.call_activity("a")
        if broken:
            raise ZeroDivisionError
        return value

    history = failing(app, turn(), started("flow"), scheduled(0, "a"), completed(0, 7))
    broken = False
    plan = plan_rewind(app.registry, history)
    assert dropped(history, plan) == [history[-1]]
    assert plan.in_flight == ()
    assert after(app, history, plan).outcome == Completed("7")


def test_an_unknown_name_is_asked_for_again_once_it_is_known(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        yield ctx.call_activity("a")
        yield ctx.call_activity("late")

    history = failing(app, turn(), started("flow"), scheduled(0, "a"), completed(0))
    app.foreign_activity("late")
    plan = plan_rewind(app.registry, history)
    assert after(app, history, plan).take_actions() == [
        ScheduleTask(task_id=1, name="late", input="null")
    ]


def test_a_mended_mismatch_goes_on(app: ost.App):
    called = "b"

    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        return (yield ctx.call_activity(called))

    history = failing(app, turn(), started("flow"), scheduled(0, "a"))
    called = "a"
    plan = plan_rewind(app.registry, history)
    assert dropped(history, plan) == [history[-1]]
    assert plan.in_flight == (scheduled(0, "a"),)
    assert after(app, history, plan, completed(0, 7)).outcome == Completed("7")


def test_the_recorded_failure_tells_where_the_changed_code_no_longer_fails(app: ost.App):
    lenient = False

    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        try:
            return (yield ctx.call_activity("a"))
        except ValueError:
            if not lenient:
                raise
            return "let go"

    wrong = failed(0, ost.Failure("ValueError", "no", bases=("builtins.ValueError",), task="a"))
    history = failing(app, turn(), started("flow"), scheduled(0, "a"), wrong)
    lenient = True
    plan = plan_rewind(app.registry, history)
    assert dropped(history, plan) == [wrong, history[-1]]
    assert plan.in_flight == (scheduled(0, "a"),)


def test_an_instance_can_be_rewound_again_and_again(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        return (yield ctx.call_activity("a"))

    history = failing(app, turn(), started("flow"), scheduled(0, "a"), failed(0, ValueError()))
    for _ in range(3):
        plan = plan_rewind(app.registry, history)
        assert plan.in_flight == (scheduled(0, "a"),)
        assert scheduled(0, "a") not in dropped(history, plan)
        history = failing(
            app, *history, turn(100), rewound(*plan.dropped), turn(101), failed(0, ValueError())
        )
    kinds = [type(event).__name__ for event in dropped(history, plan_rewind(app.registry, history))]
    assert kinds == ["TaskFailed", "ExecutionCompleted"] * 4
    plan = plan_rewind(app.registry, history)
    assert after(app, history, plan, completed(0, 7)).outcome == Completed("7")


def test_what_an_earlier_rewind_dropped_stays_dropped(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        try:
            yield ctx.call_activity("a")
        except ValueError:
            ctx.send_event("other", "trouble")
            yield ctx.task_all([ctx.call_activity("c"), ctx.call_activity("c")])
            raise
        return (yield ctx.call_activity("b"))

    history = failing(
        app,
        turn(),
        started("flow"),
        scheduled(0, "a"),
        failed(0, ValueError()),
        sent(1, "other", "trouble"),
        scheduled(2, "c"),
        scheduled(3, "c"),
        completed(2),
        completed(3),
    )
    first = plan_rewind(app.registry, history)
    assert first.dropped == (3, 4, 5, 6, 7, 8, 9)
    history = failing(
        app,
        *history,
        turn(100),
        rewound(*first.dropped),
        turn(101),
        completed(0),
        again := scheduled(1, "b"),
        turn(102),
        wrong := failed(1, KeyError()),
    )
    second = plan_rewind(app.registry, history)
    assert set(first.dropped) < set(second.dropped)
    assert dropped(history, second)[len(first.dropped) :] == [wrong, history[-1]]
    assert second.in_flight == (again,)
    assert after(app, history, second, completed(1, 7)).outcome == Completed("7")


def test_a_rewound_end_is_asked_for_anew(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        return (yield ctx.call_activity("a"))

    history = failing(app, turn(), started("flow"), scheduled(0, "a"), failed(0, ValueError()))
    plan = plan_rewind(app.registry, history)
    later: list[Any] = [turn(100), rewound(*plan.dropped), completed(0, 7)]
    assert replay(app.registry, [*history, *later]) == [CompleteOrchestration(Completed("7"))]
