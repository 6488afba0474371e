"""Replay: turns, mismatches, suspension, endings, versions, closing."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

import ostinato as ost
from ostinato import events as ev
from ostinato.actions import (
    Completed,
    CompleteOrchestration,
    ContinuedAsNew,
    CreateTimer,
    Failed,
    RecordMarker,
    ScheduleTask,
    TerminateChild,
    Terminated,
)
from ostinato.definitions import UNVERSIONED
from ostinato.events import Event
from ostinato.replay import Orchestration, replay, rewound_positions
from tests.histories import (
    Flow,
    at,
    child,
    child_completed,
    completed,
    ended,
    ends,
    failed,
    fed,
    fired,
    live,
    marker,
    outcome_of,
    raised,
    resumed,
    rewound,
    scheduled,
    sent,
    started,
    suspended,
    terminated,
    timer,
    turn,
)


@pytest.fixture
def app() -> ost.App:
    app = ost.App("replay")
    for name in ("a", "b", "c"):
        app.foreign_activity(name)
    app.foreign_orchestration("kid")
    app.orchestration(chain)
    return app


@pytest.fixture
def unraisable(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the interpreter could raise nowhere."""
    seen: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", seen.append)
    return seen


def chain(ctx: ost.OrchestrationContext) -> Flow:
    first = yield ctx.call_activity("a", 1)
    return (yield ctx.call_activity("b", first))


BEGUN: list[Event] = [turn(), started("chain")]
HALF: list[Event] = [*BEGUN, scheduled(0, "a", 1), turn(), completed(0, "A")]
WHOLE: list[Event] = [*HALF, scheduled(1, "b", "A"), turn(), completed(1, "B")]


def failure_of(app: ost.App, *history: Event) -> ost.Failure:
    outcome = outcome_of(app.registry, history)
    assert isinstance(outcome, Failed), outcome
    return outcome.failure


def mismatch(app: ost.App, *history: Event) -> str:
    failure = failure_of(app, *history)
    assert failure.type == "NonDeterminismError"
    assert failure.bases == ("ostinato.errors.NonDeterminismError",)
    return failure.message


# What comes next


def test_nothing_follows_from_nothing(app: ost.App):
    assert replay(app.registry, []) == []


def test_the_first_task_is_requested_at_the_start(app: ost.App):
    assert replay(app.registry, BEGUN) == [ScheduleTask(task_id=0, name="a", input="1")]


def test_nothing_is_requested_while_a_task_runs(app: ost.App):
    assert replay(app.registry, [*BEGUN, scheduled(0, "a", 1)]) == []


def test_the_second_task_is_requested_once_the_first_completes(app: ost.App):
    assert replay(app.registry, HALF) == [ScheduleTask(task_id=1, name="b", input='"A"')]


def test_the_end_is_requested_once_the_orchestrator_returns(app: ost.App):
    assert replay(app.registry, WHOLE) == ends(Completed('"B"'))


def test_an_end_that_is_recorded_is_not_requested_again(app: ost.App):
    assert replay(app.registry, [*WHOLE, ended("Completed", "B")]) == []


def test_what_is_asked_for_is_taken_once(app: ost.App):
    orchestration, actions = live(app.registry, *BEGUN)
    assert len(actions) == 1
    assert orchestration.take_actions() == []


def test_a_live_orchestration_takes_up_where_its_history_ends(app: ost.App):
    orchestration = Orchestration(app.registry)
    orchestration.replay(HALF[:3])
    assert fed(orchestration, *HALF[3:]) == [ScheduleTask(task_id=1, name="b", input='"A"')]
    assert fed(orchestration, turn(), completed(1, "B")) == ends(Completed('"B"'))
    assert orchestration.take_actions() == []


def test_an_orchestration_tells_about_itself(app: ost.App):
    orchestration = Orchestration(app.registry)
    assert (orchestration.instance_id, orchestration.execution_id, orchestration.name) == ("",) * 3
    fed(orchestration, turn(5), started("chain"))
    assert orchestration.instance_id == "i"
    assert orchestration.execution_id == "e"
    assert orchestration.name == "chain"
    assert orchestration.version is None
    assert orchestration.clock == at(5)
    assert orchestration.custom_status is None
    assert orchestration.outcome is None
    assert not orchestration.suspended
    assert orchestration.weight == 1
    assert orchestration.is_open(0)
    assert not orchestration.is_open(1)
    assert orchestration.waiting_for() == ["activity 'a' (task 0)"]


def test_a_task_runs_even_if_it_is_never_yielded(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        ctx.call_activity("a")
        yield from ()
        return 1

    assert replay(app.registry, [turn(), started("flow")]) == [
        ScheduleTask(task_id=0, name="a", input="null"),
        CompleteOrchestration(Completed("1")),
    ]


def test_an_orchestrator_runs_to_its_next_wait_before_the_next_event(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        seen = []
        a, b = ctx.call_activity("a"), ctx.call_activity("b")
        yield a
        seen.append(b.is_completed)
        yield b
        return seen

    history: list[Event] = [turn(), started("flow"), scheduled(0, "a"), scheduled(1, "b")]
    assert replay(app.registry, [*history, completed(0), completed(1)]) == ends(
        Completed("[false]")
    )
    assert replay(app.registry, [*history, completed(1), completed(0)]) == ends(Completed("[true]"))


# Messages that are not for us


def test_completions_of_finished_unknown_and_cancelled_tasks_are_dropped(app: ost.App):
    history: list[Event] = [
        *HALF,
        completed(0, "again"),
        completed(7),
        fired(9, 1e6),
        child_completed(8),
    ]
    orchestration = Orchestration(app.registry)
    orchestration.replay(history)
    assert orchestration.take_actions() == [ScheduleTask(task_id=1, name="b", input='"A"')]
    assert orchestration.clock == at(0)


def test_what_comes_after_the_end_changes_nothing(app: ost.App):
    history: list[Event] = [
        *WHOLE,
        turn(9),
        completed(1, "C"),
        raised("go"),
        terminated(),
        suspended(),
    ]
    orchestration = Orchestration(app.registry)
    orchestration.replay(history)
    assert orchestration.outcome == Completed('"B"')
    assert not orchestration.suspended
    assert orchestration.waiting_for() == []
    assert not orchestration.is_open(1)


# Mismatches


def test_another_activity_is_a_mismatch_that_names_both_and_the_line(app: ost.App):
    message = mismatch(app, *BEGUN, scheduled(0, "renamed", 1))
    line = chain.__code__.co_firstlineno + 1
    assert "'chain' did not repeat its history" in message
    assert "TaskScheduled 'renamed' as task 0" in message
    assert f"the code asked for ScheduleTask 'a' at {__file__}:{line}" in message
    for mend in ("Undo", "version", "ctx.random", "ctx.new_uuid", "current_utc_datetime", "rewind"):
        assert mend in message


@pytest.mark.parametrize(
    "event",
    [
        timer(0, 5),
        child(0, "a"),
        sent(0, "i", "a"),
        scheduled(1, "a"),
        ev.EntityOperationCalled(at=at(0), task_id=0, entity_id="@a@b", operation="a"),
        ev.EntityOperationSignaled(at=at(0), task_id=0, entity_id="@a@b", operation="a"),
    ],
)
def test_another_kind_or_id_is_a_mismatch(app: ost.App, event: Event):
    mismatch(app, *BEGUN, event)


def test_a_completion_of_another_kind_is_a_mismatch(app: ost.App):
    mismatch(app, *BEGUN, scheduled(0, "a", 1), child_completed(0))
    mismatch(app, *BEGUN, scheduled(0, "a", 1), fired(0, 1))


def test_a_completion_of_what_history_never_scheduled_is_a_mismatch(app: ost.App):
    assert "TaskCompleted as task 0" in mismatch(app, *BEGUN, completed(0))


def test_a_scheduling_event_that_nothing_asked_for_is_a_mismatch(app: ost.App):
    message = mismatch(app, *BEGUN, scheduled(0, "a", 1), scheduled(1, "b"))
    assert "TaskScheduled 'b' as task 1" in message
    assert "asked for nothing" in message
    assert f"it waits at {__file__}:{chain.__code__.co_firstlineno + 1}" in message


def test_a_scheduling_event_after_the_end_is_a_mismatch(app: ost.App):
    assert "it had ended" in mismatch(app, *WHOLE, scheduled(2, "c"))


def test_a_wait_within_a_helper_is_shown_where_the_helper_waits(app: ost.App):
    def helper(ctx: ost.OrchestrationContext) -> Flow:
        return (yield from ctx.call_activity("a"))

    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        yield from helper(ctx)

    history: list[Event] = [turn(), started("flow"), scheduled(0, "a"), scheduled(1, "b")]
    assert f"it waits at {__file__}:{helper.__code__.co_firstlineno + 1}" in mismatch(app, *history)


@pytest.mark.parametrize(
    ("call", "event"),
    [
        (lambda ctx: ctx.call_activity("a"), timer(0, 1)),
        (lambda ctx: ctx.map("a", [1]), timer(0, 1)),
        (lambda ctx: ctx.call_sub_orchestrator("kid"), child(0, "kid", detached=True)),
        (lambda ctx: ctx.call_sub_orchestrator("kid"), child(0, "other")),
        (lambda ctx: ctx.start_orchestration("kid"), child(0, "kid")),
        (lambda ctx: ctx.start_orchestration("kid"), child(0, "other", detached=True)),
        (lambda ctx: ctx.send_event("x", "go"), sent(0, "x", "stop")),
        (lambda ctx: ctx.create_timer(timedelta(1)), scheduled(0, "a")),
        (lambda ctx: ctx.wait_for_external_event("go", timeout=9), scheduled(0, "a")),
        (lambda ctx: ctx.call_http("GET", "http://here/"), scheduled(0, "a")),
    ],
)
def test_every_kind_of_call_is_held_against_history_and_knows_its_line(
    app: ost.App, call: Any, event: Event
):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        call(ctx)
        yield ctx.wait_for_external_event("never")

    message = mismatch(app, turn(), started("flow"), event)
    assert f" at {__file__}:{call.__code__.co_firstlineno}." in message


def test_a_retry_where_history_has_none_is_a_mismatch(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        yield ctx.call_activity("a", retry=ost.RetryPolicy(2, 5))
        yield ctx.call_activity("b")

    begun: list[Event] = [turn(), started("flow"), scheduled(0, "a"), failed(0, ValueError())]
    assert replay(app.registry, begun) == [CreateTimer(task_id=1, due=at(5))]
    mismatch(app, *begun, scheduled(1, "a", attempt=2, first_id=0))


def test_a_mismatch_cannot_be_caught(app: ost.App):
    @app.orchestration
    def stubborn(ctx: ost.OrchestrationContext) -> Flow:
        try:
            yield ctx.call_activity("a")
        except Exception:
            return "caught"

    assert mismatch(app, turn(), started("stubborn"), scheduled(0, "b"))


def test_after_a_mismatch_nothing_is_asked_of_the_host(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        ctx.call_activity("a")
        ctx.call_sub_orchestrator("kid", None, "somebody-elses")
        yield ctx.create_timer(timedelta(1))

    [action] = replay(app.registry, [turn(), started("flow"), scheduled(0, "b")])
    assert isinstance(action, CompleteOrchestration)
    [action] = replay(app.registry, [turn(), started("flow"), scheduled(0, "a"), scheduled(1, "b")])
    assert isinstance(action, CompleteOrchestration)


def test_the_first_mismatch_is_the_one_that_is_told(app: ost.App):
    assert "'x' as task 0" in mismatch(app, *BEGUN, scheduled(0, "x"), scheduled(1, "y"))


def test_a_changed_input_or_delay_is_no_mismatch_unless_all_is_compared(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        yield ctx.task_all([ctx.call_activity("a", 1), ctx.create_timer(timedelta(seconds=5))])

    history: list[Event] = [turn(), started("flow"), scheduled(0, "a", 2), timer(1, 6)]
    assert replay(app.registry, history) == []
    for recorded in ([scheduled(0, "a", 2)], [scheduled(0, "a", 1), timer(1, 6)]):
        exact = Orchestration(app.registry, exact=True)
        exact.replay([turn(), started("flow"), *recorded])
        assert isinstance(exact.outcome, Failed)


def test_a_confirmation_may_come_in_a_later_turn(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        return (yield ctx.task_all([ctx.call_activity("a"), ctx.call_activity("b")]))

    history: list[Event] = [turn(), started("flow"), scheduled(0, "a"), turn(1), completed(0)]
    assert replay(app.registry, [*history, scheduled(1, "b"), completed(1)]) == ends(
        Completed("[null,null]")
    )


# Orchestrators that end


def test_an_error_fails_the_instance_with_its_type_and_message(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        yield ctx.call_activity("a")
        raise KeyError("lost")

    failure = failure_of(app, turn(), started("flow"), scheduled(0, "a"), completed(0))
    assert (failure.type, failure.message, failure.task) == ("KeyError", "'lost'", "flow")


def test_an_uncaught_task_failure_keeps_its_type_and_is_the_cause(app: ost.App):
    failure = failure_of(app, *BEGUN, scheduled(0, "a", 1), failed(0, ValueError("no")))
    assert (failure.type, failure.message, failure.task) == ("ValueError", "no", "chain")
    assert failure.cause is not None
    assert failure.cause.type == "ValueError"


@pytest.mark.parametrize(
    "error", [SystemExit(3), GeneratorExit(), KeyboardInterrupt(), BaseException("odd")]
)
def test_errors_that_would_end_the_host_end_the_instance_only(app: ost.App, error: BaseException):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        yield from ()
        raise error

    assert failure_of(app, turn(), started("flow")).type == type(error).__name__


def test_an_error_before_the_first_yield_fails_the_instance(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        yield from ()
        raise OSError(2, "gone", "file")

    failure = failure_of(app, turn(), started("flow"))
    assert failure.type == "FileNotFoundError"


@pytest.mark.parametrize("nonsense", [7, None, "a", ["task"], {}, object])
def test_a_yield_of_something_else_raises_there_and_can_be_caught(app: ost.App, nonsense: Any):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        try:
            yield nonsense
        except TypeError as error:
            yield ctx.call_activity("a")
            return str(error)

    history: list[Event] = [turn(), started("flow"), scheduled(0, "a"), completed(0)]
    outcome = outcome_of(app.registry, history)
    assert isinstance(outcome, Completed)
    assert f"this one yielded {type(nonsense).__name__}; " in outcome.output


def test_a_yield_of_a_list_is_told_about_task_all(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        yield [ctx.call_activity("a")]

    failure = failure_of(app, turn(), started("flow"))
    assert failure.type == "TypeError"
    assert "yield ctx.task_all(tasks)" in failure.message


def test_an_output_that_is_no_json_fails_the_instance(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        yield from ()
        return {1j}

    failure = failure_of(app, turn(), started("flow"))
    assert failure.type == "CodecError"
    assert "output of orchestration 'flow'" in failure.message


def test_an_output_over_the_limit_fails_the_instance():
    app = ost.App("small", payload_limit=10)

    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        yield from ()
        return "x" * 10

    assert failure_of(app, turn(), started("flow")).type == "PayloadTooLargeError"


def test_open_children_end_with_their_parent_and_finished_ones_do_not(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        ctx.call_sub_orchestrator("kid")
        ctx.call_sub_orchestrator("kid", None, "mine")
        ctx.start_orchestration("kid")
        yield ctx.call_sub_orchestrator("kid")

    orchestration, _ = live(app.registry, turn(), started("flow"))
    assert fed(orchestration, child_completed(3)) == [
        TerminateChild(task_id=0, instance_id="e:0", reason="parent ended"),
        TerminateChild(task_id=1, instance_id="mine", reason="parent ended"),
        CompleteOrchestration(Completed("null")),
    ]


def test_a_child_between_two_attempts_is_not_ended(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        ctx.call_sub_orchestrator("kid", retry=ost.RetryPolicy(2, 5))
        yield ctx.wait_for_external_event("end")

    orchestration, _ = live(app.registry, turn(), started("flow"))
    failure = ost.Failure("ValueError")
    fed(orchestration, ev.SubOrchestrationInstanceFailed(at=at(0), task_id=0, failure=failure))
    assert fed(orchestration, raised("end")) == ends(Completed("null"))


def test_the_culprits_are_the_final_attempts_that_ended_the_instance(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        with suppress(ValueError):
            yield ctx.call_activity("a")
        try:
            yield ctx.task_all([ctx.call_activity("b"), ctx.call_activity("c")])
        except KeyError as error:
            raise RuntimeError("in other words") from error

    history: list[Event] = [turn(), started("flow"), scheduled(0, "a"), failed(0, ValueError())]
    history += [scheduled(1, "b"), scheduled(2, "c"), failed(2, KeyError()), failed(1, OSError())]
    orchestration = Orchestration(app.registry)
    orchestration.replay(history)
    assert isinstance(orchestration.outcome, Failed)
    assert orchestration.culprits == (1, 2)


# Ended from outside


def test_a_terminated_instance_ends_at_once_with_the_reason(app: ost.App):
    assert replay(app.registry, [*HALF, scheduled(1, "b", "A"), terminated("enough")]) == ends(
        Terminated("enough")
    )


def test_termination_reaches_the_children_unless_told_otherwise(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        yield ctx.call_sub_orchestrator("kid")

    history: list[Event] = [turn(), started("flow"), child(0, "kid")]
    assert TerminateChild(task_id=0, instance_id="e:0", reason="parent ended") in replay(
        app.registry, [*history, terminated()]
    )
    assert replay(app.registry, [*history, terminated(cascade=False)]) == ends(Terminated(""))


def test_an_instance_may_be_terminated_before_it_starts(app: ost.App):
    assert replay(app.registry, [turn(), terminated("no"), started("chain")]) == ends(
        Terminated("no")
    )


def test_the_first_end_stands(app: ost.App):
    assert outcome_of(app.registry, [*BEGUN, terminated("1"), terminated("2")]) == Terminated("1")


# Suspended


def test_while_suspended_messages_are_held_and_then_applied_in_order(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        seen = []
        for _ in range(3):
            seen.append((yield ctx.wait_for_external_event("go")))
        return seen

    orchestration, _ = live(app.registry, turn(), started("flow"), raised("go", 1), suspended())
    assert orchestration.suspended
    assert fed(orchestration, raised("go", 2), raised("go", 3)) == []
    assert orchestration.waiting_for() == ["being resumed: it is suspended", "event 'go'"]
    assert fed(orchestration, resumed()) == ends(Completed("[1,2,3]"))
    assert not orchestration.suspended


def test_the_clock_goes_on_while_suspended_but_timers_wait(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        yield ctx.create_timer(timedelta(seconds=5))
        return (ctx.current_utc_datetime - at(0)).total_seconds()

    orchestration, _ = live(app.registry, turn(), started("flow"), suspended())
    assert fed(orchestration, turn(5), fired(0, 5), turn(60)) == []
    assert fed(orchestration, turn(90), resumed()) == ends(Completed("90.0"))


def test_a_suspended_instance_can_be_terminated(app: ost.App):
    orchestration, _ = live(app.registry, *BEGUN, suspended(), completed(0))
    assert fed(orchestration, terminated("enough")) == ends(Terminated("enough"))
    assert not orchestration.suspended


def test_suspending_twice_is_suspending_once(app: ost.App):
    orchestration, _ = live(app.registry, *BEGUN, suspended(), completed(0, "A"), suspended())
    assert fed(orchestration, resumed()) == [ScheduleTask(task_id=1, name="b", input='"A"')]
    assert not orchestration.suspended


def test_resuming_what_runs_changes_nothing(app: ost.App):
    assert replay(app.registry, [*BEGUN, resumed()]) == replay(app.registry, BEGUN)


def test_an_instance_may_be_suspended_before_it_starts(app: ost.App):
    orchestration, actions = live(app.registry, turn(), suspended(), started("chain"))
    assert actions == []
    assert fed(orchestration, resumed()) == [ScheduleTask(task_id=0, name="a", input="1")]


def test_scheduling_events_are_confirmed_while_suspended(app: ost.App):
    history: list[Event] = [
        *BEGUN,
        suspended(),
        scheduled(0, "a", 1),
        turn(),
        completed(0, "A"),
        resumed(),
    ]
    assert replay(app.registry, history) == [ScheduleTask(task_id=1, name="b", input='"A"')]


# Continued as new


def test_a_continuation_ends_the_generation(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext, count: int) -> Flow:
        yield ctx.call_activity("a")
        ctx.continue_as_new(count + 1)

    history: list[Event] = [turn(), started("flow", 1), scheduled(0, "a"), turn(), completed(0)]
    continued = ContinuedAsNew(
        input="2", events=(), event_ids=(), custom_status=None, version=UNVERSIONED
    )
    assert replay(app.registry, history) == ends(continued)
    assert replay(app.registry, [*history, ev.ContinueAsNew(at=at(0), input="2")]) == []


# Versions


@pytest.fixture
def versions() -> ost.App:
    app = ost.App("versions")
    for name in ("one", "two"):
        app.foreign_activity(name)

    @app.orchestration(name="flow", version="1")
    def first(ctx: ost.OrchestrationContext) -> Flow:
        yield ctx.call_activity("one")

    @app.orchestration(name="flow", version="2")
    def second(ctx: ost.OrchestrationContext) -> Flow:
        yield ctx.call_activity("two")

    return app


def test_a_new_instance_takes_the_last_version_and_records_it(versions: ost.App):
    orchestration, actions = live(versions.registry, turn(), started("flow"))
    assert actions == [
        RecordMarker(name="version:2"),
        ScheduleTask(task_id=0, name="two", input="null"),
    ]
    assert orchestration.version == "2"


def test_an_instance_stays_on_the_version_it_recorded(versions: ost.App):
    history: list[Event] = [turn(), started("flow"), marker("version:1"), scheduled(0, "one")]
    orchestration = Orchestration(versions.registry)
    orchestration.replay(history)
    assert orchestration.take_actions() == []
    assert orchestration.version == "1"


def test_an_instance_takes_the_version_it_was_started_with(versions: ost.App):
    orchestration, actions = live(versions.registry, turn(), started("flow", version="1"))
    assert actions == [ScheduleTask(task_id=0, name="one", input="null")]
    assert orchestration.version == "1"


def test_a_history_without_a_version_is_of_the_first(versions: ost.App):
    orchestration = Orchestration(versions.registry)
    orchestration.replay([turn(), started("flow"), scheduled(0, "one")])
    assert orchestration.outcome is None
    assert orchestration.version == "1"


@pytest.mark.parametrize(
    "history",
    [
        [turn(), started("flow", version="0")],
        [turn(), started("flow"), marker("version:0")],
    ],
)
def test_a_version_that_is_gone_fails_the_instance_until_it_is_back(
    versions: ost.App, history: list[Event]
):
    failure = failure_of(versions, *history)
    assert failure.type == "UnknownNameError"
    assert "has no version '0' any more (it has '1', '2'): register it again, then rewind" in (
        failure.message
    )


def test_an_unknown_orchestration_fails_the_instance(app: ost.App):
    failure = failure_of(app, turn(), started("nobody"))
    assert failure.type == "UnknownNameError"
    assert "orchestration 'nobody' is not in the application" in failure.message
    assert "chain, kid" in failure.message


def test_a_foreign_orchestration_is_not_run_here(app: ost.App):
    failure = failure_of(app, turn(), started("kid"))
    assert failure.type == "UnsupportedError"
    assert "another application runs it" in failure.message


# Rewound histories


def test_dropped_events_are_passed_over():
    assert rewound_positions([turn(), rewound(1, 2), turn(), rewound(1, 2, 5)]) == {1, 2, 5}


def test_a_rewound_instance_goes_on_without_what_was_dropped(app: ost.App):
    history: list[Event] = [
        *BEGUN,
        scheduled(0, "a", 1),
        turn(),
        failed(0, ValueError()),
        ended("Failed"),
    ]
    history += [turn(9), rewound(4, 5), turn(10), completed(0, "A")]
    assert replay(app.registry, history) == [ScheduleTask(task_id=1, name="b", input='"A"')]


# Closing


def test_closing_runs_the_finally_blocks_and_what_they_ask_for_counts_for_nothing(
    app: ost.App, unraisable: list[Any]
):
    log: list[str] = []

    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        try:
            yield ctx.call_activity("a")
        finally:
            log.append(f"{ctx.instance_id} {ctx.is_replaying}")
            ctx.set_custom_status("cleaning")
            ctx.call_sub_orchestrator("kid")
            ctx.call_activity("nobody")
            ctx.continue_as_new(1)
            ctx.send_event("other", "go")
            yield ctx.create_timer(timedelta(1))
            log.append("never")

    orchestration, _ = live(app.registry, turn(), started("flow"))
    orchestration.close()
    orchestration.close()
    gc.collect()
    assert log == ["i True"]
    assert orchestration.take_actions() == []
    assert (orchestration.outcome, orchestration.custom_status) == (None, None)
    assert unraisable == []


def test_the_cleaning_of_a_terminated_instance_counts_for_nothing(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        wait = ctx.wait_for_external_event("go", timeout=60)
        try:
            yield wait
        finally:
            wait.cancel()
            yield ctx.call_activity("b")

    orchestration, _ = live(app.registry, turn(), started("flow"))
    actions = fed(orchestration, terminated("enough"))
    assert actions[-1:] == ends(Terminated("enough"))
    assert not any(isinstance(action, ScheduleTask) for action in actions)


@pytest.mark.parametrize("error", [ValueError, RuntimeError, SystemExit, KeyboardInterrupt])
def test_a_cleaning_that_fails_disturbs_nobody(
    app: ost.App, unraisable: list[Any], error: type[BaseException]
):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        try:
            yield ctx.call_activity("a")
        finally:
            raise error

    orchestration, _ = live(app.registry, turn(), started("flow"))
    orchestration.close()
    gc.collect()
    assert unraisable == []


def test_an_orchestrator_that_yields_in_finally_again_and_again_is_closed(
    app: ost.App, unraisable: list[Any]
):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        try:
            yield ctx.call_activity("a")
        finally:
            for _ in range(20):
                with suppress(GeneratorExit):
                    yield ctx.call_activity("b")

    orchestration, _ = live(app.registry, turn(), started("flow"))
    orchestration.close()
    gc.collect()
    assert unraisable == []


def test_helpers_that_each_yield_in_finally_are_all_closed(app: ost.App, unraisable: list[Any]):
    cleaned: list[int] = []

    def helper(ctx: ost.OrchestrationContext, depth: int) -> Flow:
        try:
            try:
                yield from helper(ctx, depth - 1) if depth else ctx.call_activity("a")
            finally:
                yield ctx.call_activity("b")
                cleaned.append(depth)
        finally:
            yield ctx.call_activity("b")
            cleaned.append(depth)

    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        yield from helper(ctx, 5)

    orchestration, _ = live(app.registry, turn(), started("flow"))
    orchestration.close()
    gc.collect()
    assert unraisable == []
    assert cleaned == []


def test_replaying_leaves_no_generator_behind(app: ost.App, unraisable: list[Any]):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        try:
            yield ctx.call_activity("a")
        finally:
            yield ctx.call_activity("b")

    replay(app.registry, [turn(), started("flow")])
    gc.collect()
    assert unraisable == []


# Loops that forget their yield


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """How many tasks may be asked for at once; as a rule it takes long to get there."""
    for module in ("execution", "context"):
        monkeypatch.setattr(f"ostinato.{module}.MOST_AT_ONCE", 100)
    return 100


CALLS: dict[str, Callable[[ost.OrchestrationContext], object]] = {
    "call_activity": lambda ctx: ctx.call_activity("a"),
    "call_activity of an unknown name": lambda ctx: ctx.call_activity("unknown"),
    "call_activity_with_retry": lambda ctx: ctx.call_activity_with_retry("a", ost.RetryPolicy(2)),
    "map": lambda ctx: ctx.map("a", [1]),
    "map without end": lambda ctx: ctx.map("a", count()),
    "task_all without end": lambda ctx: ctx.task_all(ctx.call_activity("a") for _ in count()),
    "call_sub_orchestrator": lambda ctx: ctx.call_sub_orchestrator("kid"),
    "start_orchestration": lambda ctx: ctx.start_orchestration("kid"),
    "send_event": lambda ctx: ctx.send_event("other", "e"),
    "call_http": lambda ctx: ctx.call_http("GET", "https://example.org/"),
    "create_timer": lambda ctx: ctx.create_timer(timedelta(1)),
    "wait_for_external_event": lambda ctx: ctx.wait_for_external_event("e"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_loop_without_a_yield_ends_the_instance_and_nothing_of_it_is_asked_for(
    app: ost.App, few: int, call: Callable[[ost.OrchestrationContext], object]
):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        yield ctx.call_activity("b")
        while True:
            with suppress(Exception):
                call(ctx)

    orchestration, actions = live(app.registry, turn(), started("flow"))
    assert len(actions) == 1
    (end,) = fed(orchestration, turn(), completed(0))
    assert isinstance(end, CompleteOrchestration) and isinstance(end.outcome, Failed)
    failure = end.outcome.failure
    assert failure.type in ("TooManyTasksError", "UnknownNameError")
    assert f"{__file__}:{call.__code__.co_firstlineno}" in failure.message
    assert not any(map(orchestration.is_open, range(few + 2)))


def test_as_many_tasks_as_one_generation_may_have_on_azure_are_asked_for_at_once(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext, count: int) -> Flow:
        yield ctx.map("a", range(count))

    assert len(replay(app.registry, [turn(), started("flow", 100_000)])) == 100_000
    (end,) = replay(app.registry, [turn(), started("flow", 100_001)])
    assert isinstance(end, CompleteOrchestration) and isinstance(end.outcome, Failed)
    assert "more than 100,000 tasks without a yield" in end.outcome.failure.message


def test_with_a_yield_between_them_any_number_of_tasks_may_be_asked_for(app: ost.App, few: int):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        for _ in range(3):
            for _ in range(few):
                ctx.create_timer(timedelta(1))
            yield ctx.task_all([])

    assert len(replay(app.registry, [turn(), started("flow")])) == 3 * few + 1


def test_attempts_and_polls_that_follow_by_themselves_are_not_counted(app: ost.App, few: int):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        uris = [f"https://example.org/{number}" for number in range(few // 2)]
        retried = ctx.map("a", range(few // 2), retry=ost.RetryPolicy(2, 0))
        yield ctx.task_all([*(ctx.call_http("GET", uri) for uri in uris), retried])

    orchestration, actions = live(app.registry, turn(), started("flow"))
    assert len(actions) == few
    poll = {"statusCode": 202, "headers": {"location": "/"}, "content": ""}
    answers: list[Event] = [
        failed(action.task_id, ValueError())
        if action.name == "a"
        else completed(action.task_id, poll)
        for action in actions
        if isinstance(action, ScheduleTask)
    ]
    further = fed(orchestration, turn(), *answers)
    assert len(further) == few
    due = [fired(a.task_id, 30) for a in further if isinstance(a, CreateTimer)]
    assert len(fed(orchestration, turn(30), *due)) == few // 2
    assert orchestration.outcome is None


def test_a_loop_without_a_yield_in_a_finally_ends_when_the_execution_is_given_up(
    app: ost.App, few: int, unraisable: list[Any]
):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        try:
            yield ctx.call_activity("a")
        finally:
            while True:
                ctx.call_activity("b")

    orchestration, _ = live(app.registry, turn(), started("flow"))
    orchestration.close()
    gc.collect()
    assert unraisable == []
