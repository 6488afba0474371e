"""The classic wire: a request as the extension writes it, and the answer that it runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

import ostinato as ost
from ostinato.replay import Orchestration
from ostinato_azure import classic, envelope
from ostinato_azure.classic import OrchestrationFailedError, read_history, respond
from ostinato_azure.failures import failure_details, failure_from_details, failure_text
from ostinato_azure.markers import marker_due
from ostinato_azure.names import CLIENT, GATE
from ostinato_azure.table import Surroundings

START = datetime(2030, 1, 1, tzinfo=UTC)
NOTHING = {"actionType": 12, "compoundActions": list[Any]()}

Event = dict[str, Any]
Orchestrator = Callable[..., Any]


def around(*orchestrators: Orchestrator, others: Sequence[str] = ()) -> Surroundings:
    """An app with these orchestrations, the activity ``double``, and functions of others."""
    app = ost.App("classic")
    app.activity(name="double")(lambda number: 2 * number)
    for orchestrator in orchestrators:
        app.orchestration(orchestrator)
    return Surroundings(
        registry=app.registry,
        has_activity=others.__contains__,
        has_orchestration=others.__contains__,
    )


def moment(at: datetime) -> str:
    """A time as .NET writes it, to a tenth of a microsecond."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"


class History:
    """A history as the extension has it, written event by event."""

    def __init__(self, name: str, input: str | None = "null", version: str | None = None) -> None:
        self.now = START
        self.events: list[Event] = []
        self.turn(
            event(
                0,
                Name=name,
                Input=input,
                Version=version,
                OrchestrationInstance={"InstanceId": "inst", "ExecutionId": "exec"},
                ParentInstance=None,
                Tags=None,
            )
        )

    def turn(self, *events: Event, after: timedelta = timedelta()) -> History:
        """Begin a turn with these messages."""
        self.now += after
        return self.add(event(12), *events)

    def add(self, *events: Event) -> History:
        """Add what the turn did."""
        self.events += [{**e, "Timestamp": moment(self.now)} for e in events]
        return self

    def request(self, **more: Any) -> str:
        """The text of the trigger."""
        return json.dumps(
            {
                "history": self.events,
                "input": None,
                "instanceId": "inst",
                "isReplaying": False,
                "parentInstanceId": None,
                "upperSchemaVersion": 1,
                "upperSchemaVersionNew": 3,
                "longRunningTimerIntervalDuration": "3.00:00:00",
                "maximumShortTimerDuration": "6.00:00:00",
                "defaultHttpAsyncRequestSleepTimeMillseconds": 30000,
                **more,
            }
        )


def event(kind: int, id: int = -1, **fields: Any) -> Event:
    return {"EventType": kind, "EventId": id, "IsPlayed": False, **fields}


def scheduled(id: int, name: str) -> Event:
    return event(4, id, Name=name, Version="", Input=None)


def completed(id: int, result: object) -> Event:
    return event(5, TaskScheduledId=id, Result=json.dumps(result))


def failed(id: int, reason: str, details: object = None) -> Event:
    return event(6, TaskScheduledId=id, Reason=reason, Details=None, FailureDetails=details)


def child_created(id: int, name: str, instance_id: str) -> Event:
    return event(7, id, Name=name, InstanceId=instance_id)


def child_failed(id: int, reason: str, details: object = None) -> Event:
    return event(9, TaskScheduledId=id, Reason=reason, FailureDetails=details)


def timer_created(id: int, due: datetime) -> Event:
    return event(10, id, FireAt=moment(due))


def timer_fired(id: int, due: datetime) -> Event:
    return event(11, TimerId=id, FireAt=moment(due))


def raised(name: str, data: object) -> Event:
    return event(15, Name=name, Input=json.dumps(data))


def answered(history: History, surroundings: Surroundings, **more: Any) -> dict[str, Any]:
    """The answer to a turn that did not fail."""
    answer: dict[str, Any] = json.loads(respond(history.request(**more), surroundings))
    return answer


def failing(history: History, surroundings: Surroundings, **more: Any) -> tuple[str, Any]:
    """What people are told of a turn that failed, and the answer behind it."""
    with pytest.raises(OrchestrationFailedError) as caught:
        respond(history.request(**more), surroundings)
    told, mark, data = str(caught.value).partition("\n\n$OutOfProcData$:")
    assert mark and "$OutOfProcData$" not in told
    return told, json.loads(data)


def actions(answer: dict[str, Any]) -> list[Any]:
    """What the extension runs, one after the other."""
    (only,) = answer["actions"]
    return list(only)


def asked(answer: dict[str, Any]) -> list[Any]:
    """What stands in the groups, which the extension waits for none of."""
    found = list[Any]()
    for action in actions(answer):
        if action["actionType"] == 11:
            *members, nothing = action["compoundActions"]
            assert nothing == NOTHING
            found += members
    return found


# Groups


def both(ctx: ost.OrchestrationContext):
    """Call two activities and a child, set a timer and wait for an event, then for all."""
    tasks = [ctx.call_activity("double", number) for number in (1, 2)]
    child = ctx.call_sub_orchestrator(both)
    timer = ctx.create_timer(timedelta(hours=1))
    event = ctx.wait_for_external_event("go")
    return (yield ctx.task_all([*tasks, child, timer, event]))


def test_what_a_turn_asks_for_stands_in_a_group_with_what_is_there_already():
    answer = answered(History("both"), around(both))
    (group,) = actions(answer)
    assert group["actionType"] == 11
    kinds = [action["actionType"] for action in group["compoundActions"]]
    assert kinds == [0, 0, 2, 5, 12]
    assert group["compoundActions"][-1] == NOTHING
    assert (answer["isDone"], answer["schemaVersion"]) == (False, 2)


def wait(ctx: ost.OrchestrationContext):
    """Wait for an event."""
    ctx.set_custom_status({"waiting": True})
    return (yield ctx.wait_for_external_event("go"))


def test_a_wait_for_an_event_needs_no_action():
    answer = answered(History("wait"), around(wait))
    assert actions(answer) == []
    assert answer["customStatus"] == {"waiting": True}


def test_of_what_the_history_has_only_kind_and_name_are_repeated():
    history = History("both").add(
        scheduled(0, "double"),
        scheduled(1, "double"),
        child_created(2, "both", "exec:2"),
        timer_created(3, START + timedelta(hours=1)),
    )
    first, second, child, timer = asked(answered(history.turn(completed(0, 2)), around(both)))
    assert first == second == {"actionType": 0, "functionName": "double", "input": None}
    assert child == {
        "actionType": 2,
        "functionName": "both",
        "instanceId": "exec:2",
        "input": None,
    }
    assert timer == {
        "actionType": 5,
        "fireAt": "2030-01-01T01:00:00.000000Z",
        "isCanceled": False,
    }


CLASSY = {"__class__": "Order", "__module__": "os", "__data__": [1]}


def give(ctx: ost.OrchestrationContext, value: Any):
    """Give an activity the input."""
    return (yield ctx.call_activity("double", value))


def test_an_activity_of_ours_is_given_text_in_which_no_decoder_finds_objects():
    history = History("give", json.dumps(json.dumps(CLASSY)))
    (action,) = asked(answered(history, around(give)))
    text = json.loads(action["input"])
    assert isinstance(text, str)
    given = json.loads(text)
    assert given["data"] == CLASSY
    assert given["call"] == {
        "instance_id": "inst",
        "execution_id": "exec",
        "task_id": 0,
        "first_id": 0,
    }


def foreign(ctx: ost.OrchestrationContext):
    """Call an activity and a child of others."""
    first = ctx.call_activity("theirs", {"a": [1]})
    second = ctx.call_sub_orchestrator("their_child", "text")
    return (yield ctx.task_all([first, second]))


def with_others(*present: str) -> Surroundings:
    app = ost.App("others")
    app.foreign_activity("theirs")
    app.foreign_orchestration("their_child")
    app.orchestration(foreign)
    return Surroundings(
        registry=app.registry,
        has_activity=present.__contains__,
        has_orchestration=present.__contains__,
    )


def test_functions_of_others_are_given_plain_data():
    first, second = asked(answered(History("foreign"), with_others("theirs", "their_child")))
    assert (first["functionName"], json.loads(first["input"])) == ("theirs", {"a": [1]})
    assert (second["functionName"], json.loads(second["input"])) == ("their_child", "text")


def test_functions_that_nobody_has_are_never_asked_for():
    told, answer = failing(History("foreign"), with_others())
    assert "'theirs' is another application's: no one here runs it" in told
    assert actions(answer) == []


# Ends


def double(ctx: ost.OrchestrationContext, number: int):
    """Call an activity."""
    return (yield ctx.call_activity("double", number))


def done(history: History | None = None) -> History:
    history = history or History("double", "4")
    return history.add(scheduled(0, "double")).turn(completed(0, 8))


def test_a_completed_orchestration_is_done_and_has_its_output():
    answer = answered(done(), around(double))
    assert (answer["isDone"], answer["output"]) == (True, 8)
    assert "error" not in answer


def test_an_ended_orchestration_answers_the_same_until_nothing_is_open():
    history = History("leave").add(scheduled(0, "double"), scheduled(1, "double"))
    first = respond(history.turn(completed(0, 1)).request(), around(leave))
    second = respond(history.turn(completed(1, 2)).request(), around(leave))
    assert json.loads(first)["isDone"]
    assert first == second


def leave(ctx: ost.OrchestrationContext):
    """End with an activity open."""
    first = ctx.call_activity("double", 1)
    ctx.call_activity("double", 2)
    return (yield first)


def test_a_result_in_an_envelope_is_opened():
    history = History("double", "4").add(scheduled(0, "double"))
    history.turn(completed(0, {"$ostinato": 1, "data": {"$ostinato": "mine"}}))
    output = envelope.read_exact(json.dumps(answered(history, around(double))["output"]))
    assert json.loads(output.text) == {"$ostinato": "mine"}


def crash(ctx: ost.OrchestrationContext, message: str):
    """Fail with a message."""
    raise ValueError(message)
    yield


def failure_of_text(text: str) -> ost.Failure:
    return failure_from_details(None, text, "k")


def test_a_failure_is_one_line_and_the_answer_behind_the_mark():
    told, answer = failing(History("crash", '"no"'), around(crash))
    assert told == "ValueError: no"
    assert (answer["isDone"], actions(answer), answer["schemaVersion"]) == (False, [], 3)
    assert answer["error"] == "ValueError: no"
    details = answer["failureDetails"]
    assert (details["ErrorType"], details["ErrorMessage"]) == ("ValueError", "no")
    assert "raise ValueError" in details["StackTrace"]
    assert json.loads(details["Properties"]["ostinato"])["bases"][0] == "builtins.ValueError"


def test_an_extension_that_takes_no_details_gets_the_failure_in_the_text():
    _, answer = failing(History("crash", '"no"'), around(crash), upperSchemaVersionNew=2)
    assert answer["schemaVersion"] == 2 and "failureDetails" not in answer
    failure = failure_of_text(answer["error"])
    assert (failure.type, failure.message) == ("ValueError", "no")
    assert "raise ValueError" in failure.traceback


@pytest.mark.parametrize("newest", [2, 3])
@pytest.mark.parametrize(
    "message", ["a\nStack: b", "\nStack:", "$OutOfProcData$:{}", "\r\nStack: x\r\n", "x" * 5000]
)
def test_no_message_hides_the_data_behind_it(message: str, newest: int):
    request = History("crash", json.dumps(message)).request(upperSchemaVersionNew=newest)
    with pytest.raises(OrchestrationFailedError) as caught:
        respond(request, around(crash))
    text = str(caught.value)
    assert not any(line.startswith("Stack:") for line in text.splitlines())
    assert text.count("\n\n$OutOfProcData$:") == 1
    told, _, data = text.partition("\n\n$OutOfProcData$:")
    assert len(told) < 400
    answer = json.loads(data)
    found = failure_of_text(answer["error"]) if newest == 2 else None
    kept = found.message if found else answer["failureDetails"]["ErrorMessage"]
    assert kept == message


def test_the_custom_status_outlives_a_failure():
    history = History("status").turn(raised("go", None))
    _, answer = failing(history, around(status))
    assert answer["customStatus"] == "here"


def status(ctx: ost.OrchestrationContext):
    """Set a status and fail."""
    ctx.set_custom_status("here")
    yield ctx.wait_for_external_event("go")
    raise ValueError("no")


# Failures of tasks


def catch(ctx: ost.OrchestrationContext):
    """Tell how an activity or, after it, a child fails."""
    told = list[Any]()
    for task in (ctx.call_activity("double", 1), ctx.call_sub_orchestrator(catch)):
        try:
            yield task
        except ost.TaskFailedError as error:
            told.append([error.failure.type, error.failure.message])
    return told


def failure(message: str) -> ost.Failure:
    return ost.Failure(type="SoldOut", message=message, traceback="")


def caught_of(activity: Event, child: Event) -> Any:
    history = History("catch").add(scheduled(0, "double"), child_created(1, "catch", "exec:1"))
    return answered(history.turn(activity, child), around(catch))["output"]


def test_a_failure_of_ours_comes_back_from_reasons():
    reason = f"Activity function 'double' failed:  Error: {failure_text(failure('no tea'))}"
    told = caught_of(failed(0, reason), child_failed(1, failure_text(failure("no milk"))))
    assert told == [["SoldOut", "no tea"], ["SoldOut", "no milk"]]


def test_a_failure_of_ours_comes_back_from_details():
    told = caught_of(
        failed(0, "reason", failure_details(failure("no tea"))),
        child_failed(1, "reason", failure_details(failure("no milk"))),
    )
    assert told == [["SoldOut", "no tea"], ["SoldOut", "no milk"]]


def test_a_failure_of_others_has_the_hosts_reason():
    details = {"ErrorType": "X", "ErrorMessage": "y", "Properties": None}
    told = caught_of(failed(0, "it broke"), child_failed(1, "terminated", details))
    assert told == [["ActivityError", "it broke"], ["SubOrchestrationError", "terminated"]]


# Timers and gates


def two_timers(ctx: ost.OrchestrationContext, days: list[int]):
    """Wait for an event, set timers, and wait for the first."""
    yield ctx.wait_for_external_event("go")
    yield ctx.task_any([ctx.create_timer(timedelta(days=n)) for n in days])
    return ctx.current_utc_datetime.isoformat()


def timers_of(days: list[int], *, old: timedelta) -> History:
    return History("two_timers", json.dumps(days)).turn(raised("go", None), after=old)


def fire_at(*days: float) -> list[str]:
    return [(START + timedelta(days=n)).strftime("%Y-%m-%dT%H:%M:%S.%fZ") for n in days]


def test_a_timer_longer_than_storage_keeps_messages_is_set_in_hops():
    history = timers_of([5, 30], old=timedelta())
    answer = answered(history, around(two_timers))
    assert [action["fireAt"] for action in asked(answer)] == fire_at(5, 3)
    assert len(actions(answer)) == 1


def test_a_hop_that_fired_is_followed_by_the_next_until_the_timer_is_due():
    surroundings = around(two_timers)
    history = timers_of([7], old=timedelta())
    due = START + timedelta(days=3)
    history.add(timer_created(0, due)).turn(timer_fired(0, due), after=timedelta(days=3))
    answer = answered(history, surroundings)
    gate, group = actions(answer)[-2:]
    # The clock stands where the first turn began: seven days are too long for it.
    assert gate == {"actionType": 0, "functionName": GATE, "input": None}
    assert [a["fireAt"] for a in group["compoundActions"][:-1]] == fire_at(7)
    history.add(scheduled(1, GATE)).turn(completed(1, None))
    history.add(timer_created(2, START + timedelta(days=7)))
    history.turn(timer_fired(2, START + timedelta(days=7)), after=timedelta(days=4))
    answer = answered(history, surroundings)
    assert answer["output"] == "2030-01-08T00:00:00+00:00"


def test_a_timer_that_the_old_clock_would_split_stands_behind_a_gate():
    history = timers_of([1], old=timedelta(days=10))
    gate, group = actions(answered(history, around(two_timers)))
    assert gate == {"actionType": 0, "functionName": GATE, "input": None}
    assert [a["fireAt"] for a in group["compoundActions"][:-1]] == fire_at(11)


def test_one_gate_is_enough_for_all_timers_of_a_turn_and_one_that_is_pending_for_more():
    history = timers_of([1, 2], old=timedelta(days=10))
    surroundings = around(two_timers)
    assert len(actions(answered(history, surroundings))) == 2
    history.add(scheduled(0, GATE)).turn(raised("more", 1))
    gate, group = actions(answered(history, surroundings))
    assert gate["functionName"] == GATE
    assert [a["fireAt"] for a in group["compoundActions"][:-1]] == fire_at(11, 12)


def test_behind_an_open_gate_the_clock_is_the_turn_that_opened_it():
    history = timers_of([1], old=timedelta(days=10))
    history.add(scheduled(0, GATE)).turn(completed(0, None), after=timedelta(days=1))
    gate, group = actions(answered(history, around(two_timers)))
    assert gate["functionName"] == GATE
    assert [a["fireAt"] for a in group["compoundActions"][:-1]] == fire_at(11)


def test_the_extension_says_how_long_its_timers_may_be():
    history = timers_of([1], old=timedelta())
    answer = answered(
        history,
        around(two_timers),
        maximumShortTimerDuration="06:00:00",
        longRunningTimerIntervalDuration="03:00:00.5000000",
    )
    assert [action["fireAt"] for action in asked(answer)] == ["2030-01-01T03:00:00.500000Z"]


def test_an_extension_that_says_nothing_of_timers_is_taken_for_one_on_azure_storage():
    history = timers_of([5, 30], old=timedelta())
    unsaid = {"maximumShortTimerDuration": None, "longRunningTimerIntervalDuration": None}
    answer = answered(history, around(two_timers), **unsaid)
    assert [action["fireAt"] for action in asked(answer)] == fire_at(5, 3)


def test_a_timer_that_is_open_when_the_instance_ends_is_cancelled_in_its_place():
    history = timers_of([1, 2], old=timedelta())
    dues = [START + timedelta(days=n) for n in (1, 2)]
    history.add(*(timer_created(n, due) for n, due in enumerate(dues)))
    answer = answered(
        history.turn(timer_fired(0, dues[0]), after=timedelta(days=1)), around(two_timers)
    )
    assert answer["isDone"]
    assert [action["isCanceled"] for action in asked(answer)] == [False, True]


# Markers and versions


def patched(ctx: ost.OrchestrationContext):
    """Ask whether this began with the change."""
    new = ctx.patched("change")
    return [new, (yield ctx.call_activity("double", 1))]


def test_a_marker_is_a_timer_that_is_long_past_and_known_again_by_its_time():
    surroundings = around(patched)
    history = History("patched")
    marker, activity = asked(answered(history, surroundings))
    due = marker_due("patch:change")
    assert marker == {
        "actionType": 5,
        "fireAt": due.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "isCanceled": False,
    }
    assert activity["functionName"] == "double"
    history.add(timer_created(0, due), scheduled(1, "double"))
    history.turn(timer_fired(0, due), completed(1, 2))
    assert answered(history, surroundings)["output"] == [True, 2]


def test_a_history_from_before_the_change_has_no_marker_and_gets_none():
    history = History("patched").add(scheduled(0, "double")).turn(completed(0, 2))
    answer = answered(history, around(patched))
    assert answer["output"] == [False, 2]
    assert [action["actionType"] for action in asked(answer)] == [0]


def first(ctx: ost.OrchestrationContext):
    """Tell that it is the first version."""
    yield ctx.wait_for_external_event("go")
    return "first"


def second(ctx: ost.OrchestrationContext):
    """Tell that it is the second version."""
    yield ctx.wait_for_external_event("go")
    return "second"


def third(ctx: ost.OrchestrationContext):
    """Tell that it is the third version."""
    yield ctx.wait_for_external_event("go")
    return "third"


def versions() -> Surroundings:
    app = ost.App("versions")
    app.orchestration(name="flow", version="1")(first)
    app.orchestration(name="flow", version="2")(second)
    app.orchestration(name="flow", version="3")(third)
    return Surroundings(
        registry=app.registry, has_activity=lambda name: False, has_orchestration=lambda name: False
    )


def test_an_instance_that_others_start_keeps_the_newest_version_by_a_marker():
    history = History("flow")
    (marker,) = asked(answered(history, versions()))
    due = marker_due("version:3")
    assert marker["fireAt"] == due.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    history.add(timer_created(0, due)).turn(timer_fired(0, due), raised("go", 1))
    assert answered(history, versions())["output"] == "third"


def test_an_instance_without_the_marker_is_from_before_there_were_versions():
    assert answered(History("flow").turn(raised("go", 1)), versions())["output"] == "first"


@pytest.mark.parametrize(
    "history",
    [
        History("flow", json.dumps({"$ostinato": 1, "data": None, "version": "2"})),
        History("flow", version="2"),
    ],
    ids=["in the envelope", "the host's stamp"],
)
def test_a_version_that_is_told_is_kept(history: History):
    answer = answered(history.turn(raised("go", 1)), versions())
    assert (answer["output"], asked(answer)) == ("second", [])


# Continue as new


def generation(ctx: ost.OrchestrationContext, read: list[Any]):
    """Read two events and go on with them."""
    ctx.set_custom_status(len(read))
    first = yield ctx.wait_for_external_event("e")
    second = yield ctx.wait_for_external_event("e")
    ctx.continue_as_new([*read, first, second])


def test_before_continue_as_new_each_event_that_came_is_waited_for_once():
    history = History("generation", "[]").turn(raised("e", 1), raised("other", 2))
    answer = answered(history.turn(raised("e", 3), raised("e", 4)), around(generation))
    *waits, on = actions(answer)
    assert waits == [
        {"actionType": 6, "externalEventName": name, "reason": "ExternalEvent"}
        for name in ("e", "other", "e", "e")
    ]
    assert on["actionType"] == 4
    assert (answer["isDone"], answer["customStatus"]) == (True, 0)


def test_the_next_generation_is_given_what_was_left_unread():
    history = History("generation", "[]").turn(raised("e", 1), raised("other", {"a": 2}))
    *_, on = actions(answered(history.turn(raised("e", 3)), around(generation)))
    given = json.loads(on["input"])
    assert given == {
        "$ostinato": 1,
        "data": [1, 3],
        "status": 0,
        "events": [{"name": "other", "data": {"a": 2}}],
    }
    answer = answered(History("generation", on["input"]).turn(raised("e", 5)), around(generation))
    assert answer["customStatus"] == 2


def test_events_that_were_sent_once_are_remembered_over_generations():
    once = {"$ostinato": 1, "data": 1, "event_id": "x:1"}
    history = History("generation", "[]").turn(raised("e", once), raised("e", once))
    assert not answered(history, around(generation))["isDone"]
    *_, on = actions(answered(history.turn(raised("e", 2)), around(generation)))
    assert json.loads(on["input"])["event_ids"] == ["x:1"]
    again = History("generation", on["input"]).turn(raised("e", once), raised("e", 7))
    assert not answered(again, around(generation))["isDone"]


# Steering


def test_while_suspended_nothing_is_taken_and_nothing_new_is_asked_for():
    history = History("double", "4").add(scheduled(0, "double"))
    history.turn(event(19, Reason="hold")).turn(completed(0, 8))
    answer = answered(history, around(double))
    assert not answer["isDone"]
    history.turn(event(20, Reason="go on"))
    assert answered(history, around(double))["output"] == 8


def test_a_terminated_instance_repeats_what_it_has_and_says_no_more():
    history = History("double", "4").add(scheduled(0, "double"))
    answer = answered(history.turn(event(3, Input="enough")), around(double))
    assert (answer["isDone"], "output" in answer) == (False, False)
    (action,) = asked(answer)
    assert action["functionName"] == "double"


def parent(ctx: ost.OrchestrationContext):
    """End with a child open, having sent an event."""
    ctx.call_sub_orchestrator(parent)
    ctx.send_event("other", "e", {"a": 1})
    yield ctx.wait_for_external_event("go")
    return "ended"


def test_what_needs_a_client_is_asked_of_the_reserved_activity():
    child, sent = asked(answered(History("parent"), around(parent)))
    assert child["instanceId"] == "exec:0"
    assert sent["functionName"] == CLIENT
    assert json.loads(json.loads(sent["input"])) == {
        "type": "Send",
        "instance_id": "other",
        "name": "e",
        "data": '{"a":1}',
        "event_id": "exec:1",
    }


def test_an_instance_that_ends_has_its_open_children_ended():
    history = History("parent").add(child_created(0, "parent", "exec:0"), scheduled(1, CLIENT))
    answer = answered(history.turn(raised("go", 1), completed(1, None)), around(parent))
    assert answer["isDone"]
    operation = json.loads(json.loads(asked(answer)[-1]["input"]))
    assert operation == {"type": "TerminateTree", "instance_id": "exec:0", "reason": "parent ended"}


def test_a_rewind_asks_again_for_what_it_took_away():
    history = History("double", "4").add(event(17, 0))
    history.turn(event(17)).add(event(17, 1)).turn(event(17, Data="rewind"))
    (action,) = asked(answered(history, around(double)))
    assert action["functionName"] == "double" and action["input"] is not None


def test_the_marks_of_what_a_rewind_took_away_take_nothing_more():
    due = START + timedelta(days=1)
    history = timers_of([1], old=timedelta()).add(timer_created(0, due))
    history.turn(event(17))
    (timer,) = asked(answered(history, around(two_timers)))
    assert not timer["isCanceled"]


def test_a_rewind_sets_open_timers_anew():
    due = START + timedelta(days=1)
    history = timers_of([1], old=timedelta()).add(timer_created(0, due))
    history.turn(event(17)).add(event(17, 1)).turn(event(17, Data="again"))
    before, anew = asked(answered(history, around(two_timers)))
    assert (before["isCanceled"], anew["isCanceled"]) == (True, False)
    assert before["fireAt"] == anew["fireAt"]


# What does not fit


def other(ctx: ost.OrchestrationContext, number: int):
    """What `double` has become."""
    yield ctx.create_timer(timedelta(hours=1))


def renamed(orchestrator: Orchestrator, name: str) -> Surroundings:
    app = ost.App("renamed")
    app.activity(name="double")(lambda number: 2 * number)
    app.orchestration(name=name)(orchestrator)
    return Surroundings(
        registry=app.registry, has_activity=lambda name: False, has_orchestration=lambda name: False
    )


def test_changed_code_fails_with_all_that_the_history_has_so_that_the_reason_stands():
    history = History("double", "4").add(
        scheduled(0, "double"), timer_created(1, START + timedelta(hours=1))
    )
    history.turn(completed(0, 8))
    told, answer = failing(history, renamed(other, "double"))
    assert told.startswith("NonDeterminismError: ") and "'double'" in told
    activity, timer = asked(answer)
    assert (activity["functionName"], activity["input"]) == ("double", None)
    assert (timer["actionType"], timer["isCanceled"]) == (5, True)


def test_an_orchestration_that_is_gone_fails_with_its_name():
    told, _ = failing(done(), around(other))
    assert told.startswith("UnknownNameError: ") and "'double'" in told


def unknown(ctx: ost.OrchestrationContext):
    """Call what nobody declared."""
    yield ctx.call_activity("nowhere")


def test_an_activity_that_is_not_declared_fails_the_instance_before_the_host_is_asked():
    told, answer = failing(History("unknown"), around(unknown))
    assert told.startswith("UnknownNameError: ") and "'nowhere'" in told
    assert actions(answer) == []


def test_more_actions_than_the_extension_takes_fail_with_a_reason_and_none_of_the_new():
    most = classic.MOST_ACTIONS
    assert most == 100_000
    assert len(asked(answered(History("many", str(most)), around(many)))) == most
    told, answer = failing(History("many", str(most + 1)), around(many))
    assert told.startswith("UnsupportedError: it asks for 100,001 things in one generation")
    assert actions(answer) == []


def many(ctx: ost.OrchestrationContext, count: int):
    """Ask for many things, a part of them after a yield: there is a limit without one, too."""
    for number in range(count):
        ctx.create_timer(timedelta(hours=1))
        if number == 10:
            yield ctx.task_all([])
    yield ctx.wait_for_external_event("go")


@pytest.mark.parametrize("kind", [13, 14, 16, 18, 21, 99])
def test_events_that_mean_nothing_here_are_passed_over(kind: int):
    history = History("double", "4").add(scheduled(0, "double"), event(kind, 5, Anything={"a": 1}))
    history.turn(event(kind), completed(0, 8))
    assert answered(history, around(double))["output"] == 8


@pytest.mark.parametrize(
    "request_text",
    [
        "",
        "{",
        "{}",
        "[]",
        '{"history": 5}',
        '{"history": [{}]}',
        '{"history": [{"EventType": 12}]}',
    ],
)
def test_what_is_no_request_is_refused(request_text: str):
    with pytest.raises(msgspec.MsgspecError):
        respond(request_text, around(double))


# Histories


def test_the_history_of_a_request_replays_on_the_core():
    history = timers_of([30], old=timedelta(days=10))
    due = START + timedelta(days=13)
    history.add(scheduled(0, GATE)).turn(completed(0, None))
    history.add(timer_created(1, due)).turn(timer_fired(1, due), after=timedelta(days=3))
    surroundings = around(two_timers)
    events = read_history(history.request(), surroundings)
    kinds = [type(e).__name__ for e in events]
    assert kinds.count("TimerCreated") == 1 and "TaskScheduled" not in kinds
    core = Orchestration(surroundings.registry)
    core.replay(events)
    assert core.outcome is None and core.next_id == 1
