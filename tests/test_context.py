"""The context, by what calls of it ask for and give."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import msgspec
import pytest

import ostinato as ost
from ostinato import events as ev
from ostinato.actions import (
    Action,
    Completed,
    CompleteOrchestration,
    ContinuedAsNew,
    CreateSubOrchestration,
    CreateTimer,
    Failed,
    RecordMarker,
    ScheduleTask,
    SendEvent,
)
from ostinato.definitions import HTTP_ACTIVITY, UNVERSIONED
from ostinato.events import Event
from ostinato.replay import Orchestration, replay
from tests.histories import (
    START,
    Flow,
    at,
    child,
    completed,
    ends,
    fed,
    fired,
    live,
    marker,
    outcome_of,
    raised,
    scheduled,
    started,
    timer,
    turn,
)


@dataclass
class Order:
    number: int


@pytest.fixture
def app() -> ost.App:
    app = ost.App("context", payload_limit=1000)
    for name in ("a", "b"):
        app.foreign_activity(name)
    app.foreign_orchestration("kid")

    @app.activity
    def order_total(order: Order) -> int:
        return order.number

    return app


def declared(app: ost.App, orchestrator: Callable[..., Flow]) -> str:
    """Declare an orchestrator under a name that is free, and return it."""
    name = f"flow-{sum(1 for _ in app.registry.orchestrations())}"
    app.orchestration(name=name)(orchestrator)
    return name


def asks(app: ost.App, call: Callable[[ost.OrchestrationContext], Any]) -> list[Action]:
    """What one call asks for in the first turn of an orchestrator that then waits."""

    def flow(ctx: ost.OrchestrationContext) -> Flow:
        call(ctx)
        yield ctx.wait_for_external_event("never")

    orchestration, actions = live(app.registry, turn(), started(declared(app, flow)))
    assert orchestration.outcome is None, orchestration.outcome
    return actions


def answers(
    app: ost.App, call: Callable[[ost.OrchestrationContext], Any], given: Any = None, **fields: Any
) -> Any:
    """What one call gives, as JSON has it."""

    def flow(ctx: ost.OrchestrationContext) -> Flow:
        yield from ()
        return call(ctx)

    outcome = outcome_of(app.registry, [turn(), started(declared(app, flow), given, **fields)])
    assert isinstance(outcome, Completed), outcome
    return json.loads(outcome.output)


def fault(app: ost.App, call: Callable[[ost.OrchestrationContext], Any]) -> tuple[str, str]:
    """The type and message of the error that one call raises in the orchestrator."""

    def raises(ctx: ost.OrchestrationContext) -> Any:
        before = ctx._execution.next_id
        with pytest.raises(Exception) as info:
            call(ctx)
        assert ctx._execution.next_id == before, "a refused call takes no id"
        return [type(info.value).__name__, str(info.value)]

    kind, message = answers(app, raises)
    return kind, message


# Who and when


def test_an_orchestrator_knows_who_it_is(app: ost.App):
    def tell(ctx: ost.OrchestrationContext) -> Any:
        return [ctx.instance_id, ctx.execution_id, ctx.name, ctx.version, ctx.parent_instance_id]

    assert answers(app, tell) == ["i", "e", "flow-1", None, None]


def test_a_child_knows_its_parent(app: ost.App):
    parent = ev.Parent("p", "pe", 3)
    assert answers(app, lambda ctx: ctx.parent_instance_id, parent=parent) == "p"


def test_the_clock_is_the_turns_and_moves_only_forward(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        times = [ctx.current_utc_datetime]
        for _ in range(3):
            yield ctx.wait_for_external_event("go")
            times.append(ctx.current_utc_datetime)
        return [(time - START).total_seconds() for time in times]

    history: list[Event] = [turn(), started("flow"), turn(10), raised("go"), turn(5), raised("go")]
    history += [turn(20), raised("go")]
    assert outcome_of(app.registry, history) == Completed("[0.0,10.0,10.0,20.0]")


def test_a_timer_that_fired_sets_the_clock_to_when_it_was_due(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        yield ctx.create_timer(timedelta(hours=1))
        return [ctx.current_utc_datetime == at(3600), ctx.current_utc_datetime.tzinfo is UTC]

    history: list[Event] = [turn(), started("flow"), timer(0, 3600), turn(3000), fired(0, 3600)]
    assert outcome_of(app.registry, history) == Completed("[true,true]")


def test_an_orchestrator_replays_until_its_history_ends(app: ost.App):
    seen: list[bool] = []

    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        seen.append(ctx.is_replaying)
        yield ctx.call_activity("a")
        seen.append(ctx.is_replaying)
        yield ctx.call_activity("b")
        seen.append(ctx.is_replaying)

    orchestration = Orchestration(app.registry)
    orchestration.replay([turn(), started("flow"), scheduled(0, "a"), turn(1), completed(0)])
    orchestration.take_actions()
    fed(orchestration, turn(2), completed(1))
    assert seen == [True, True, False]


# The input


def test_the_input_is_decoded_by_the_annotation_or_as_told(app: ost.App):
    @app.orchestration
    def annotated(ctx: ost.OrchestrationContext, order: Order) -> Flow:
        yield from ()
        as_dict = ctx.get_input(dict[str, int])
        return [order == Order(7), ctx.get_input() == Order(7), as_dict]

    history: list[Event] = [turn(), started("annotated", {"number": 7})]
    assert outcome_of(app.registry, history) == Completed('[true,true,{"number":7}]')


def test_an_input_without_annotation_is_plain_json(app: ost.App):
    def give(ctx: ost.OrchestrationContext) -> Any:
        return ctx.get_input()

    assert answers(app, give, given={"number": 7}) == {"number": 7}


def test_an_input_that_does_not_fit_fails_the_instance_and_names_it(app: ost.App):
    @app.orchestration
    def annotated(ctx: ost.OrchestrationContext, order: Order) -> Flow:
        yield from ()

    outcome = outcome_of(app.registry, [turn(), started("annotated", [1])])
    assert isinstance(outcome, Failed)
    assert outcome.failure.type == "CodecError"
    assert "input of orchestration 'annotated'" in outcome.failure.message


# Activities


def test_an_activity_is_called_by_name_or_function_with_its_input_as_json(app: ost.App):
    assert asks(app, lambda ctx: ctx.call_activity("a", {"x": [1, None]}, timeout=5)) == [
        ScheduleTask(task_id=0, name="a", input='{"x":[1,null]}', timeout=5.0)
    ]


def test_an_input_may_be_given_by_either_keyword_or_by_position(app: ost.App):
    def three(ctx: ost.OrchestrationContext) -> None:
        ctx.call_activity("a", 1)
        ctx.call_activity("a", input_=1)
        ctx.call_activity("a", input=1)

    assert {a.input for a in asks(app, three) if isinstance(a, ScheduleTask)} == {"1"}


def test_a_function_goes_by_its_registered_name(app: ost.App):
    fn = app.registry.activity("order_total")
    assert fn is not None
    [action] = asks(app, lambda ctx: ctx.call_activity(fn.fn or "", Order(3)))
    assert action == ScheduleTask(task_id=0, name="order_total", input='{"number":3}')


RETRY = ost.RetryPolicy(2)


def test_a_type_that_cannot_be_told_apart_is_taken_and_the_result_says_why_it_cannot_be_read(
    app: ost.App,
):
    class Parcel(msgspec.Struct):
        weight: int

    def flow(ctx: ost.OrchestrationContext) -> Flow:
        return (yield ctx.call_activity("a", expected_type=Order | Parcel))

    history: list[Event] = [turn(), started(declared(app, flow)), scheduled(0, "a"), turn()]
    history.append(completed(0, {}))
    outcome = outcome_of(app.registry, history)
    assert isinstance(outcome, Failed)
    assert outcome.failure.type == "CodecError"
    assert outcome.failure.message.startswith("result of activity 'a' cannot be read as ")
    assert "Type unions may not contain more than one" in outcome.failure.message


@pytest.mark.parametrize(
    "call",
    [
        lambda ctx: ctx.call_activity("a", 1, 2),
        lambda ctx: ctx.call_activity("a", "x", "y"),
        lambda ctx: ctx.call_activity("a", expected_type=("x", 2)),
        lambda ctx: ctx.call_activity_with_retry("a", RETRY, 1, {"more": 2}),
        lambda ctx: ctx.call_sub_orchestrator("kid", 1, "id", None, 5),
        lambda ctx: ctx.call_sub_orchestrator_with_retry("kid", RETRY, 1, "id", None, 5),
        lambda ctx: ctx.wait_for_external_event("go", 60),
        lambda ctx: ctx.get_input([]),
    ],
)
def test_what_is_no_type_is_refused_in_place_of_one(app: ost.App, call: Any):
    kind, message = fault(app, call)
    assert kind == "TypeError"
    assert (
        message.startswith("expected_type is a type, not ") and "a tuple or a dataclass" in message
    )


@pytest.mark.parametrize(
    "expected", [int, Order, list[Order], int | None, Any, dict[str, "Order"], json.JSONDecoder]
)
def test_types_of_every_form_are_taken_in_the_place_where_1_x_has_them(app: ost.App, expected: Any):
    (action,) = asks(app, lambda ctx: ctx.call_activity("a", 1, expected))
    assert isinstance(action, ScheduleTask)


def test_retries_take_policies_and_the_options_of_1_x(app: ost.App):
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        first = ctx.call_activity_with_retry("a", ost.RetryOptions(5000, 2), 1)
        second = ctx.call_activity_with_retry("a", ost.RetryPolicy(2, 7), input_=1)
        yield ctx.task_all([first, second])

    app.orchestration(flow)
    orchestration, _ = live(app.registry, turn(), started("flow"))
    failure = ost.Failure("ValueError")
    actions = fed(
        orchestration, *(ev.TaskFailed(at=START, task_id=i, failure=failure) for i in (0, 1))
    )
    assert actions == [CreateTimer(task_id=2, due=at(5)), CreateTimer(task_id=3, due=at(7))]


def test_an_input_that_is_no_json_is_refused_at_the_call(app: ost.App):
    kind, message = fault(app, lambda ctx: ctx.call_activity("a", {"ratio": float("nan")}))
    assert kind == "CodecError"
    assert "input of activity 'a'" in message
    assert fault(app, lambda ctx: ctx.call_activity("b", object()))[0] == "CodecError"


def test_an_input_over_the_limit_is_refused_at_the_call(app: ost.App):
    for call in (
        lambda ctx: ctx.call_activity("a", "x" * 1000),
        lambda ctx: ctx.map("a", ["x", "x" * 1000]),
        lambda ctx: ctx.call_sub_orchestrator("kid", "x" * 1000),
        lambda ctx: ctx.start_orchestration("kid", "x" * 1000),
        lambda ctx: ctx.send_event("other", "go", "x" * 1000),
        lambda ctx: ctx.continue_as_new("x" * 1000),
    ):
        assert fault(app, call)[0] == "PayloadTooLargeError"


def test_a_timeout_must_be_a_duration(app: ost.App):
    assert fault(app, lambda ctx: ctx.call_activity("a", timeout=-1))[0] == "ValueError"


# Map


def test_a_bounded_map_is_one_group_that_names_its_bound(app: ost.App):
    def call(ctx: ost.OrchestrationContext) -> None:
        ctx.call_activity("a")
        ctx.map("b", [10, 20], max_concurrency=5)
        ctx.map("b", (n for n in [30]), max_concurrency=1)

    assert asks(app, call) == [
        ScheduleTask(task_id=0, name="a", input="null"),
        ScheduleTask(task_id=1, name="b", input="10", group=1, bound=5),
        ScheduleTask(task_id=2, name="b", input="20", group=1, bound=5),
        ScheduleTask(task_id=3, name="b", input="30", group=3, bound=1),
    ]


def test_a_map_without_a_bound_is_no_group(app: ost.App):
    assert asks(app, lambda ctx: ctx.map("a", [1])) == [
        ScheduleTask(task_id=0, name="a", input="1")
    ]


def test_a_map_of_nothing_is_done_at_once(app: ost.App):
    assert answers(app, lambda ctx: ctx.map("a", [], max_concurrency=2).result) == []


def test_a_retry_within_a_map_stays_in_its_group(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        yield ctx.map("a", [1, 2], max_concurrency=2, retry=ost.RetryPolicy(2, 0), timeout=9)

    orchestration, _ = live(app.registry, turn(), started("flow"))
    failed = ev.TaskFailed(at=START, task_id=1, failure=ost.Failure("ValueError"))
    assert fed(orchestration, failed) == [
        ScheduleTask(
            task_id=2, name="a", input="2", attempt=2, first_id=1, group=0, bound=2, timeout=9.0
        )
    ]


def test_a_map_that_fails_to_encode_an_item_takes_no_ids(app: ost.App):
    assert fault(app, lambda ctx: ctx.map("a", [1, 2, float("inf")]))[0] == "CodecError"


@pytest.mark.parametrize("bound", [0, -1])
def test_a_bound_below_1_is_refused(app: ost.App, bound: int):
    kind, message = fault(app, lambda ctx: ctx.map("a", [1], max_concurrency=bound))
    assert (kind, message) == ("ValueError", f"max_concurrency is {bound}; it must be 1 or more")


# Children, detached instances, events sent


def test_a_child_takes_input_id_and_version_in_the_order_of_1_x(app: ost.App):
    app.orchestration(name="v", version="1")(lambda ctx: (yield))
    assert asks(app, lambda ctx: ctx.call_sub_orchestrator("v", 1, "mine", "1")) == [
        CreateSubOrchestration(task_id=0, name="v", instance_id="mine", input="1", version="1")
    ]


def test_a_retried_child_takes_its_arguments_in_the_order_of_1_x(app: ost.App):
    options = ost.RetryOptions(1, 2)
    assert asks(
        app, lambda ctx: ctx.call_sub_orchestrator_with_retry("kid", options, 1, "mine")
    ) == [CreateSubOrchestration(task_id=0, name="kid", instance_id="mine", input="1")]


def test_a_childs_result_is_decoded_by_its_annotation(app: ost.App):
    @app.orchestration
    def ordering(ctx: ost.OrchestrationContext) -> Generator[Any, Any, Order]:
        yield from ()
        return Order(1)

    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        order = yield ctx.call_sub_orchestrator(ordering)
        return order == Order(1)

    history: list[Event] = [turn(), started("flow"), child(0, "ordering")]
    end = ev.SubOrchestrationInstanceCompleted(at=START, task_id=0, result='{"number":1}')
    assert outcome_of(app.registry, [*history, end]) == Completed("true")


@pytest.mark.parametrize("bad", ["", "a/b", "@me", "x" * 101])
def test_an_instance_id_that_some_host_refuses_is_refused_at_the_call(app: ost.App, bad: str):
    kind, _ = fault(app, lambda ctx: ctx.call_sub_orchestrator("kid", None, bad))
    assert kind == "InvalidInstanceIdError"
    assert fault(app, lambda ctx: ctx.send_event(bad, "go"))[0] == kind
    assert fault(app, lambda ctx: ctx.start_orchestration("kid", None, bad))[0] == kind


def test_a_detached_instance_is_asked_for_once_and_its_id_is_given(app: ost.App):
    given: list[str] = []

    def call(ctx: ost.OrchestrationContext) -> None:
        given.append(ctx.start_orchestration("kid", 1))
        given.append(ctx.start_orchestration("kid", 2, "mine"))

    assert asks(app, call) == [
        CreateSubOrchestration(task_id=0, name="kid", instance_id="e:0", input="1", detached=True),
        CreateSubOrchestration(task_id=1, name="kid", instance_id="mine", input="2", detached=True),
    ]
    assert given == ["e:0", "mine"]


def test_an_event_sent_has_an_id_of_its_own(app: ost.App):
    assert asks(app, lambda ctx: ctx.send_event("other", "go", [1])) == [
        SendEvent(task_id=0, instance_id="other", name="go", data="[1]", event_id="e:0")
    ]


# Names that the application does not have


@pytest.mark.parametrize(
    "call",
    [
        lambda ctx: ctx.call_activity("nobody"),
        lambda ctx: ctx.map("nobody", [1, 2]),
        lambda ctx: ctx.call_sub_orchestrator("nobody"),
        lambda ctx: ctx.call_sub_orchestrator("kid", version="9"),
        lambda ctx: ctx.start_orchestration("nobody"),
    ],
)
def test_an_unknown_name_fails_the_instance_and_is_not_thrown(app: ost.App, call: Any):
    resumed: list[str] = []

    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        ctx.call_activity("a")
        try:
            call(ctx)
            ctx.call_activity("b")
            yield ctx.create_timer(timedelta(1))
        except Exception as error:
            resumed.append(repr(error))
        resumed.append("went on")

    _, actions = live(app.registry, turn(), started("flow"))
    *asked, end = actions
    assert asked == [ScheduleTask(task_id=0, name="a", input="null")]
    assert isinstance(end, CompleteOrchestration)
    assert isinstance(end.outcome, Failed)
    assert end.outcome.failure.type == "UnknownNameError"
    assert "then rewind" in end.outcome.failure.message
    assert resumed == []


def test_a_child_asked_for_after_an_unknown_name_was_never_started_and_is_not_ended(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        ctx.call_sub_orchestrator("kid", None, "started")
        ctx.call_activity("nobody")
        ctx.call_sub_orchestrator("kid", None, "somebody-elses")
        yield ctx.create_timer(timedelta(1))

    _, actions = live(app.registry, turn(), started("flow"))
    assert {getattr(action, "instance_id", None) for action in actions} == {"started", None}


# HTTP


def test_an_http_call_is_an_activity(app: ost.App):
    [action] = asks(app, lambda ctx: ctx.call_http("post", "http://here/x", {"a": 1}))
    assert isinstance(action, ScheduleTask)
    assert action.name == HTTP_ACTIVITY
    assert json.loads(action.input) == {
        "method": "POST",
        "uri": "http://here/x",
        "content": '{"a":1}',
        "headers": {"content-type": "application/json"},
        "header_env": {},
    }


# Groups, timers


def test_groups_take_tasks_only(app: ost.App):
    nonsense: Any = [1]
    kind, message = fault(app, lambda ctx: ctx.task_all(nonsense))
    assert kind == "TypeError"
    assert "task_all takes tasks" in message
    assert "int" in message


def test_any_of_nothing_is_refused(app: ost.App):
    kind, message = fault(app, lambda ctx: ctx.task_any([]))
    assert kind == "ValueError"
    assert "it would wait for ever" in message


def test_groups_take_any_iterable(app: ost.App):
    none: list[ost.Task[Any]] = []
    assert answers(app, lambda ctx: ctx.task_all(iter(none)).result) == []


@pytest.mark.parametrize(
    ("given", "due"),
    [
        (timedelta(hours=1), at(3600)),
        (timedelta(days=400), at(400 * 86_400)),
        (timedelta(seconds=-5), at(-5)),
        (datetime(2026, 3, 1, 13), at(3600)),
        (datetime(2026, 3, 1, 15, tzinfo=timezone(timedelta(hours=2))), at(3600)),
        (datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_timer_is_due_after_a_while_or_at_an_instant(app: ost.App, given: Any, due: datetime):
    assert asks(app, lambda ctx: ctx.create_timer(given)) == [CreateTimer(task_id=0, due=due)]


def test_a_timer_takes_nothing_else(app: ost.App):
    nonsense: Any = 60
    kind, message = fault(app, lambda ctx: ctx.create_timer(nonsense))
    assert kind == "TypeError"
    assert "create_timer takes a datetime or a timedelta, not int" in message


def test_an_event_timeout_must_be_a_duration(app: ost.App):
    call = lambda ctx: ctx.wait_for_external_event("go", timeout=-1)  # noqa: E731
    assert fault(app, call)[0] == "ValueError"


# Continue as new


def test_a_continuation_carries_unread_events_ids_and_the_status(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        ctx.set_custom_status("half")
        yield ctx.wait_for_external_event("go")
        ctx.continue_as_new({"n": 2})
        assert ctx.will_continue_as_new

    first, second, third = raised("go", 1, "x"), raised("go", 2, "y"), raised("other", 3)
    history: list[Event] = [turn(), started("flow"), second, third, first]
    assert outcome_of(app.registry, history) == ContinuedAsNew(
        input='{"n":2}',
        events=(third, first),
        event_ids=("y", "x"),
        custom_status='"half"',
        version=UNVERSIONED,
    )


def test_events_can_be_left_behind(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        yield ctx.wait_for_external_event("go")
        ctx.continue_as_new(None, keep_events=False)

    history: list[Event] = [turn(), started("flow"), raised("other", 1, "x"), raised("go")]
    outcome = outcome_of(app.registry, history)
    assert isinstance(outcome, ContinuedAsNew)
    assert (outcome.events, outcome.event_ids) == ((), ("x",))


def test_events_that_come_after_the_generation_ended_go_to_the_next(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        ctx.wait_for_external_event("go")
        yield ctx.wait_for_external_event("end")
        ctx.continue_as_new(None)

    late = raised("go", 1)
    outcome = outcome_of(app.registry, [turn(), started("flow"), raised("end"), late])
    assert isinstance(outcome, ContinuedAsNew)
    assert outcome.events == (late,)


def test_carried_events_and_status_are_there_from_the_beginning(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        status = ctx.custom_status
        return [status, (yield ctx.wait_for_external_event("go"))]

    begun = started("flow", events=(raised("go", 1, "x"),), event_ids=("x",), custom_status='"s"')
    orchestration, actions = live(app.registry, turn(), begun)
    assert actions == ends(Completed('["s",1]'))
    assert orchestration.has_taken("x")
    assert not orchestration.has_taken("y")


def test_the_generation_ends_at_the_next_wait(app: ost.App):
    went_on: list[bool] = []

    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        ctx.continue_as_new(1)
        yield ctx.create_timer(timedelta(1))
        went_on.append(True)

    outcome = outcome_of(app.registry, [turn(), started("flow"), timer(0, 86_400)])
    assert isinstance(outcome, ContinuedAsNew)
    assert went_on == []


def test_a_continuation_may_change_the_version_to_one_there_is(app: ost.App):
    @app.orchestration(version="1")
    def flow(ctx: ost.OrchestrationContext, to: str | None = None) -> Flow:
        yield from ()
        ctx.continue_as_new(None, version=to)

    app.orchestration(name="flow", version="2")(flow)

    def version(told: str | None) -> Any:
        history: list[Event] = [turn(), started("flow", told, version="1")]
        outcome = outcome_of(app.registry, history)
        return outcome.version if isinstance(outcome, ContinuedAsNew) else outcome

    assert version(None) == "1"
    assert version("2") == "2"
    refused = version("3")
    assert isinstance(refused, Failed)
    assert refused.failure.type == "UnknownNameError"


# Custom status


def test_a_status_is_shown_read_back_and_cleared(app: ost.App):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        ctx.set_custom_status({"done": 1})
        assert ctx.custom_status == {"done": 1}
        yield ctx.call_activity("a")
        ctx.set_custom_status(None)
        assert ctx.custom_status is None

    orchestration, _ = live(app.registry, turn(), started("flow"))
    assert orchestration.custom_status == '{"done":1}'
    fed(orchestration, completed(0))
    assert orchestration.custom_status is None


@pytest.mark.parametrize(("text", "fits"), [("x" * 8190, True), ("x" * 8191, False)])
def test_a_status_has_at_most_16384_bytes_as_utf_16(app: ost.App, text: str, fits: bool):
    if fits:
        assert answers(app, lambda ctx: ctx.set_custom_status(text)) is None
    else:
        kind, message = fault(app, lambda ctx: ctx.set_custom_status(text))
        assert kind == "PayloadTooLargeError"
        assert "16,386 bytes as UTF-16; at most 16,384" in message


def test_characters_beyond_the_basic_plane_count_twice(app: ost.App):
    assert answers(app, lambda ctx: ctx.set_custom_status("😀" * 4095)) is None
    kind, _ = fault(app, lambda ctx: ctx.set_custom_status("😀" * 4096))
    assert kind == "PayloadTooLargeError"


def test_a_refused_status_leaves_the_one_before(app: ost.App):
    def call(ctx: ost.OrchestrationContext) -> Any:
        ctx.set_custom_status("before")
        with pytest.raises(ost.CodecError):
            ctx.set_custom_status(float("nan"))
        return ctx.custom_status

    assert answers(app, call) == "before"


# Patches


def patched(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.call_activity("a")
    ctx.set_custom_status([ctx.patched("p"), ctx.patched("p")])
    yield ctx.call_activity("b")


def test_a_new_instance_takes_the_patch_and_records_it_once(app: ost.App):
    app.orchestration(patched)
    orchestration, _ = live(app.registry, turn(), started("patched"))
    assert fed(orchestration, completed(0)) == [
        RecordMarker(name="patch:p"),
        ScheduleTask(task_id=1, name="b", input="null"),
    ]
    assert orchestration.custom_status == "[true,true]"


def test_an_instance_that_is_past_the_patch_without_it_stays_without(app: ost.App):
    app.orchestration(patched)
    orchestration = Orchestration(app.registry)
    history: list[Event] = [turn(), started("patched"), scheduled(0, "a"), turn(), completed(0)]
    orchestration.replay([*history, scheduled(1, "b")])
    assert orchestration.take_actions() == []
    assert orchestration.custom_status == "[false,false]"


def test_an_instance_that_took_the_patch_keeps_it(app: ost.App):
    app.orchestration(patched)
    history: list[Event] = [turn(), started("patched"), scheduled(0, "a"), turn(), completed(0)]
    orchestration = Orchestration(app.registry)
    orchestration.replay([*history, marker("patch:p"), scheduled(1, "b")])
    assert orchestration.take_actions() == []
    assert orchestration.custom_status == "[true,true]"


def test_an_instance_that_has_not_come_to_the_patch_takes_it(app: ost.App):
    app.orchestration(patched)
    orchestration = Orchestration(app.registry)
    orchestration.replay([turn(), started("patched"), scheduled(0, "a")])
    assert fed(orchestration, turn(), completed(0))[0] == RecordMarker(name="patch:p")


# Stand-ins for chance


def drawing(ctx: ost.OrchestrationContext) -> Any:
    guid = ctx.new_guid()
    assert isinstance(guid, UUID)
    return [str(guid), ctx.new_uuid(), ctx.random.random(), ctx.random.randint(1, 100)]


def test_uuids_and_random_numbers_follow_from_the_execution(app: ost.App):
    first = answers(app, drawing)
    assert first == answers(app, drawing)
    other = answers(app, drawing, execution_id="e2")
    assert all(mine != theirs for mine, theirs in zip(first[:3], other[:3], strict=True))


def test_uuids_and_random_numbers_never_change_between_releases(app: ost.App):
    expected = random.Random("e")
    drawn = answers(app, drawing)
    assert drawn[:2] == [
        "cb1bb2a2-1039-5640-af64-8e2fe11cf480",
        "fd56ef62-413c-5119-b1c6-1cbdaf43ffc9",
    ]
    assert drawn[2:] == [expected.random(), expected.randint(1, 100)]


# Entities


def test_entities_are_refused_with_what_to_do_instead(app: ost.App):
    kind, message = fault(app, lambda ctx: ctx.call_entity("@counter@a", "add", 1))
    assert kind == "UnsupportedError"
    assert "keep the state in an eternal orchestration" in message
    assert fault(app, lambda ctx: ctx.signal_entity("@counter@a", "add"))[0] == kind


def test_replaying_in_one_go_asks_for_the_same(app: ost.App):
    app.orchestration(patched)
    history: list[Event] = [turn(), started("patched")]
    assert replay(app.registry, history) == live(app.registry, *history)[1]


@pytest.mark.parametrize(
    "call",
    [
        lambda ctx: ctx.call_activity("a", retry=3),
        lambda ctx: ctx.call_activity("a", timeout="soon"),
        lambda ctx: ctx.call_activity_with_retry("a", 3),
        lambda ctx: ctx.map("a", [1], retry=3),
        lambda ctx: ctx.map("a", [1], timeout="soon"),
        lambda ctx: ctx.map("a", [1], max_concurrency="two"),
        lambda ctx: ctx.call_sub_orchestrator("kid", retry=3),
        lambda ctx: ctx.call_sub_orchestrator("kid", instance_id=5),
        lambda ctx: ctx.call_sub_orchestrator_with_retry("kid", 3),
        lambda ctx: ctx.start_orchestration("kid", None, 5),
        lambda ctx: ctx.send_event(5, "go"),
        lambda ctx: ctx.send_event("b", None),
        lambda ctx: ctx.send_event("b", "\ud800"),
        lambda ctx: ctx.wait_for_external_event(None),
        lambda ctx: ctx.wait_for_external_event("\ud800"),
        lambda ctx: ctx.wait_for_external_event("go", timeout="soon"),
        lambda ctx: ctx.create_timer(60),
        lambda ctx: ctx.create_timer("tomorrow"),
        lambda ctx: ctx.continue_as_new(version=2),
        lambda ctx: ctx.call_http("GET", "http://here", poll_interval="soon"),
        lambda ctx: ctx.call_http("GET", "http://here", retry=3),
        lambda ctx: ctx.call_http("GET", "http://here", timeout="soon"),
    ],
)
def test_an_argument_of_the_wrong_type_is_refused_at_the_call(app: ost.App, call: Any):
    kind, message = fault(app, call)
    assert kind in ("TypeError", "ValueError", "InvalidInstanceIdError")
    assert message
