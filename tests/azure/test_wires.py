"""Both wires on the stand-in of the extension, in what is Azure's own: old instances, long timers,
foreign text, changes of wire."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest

import ostinato as ost
from tests.azure.wire_stand import WireStand, output

Stands = Callable[[ost.App], WireStand]
WIRES = ("classic", "durabletask")


@pytest.fixture(params=WIRES)
def stand(request: pytest.FixtureRequest) -> Iterator[Stands]:
    """Makes a stand for an application, on each wire in turn."""
    with ExitStack() as stack:

        def make(app: ost.App) -> WireStand:
            made = WireStand(app, grpc=request.param == "durabletask")
            stack.callback(made.close)
            return made

        yield make


def day_of_timers(ctx: ost.OrchestrationContext):
    """Wait for an event, then set a short, a long and a cancelled timer."""
    yield ctx.wait_for_external_event("go")
    began = ctx.current_utc_datetime
    hour = ctx.create_timer(timedelta(hours=1))
    month = ctx.create_timer(timedelta(days=30))
    never = ctx.create_timer(timedelta(days=20))
    never.cancel()
    yield hour
    after_hour = ctx.current_utc_datetime - began
    yield month
    return [after_hour.total_seconds(), (ctx.current_utc_datetime - began).total_seconds()]


def application(*orchestrators: Any) -> ost.App:
    app = ost.App("wires")
    for orchestrator in orchestrators:
        app.orchestration(orchestrator)
    return app


def decides(ctx: ost.OrchestrationContext):
    """Wait for an event or a deadline."""
    approved = ctx.wait_for_external_event("approved")
    winner = yield ctx.task_any([approved, ctx.create_timer(timedelta(days=8))])
    return "in time" if winner is approved else "too late"


@pytest.mark.parametrize(("day", "outcome"), [(4, "in time"), (9, "too late")])
def test_an_event_and_a_deadline_of_a_suspended_instance_count_by_when_they_came(
    stand: Stands, day: int, outcome: str
) -> None:
    host = stand(application(decides))
    instance_id = host.start("decides")
    host.settle()
    host.suspend_with(instance_id, "other", "null")
    host.pass_time(timedelta(days=day))
    host.come_back(instance_id, "approved", after=timedelta(days=7))
    assert output(host.finish(instance_id)) == outcome


def test_what_is_asked_for_behind_a_gate_runs_though_the_instance_ends_before_it_opens(
    stand: Stands,
) -> None:
    app, ran = ost.App("wires"), list[str]()

    @app.activity
    def clean(what: str) -> None:
        ran.append(what)

    @app.orchestration
    def ends(ctx: ost.OrchestrationContext):
        yield ctx.wait_for_external_event("go")
        ctx.create_timer(timedelta(days=5))
        yield ctx.wait_for_external_event("end")
        ctx.call_activity(clean, "up")

    host = stand(app)
    instance_id = host.start("ends")
    host.advance(timedelta(days=10))
    host.raise_before_activities_end(instance_id, "go", "end")
    host.finish(instance_id)
    assert ran == ["up"]


def test_timers_of_an_old_instance_fire_when_they_are_due_and_none_early(stand: Stands) -> None:
    host = stand(application(day_of_timers))
    instance_id = host.start("day_of_timers")
    host.settle()
    host.advance(timedelta(days=10))
    host.raise_event(instance_id, "go", "null")
    host.settle()
    host.advance(timedelta(minutes=59))
    assert not host.state(instance_id).status.finished
    assert output(host.finish(instance_id)) == [3600.0, 30 * 86400.0]


def gather(ctx: ost.OrchestrationContext, read: list[Any]):
    """Read one event a generation, until there are five."""
    if len(read) == 5:
        return read
    event = yield ctx.wait_for_external_event("e")
    ctx.continue_as_new([*read, event])


def test_events_read_and_unread_come_over_a_continue_as_new_exactly_once(stand: Stands) -> None:
    host = stand(application(gather))
    instance_id = host.start("gather", [])
    host.settle()
    for number in range(5):
        host.raise_event(instance_id, "e", str(number))
    assert output(host.finish(instance_id)) == [0, 1, 2, 3, 4]


def repeat(ctx: ost.OrchestrationContext, value: Any):
    """Give back the input and the event."""
    event = yield ctx.wait_for_external_event("e")
    return [value, event]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[1, 2]", [1, 2]),
        ("5", 5),
        ('"words"', "words"),
        ('{"a": 1}', {"a": 1}),
        ('"{\\"a\\": 1}"', {"a": 1}),  # as the SDK writes it
        ('"{no json"', "{no json"),
        ("null", None),
        (None, None),
    ],
)
def test_input_and_events_from_webhook_and_sdk_are_read_alike(
    text: str | None, value: object, stand: Stands
) -> None:
    host = stand(application(repeat))
    instance_id = host.start_raw("repeat", text)
    host.settle()
    host.raise_event(instance_id, "e", text or "null")
    assert output(host.finish(instance_id)) == [value, value]


def wait_for_sense(ctx: ost.OrchestrationContext):
    """Give back the first event that can be read, and how many could not."""
    count = 0
    while True:
        try:
            return [count, (yield ctx.wait_for_external_event("e"))]
        except ost.CodecError:
            count += 1


def test_an_event_that_is_nested_too_deeply_fails_its_wait_alone(stand: Stands) -> None:
    host = stand(application(wait_for_sense))
    instance_id = host.start("wait_for_sense")
    deep = "[" * 100_000 + "]" * 100_000
    for text in (deep, json.dumps(deep), '"sense"'):
        host.raise_event(instance_id, "e", text)
        host.settle()
    assert output(host.finish(instance_id)) == [2, "sense"]


@pytest.mark.parametrize(("first", "second"), [(False, True), (True, False)])
def test_an_instance_begun_on_one_wire_goes_on_on_the_other(first: bool, second: bool) -> None:
    app = application(day_of_timers)
    host = WireStand(app, grpc=first)
    try:
        instance_id = host.start("day_of_timers")
        host.settle()
        host.advance(timedelta(days=10))
        host.raise_event(instance_id, "go", "null")
        host.settle()
        host.deploy(app, grpc=second)
        assert output(host.finish(instance_id)) == [3600.0, 30 * 86400.0]
    finally:
        host.close()


def after_ten_days(ctx: ost.OrchestrationContext, kind: str):
    """Set a long timer late, then do something by the wire that the instance is on by then."""
    yield ctx.wait_for_external_event("go")
    month = ctx.create_timer(timedelta(days=30))
    yield ctx.wait_for_external_event("on")
    done: object = None
    match kind:
        case "a change":
            done = yield ctx.call_activity("new" if ctx.patched("change") else "old")
            yield ctx.wait_for_external_event("end")
        case "no time":
            yield ctx.create_timer(timedelta(0))
        case "an hour":
            yield ctx.create_timer(timedelta(hours=1))
        case "a week":
            yield ctx.create_timer(timedelta(days=7))
        case _:
            yield month
    return [done, ctx.current_utc_datetime.isoformat()]


@pytest.mark.parametrize("hours", [1, 10 * 24])
@pytest.mark.parametrize("kind", ["a change", "no time", "an hour", "a week", "the month"])
@pytest.mark.parametrize(("first", "second"), [(False, True), (True, False)])
def test_a_long_timer_set_on_one_wire_lets_everything_go_on_on_the_other(
    first: bool, second: bool, kind: str, hours: int
) -> None:
    outcomes: list[object] = []
    for wires in ((first, first), (first, second)):
        app = application(after_ten_days)
        app.activity(name="new")(lambda: "new")
        app.activity(name="old")(lambda: "old")
        host = WireStand(app, grpc=wires[0])
        try:
            instance_id = host.start("after_ten_days", kind)
            host.settle()
            host.advance(timedelta(days=10))
            host.raise_event(instance_id, "go", "null")
            host.settle()
            host.pass_time(timedelta(hours=hours))
            host.deploy(app, grpc=wires[1])
            host.raise_event(instance_id, "on", "null")
            host.settle()
            if kind == "a change":
                host.raise_event(instance_id, "end", "null")
            outcomes.append(output(host.finish(instance_id)))
        finally:
            host.close()
    assert outcomes[0] == outcomes[1]
    assert (kind == "a change") == ("new" in str(outcomes[0]))


def held_back(ctx: ost.OrchestrationContext):
    """Decide on a change in the turn in which the instance is suspended."""
    yield ctx.wait_for_external_event("go")
    changed = ctx.patched("change")
    yield ctx.wait_for_external_event("end")
    return changed


def test_what_is_decided_in_the_turn_of_a_suspension_stays_decided(stand: Stands) -> None:
    host = stand(application(held_back))
    instance_id = host.start("held_back")
    host.settle()
    host.suspend_with(instance_id, "go", "null")
    host.resume(instance_id)
    host.raise_event(instance_id, "end", "null")
    assert output(host.finish(instance_id)) is True


lived: list[str] = []


def tells(ctx: ost.OrchestrationContext):
    """Tell what is lived through for the first time."""
    yield ctx.wait_for_external_event("go")
    if not ctx.is_replaying:
        lived.append("gone")
    yield ctx.wait_for_external_event("end")


def test_what_was_lived_through_before_a_suspension_is_replayed_after_it(
    stand: Stands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSTINATO_LIVE_BYTES", "0")
    lived.clear()
    host = stand(application(tells))
    instance_id = host.start("tells")
    host.settle()
    host.suspend_with(instance_id, "go", "null")
    host.resume(instance_id)
    for _ in range(2):
        host.raise_event(instance_id, "other", "null")
        host.settle()
    host.raise_event(instance_id, "end", "null")
    host.finish(instance_id)
    assert lived == ["gone"]


def changing(ctx: ost.OrchestrationContext):
    """Call the one activity that the deployment calls, then wait."""
    yield ctx.call_activity("first")
    yield ctx.wait_for_external_event("e")


def changed(ctx: ost.OrchestrationContext):
    """As `changing`, but for the activity."""
    yield ctx.call_activity("other")
    yield ctx.wait_for_external_event("e")


def deployment(orchestrator: Any) -> ost.App:
    app = ost.App("deployment")
    for name in ("first", "other"):
        app.activity(name=name)(lambda: None)
    app.orchestration(name="changing")(orchestrator)
    return app


def test_changed_code_fails_the_instance_and_names_what_differs(stand: Stands) -> None:
    host = stand(deployment(changing))
    instance_id = host.start("changing")
    host.settle()
    host.deploy(deployment(changed))
    host.raise_event(instance_id, "e", "null")
    state = host.finish(instance_id)
    assert state.status.name == "Failed"
    for part in ("NonDeterminismError", "'first'", "'other'"):
        assert part in (state.output or "")


def many(ctx: ost.OrchestrationContext, count: int):
    """Ask for many things at once."""
    yield ctx.task_all([ctx.create_timer(timedelta(hours=1)) for _ in range(count)])


def test_more_actions_than_the_extension_takes_fail_with_a_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ostinato_azure.classic.MOST_ACTIONS", 10)
    host = WireStand(application(many), grpc=False)
    try:
        assert host.finish(host.start("many", 10)).status.name == "Completed"
        state = host.finish(host.start("many", 11))
        assert state.status.name == "Failed"
        assert "it asks for 11 things" in (state.output or "")
    finally:
        host.close()


def goes_on_anew(ctx: ost.OrchestrationContext, count: int):
    """Take events, then continue as new."""
    for _ in range(count):
        yield ctx.wait_for_external_event("e")
    if count:
        ctx.continue_as_new(0)


@pytest.mark.parametrize(("count", "status"), [(9, "Completed"), (10, "Failed")])
def test_the_waits_before_continuing_as_new_count_as_actions_too(
    monkeypatch: pytest.MonkeyPatch, count: int, status: str
) -> None:
    monkeypatch.setattr("ostinato_azure.classic.MOST_ACTIONS", 10)
    host = WireStand(application(goes_on_anew), grpc=False)
    try:
        instance_id = host.start("goes_on_anew", count)
        host.settle()
        for _ in range(count):
            host.raise_event(instance_id, "e", "null")
        assert host.finish(instance_id).status.name == status
    finally:
        host.close()


def carry(ctx: ost.OrchestrationContext, text: str):
    """Take a long text through every position that a payload has."""
    event = yield ctx.wait_for_external_event("e")
    echoed = yield ctx.call_activity("echo", text)
    child = yield ctx.call_sub_orchestrator("echo_child", text)
    return [event == text, echoed == text, child == text, text]


def echo_child(ctx: ost.OrchestrationContext, text: str):
    """Give the input back."""
    return text
    yield


def test_a_payload_of_five_megabytes_passes_in_each_position(stand: Stands) -> None:
    app = application(carry, echo_child)
    app.activity(name="echo")(lambda text: text)
    host = stand(app)
    text = "ü\n" * (5 * 1024 * 1024 // 3)
    instance_id = host.start("carry", text)
    host.settle()
    host.raise_event(instance_id, "e", json.dumps(text))
    assert output(host.finish(instance_id)) == [True, True, True, text]


def counted(ctx: ost.OrchestrationContext):
    """Call an activity, wait, and call another."""
    first = yield ctx.call_activity("number")
    yield ctx.wait_for_external_event("e")
    second = yield ctx.call_activity("number")
    return [first, second]


def test_a_result_that_is_delivered_twice_counts_once(stand: Stands) -> None:
    app = application(counted)
    numbers = iter(range(1, 10))
    app.activity(name="number")(lambda: next(numbers))
    host = stand(app)
    instance_id = host.start("counted")
    host.settle()
    host.redeliver(instance_id, 0)
    host.settle()
    host.raise_event(instance_id, "e", "null")
    assert output(host.finish(instance_id)) == [1, 2]
