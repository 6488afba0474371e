"""The Durable Task wire: a request as the host writes it, and what its answer has it do."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import durabletask.internal.orchestrator_service_pb2 as pb
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import StringValue

import ostinato as ost
from ostinato.replay import Orchestration
from ostinato_azure.durabletask import read_history, respond
from ostinato_azure.failures import failure_text
from ostinato_azure.markers import marker_due
from ostinato_azure.names import CLIENT, GATE
from ostinato_azure.table import Surroundings

START = datetime(2030, 1, 1, tzinfo=UTC)

Orchestrator = Callable[..., Any]


def around(*orchestrators: Orchestrator) -> Surroundings:
    """An app with these orchestrations and the activity ``double``."""
    app = ost.App("durabletask")
    app.activity(name="double")(lambda number: 2 * number)
    app.foreign_activity("theirs")
    for orchestrator in orchestrators:
        app.orchestration(orchestrator)
    return Surroundings(
        registry=app.registry,
        has_activity=lambda name: name == "theirs",
        has_orchestration=lambda name: False,
    )


def stamp(at: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(at)
    return made


def text(value: str) -> StringValue:
    return StringValue(value=value)


def encoded(value: object) -> StringValue:
    return text(json.dumps(value))


class History:
    """A history as the host has it, written event by event; its last turn is the new one."""

    def __init__(self, name: str, input: object = None, *, at: datetime = START) -> None:
        self.now = at
        self._turns: list[list[pb.HistoryEvent]] = []
        instance = pb.OrchestrationInstance(instanceId="inst", executionId=text("exec"))
        started = pb.ExecutionStartedEvent(
            name=name, input=encoded(input), orchestrationInstance=instance
        )
        self.turn(pb.HistoryEvent(eventId=-1, executionStarted=started))

    def turn(self, *events: pb.HistoryEvent, after: timedelta = timedelta()) -> History:
        """Begin a turn with these messages."""
        self.now += after
        self._turns.append([])
        return self.add(
            pb.HistoryEvent(eventId=-1, orchestratorStarted=pb.OrchestratorStartedEvent()), *events
        )

    def add(self, *events: pb.HistoryEvent) -> History:
        """Add what the turn did."""
        for event in events:
            event.timestamp.CopyFrom(stamp(self.now))
            self._turns[-1].append(event)
        return self

    def request(self) -> pb.OrchestratorRequest:
        """What the host asks."""
        *past, new = self._turns
        return pb.OrchestratorRequest(
            instanceId="inst", pastEvents=[e for turn in past for e in turn], newEvents=new
        )


def scheduled(id: int, name: str) -> pb.HistoryEvent:
    return pb.HistoryEvent(eventId=id, taskScheduled=pb.TaskScheduledEvent(name=name))


def completed(id: int, result: object) -> pb.HistoryEvent:
    done = pb.TaskCompletedEvent(taskScheduledId=id, result=encoded(result))
    return pb.HistoryEvent(eventId=-1, taskCompleted=done)


def failed(id: int, details: pb.TaskFailureDetails | None) -> pb.HistoryEvent:
    event = pb.TaskFailedEvent(taskScheduledId=id, failureDetails=details)
    return pb.HistoryEvent(eventId=-1, taskFailed=event)


def child_created(id: int, name: str, instance_id: str) -> pb.HistoryEvent:
    event = pb.SubOrchestrationInstanceCreatedEvent(name=name, instanceId=instance_id)
    return pb.HistoryEvent(eventId=id, subOrchestrationInstanceCreated=event)


def child_failed(id: int, details: pb.TaskFailureDetails | None) -> pb.HistoryEvent:
    event = pb.SubOrchestrationInstanceFailedEvent(taskScheduledId=id, failureDetails=details)
    return pb.HistoryEvent(eventId=-1, subOrchestrationInstanceFailed=event)


def timer_created(id: int, due: datetime) -> pb.HistoryEvent:
    return pb.HistoryEvent(eventId=id, timerCreated=pb.TimerCreatedEvent(fireAt=stamp(due)))


def timer_fired(id: int, due: datetime) -> pb.HistoryEvent:
    event = pb.TimerFiredEvent(timerId=id, fireAt=stamp(due))
    return pb.HistoryEvent(eventId=-1, timerFired=event)


def raised(name: str, data: object) -> pb.HistoryEvent:
    event = pb.EventRaisedEvent(name=name, input=encoded(data))
    return pb.HistoryEvent(eventId=-1, eventRaised=event)


def answered(history: History, surroundings: Surroundings) -> pb.OrchestratorResponse:
    """The answer to a turn."""
    asked = b64encode(history.request().SerializeToString()).decode()
    return pb.OrchestratorResponse.FromString(b64decode(respond(asked, surroundings)))


def asked(answer: pb.OrchestratorResponse) -> list[pb.OrchestratorAction]:
    """What the host is asked for, but for the end."""
    return [a for a in answer.actions if not a.HasField("completeOrchestration")]


def end(answer: pb.OrchestratorResponse) -> pb.CompleteOrchestrationAction:
    """How the execution ends; it does, under an id behind all others that are asked for."""
    *others, last = answer.actions
    assert last.HasField("completeOrchestration")
    assert all(last.id > other.id for other in others)
    return last.completeOrchestration


def kinds(answer: pb.OrchestratorResponse) -> list[tuple[int, str | None]]:
    return [(action.id, action.WhichOneof("orchestratorActionType")) for action in answer.actions]


# Actions


def both(ctx: ost.OrchestrationContext):
    """Call an activity, one of others and a child, set a timer and wait for an event."""
    ctx.set_custom_status({"n": 1})
    tasks = [ctx.call_activity("double", 2), ctx.call_activity("theirs", {"a": [1]})]
    child = ctx.call_sub_orchestrator(both, "text")
    timer = ctx.create_timer(timedelta(hours=1))
    event = ctx.wait_for_external_event("go")
    return (yield ctx.task_all([*tasks, child, timer, event]))


def test_what_a_turn_asks_for_is_sent_under_the_next_ids():
    answer = answered(History("both"), around(both))
    assert answer.instanceId == "inst"
    assert kinds(answer) == [
        (0, "scheduleTask"),
        (1, "scheduleTask"),
        (2, "createSubOrchestration"),
        (3, "createTimer"),
    ]
    ours, theirs, child, timer = answer.actions
    given = json.loads(json.loads(ours.scheduleTask.input.value))
    assert (given["data"], given["call"]["execution_id"]) == (2, "exec")
    assert theirs.scheduleTask.input.value == '{"a":[1]}'
    assert child.createSubOrchestration.instanceId == "exec:2"
    assert child.createSubOrchestration.input.value == '"text"'
    assert timer.createTimer.fireAt.ToDatetime(UTC) == START + timedelta(hours=1)
    assert json.loads(answer.customStatus.value) == {"n": 1}


def test_what_the_history_has_is_not_sent_again():
    history = History("both").add(
        scheduled(0, "double"),
        scheduled(1, "theirs"),
        child_created(2, "both", "exec:2"),
        timer_created(3, START + timedelta(hours=1)),
    )
    assert kinds(answered(history.turn(completed(0, 4)), around(both))) == []


CLASSY = {"__class__": "Order", "__module__": "os", "__data__": [1]}


def double(ctx: ost.OrchestrationContext, value: Any):
    """Give an activity the input."""
    return (yield ctx.call_activity("double", value))


def test_an_activity_of_ours_is_given_text_in_which_no_decoder_finds_objects():
    (action,) = answered(History("double", CLASSY), around(double)).actions
    given = json.loads(action.scheduleTask.input.value)
    assert isinstance(given, str) and json.loads(given)["data"] == CLASSY


def test_a_start_without_status_sets_none():
    assert not answered(History("double", 1), around(double)).HasField("customStatus")


# Ends


def done() -> History:
    return History("double", 4).add(scheduled(0, "double")).turn(completed(0, 8))


def test_a_completed_orchestration_ends_with_its_output():
    how = end(answered(done(), around(double)))
    assert how.orchestrationStatus == pb.ORCHESTRATION_STATUS_COMPLETED
    assert how.result.value == "8"


def leave(ctx: ost.OrchestrationContext):
    """End with an activity and a timer open."""
    ctx.call_activity("double", 2)
    ctx.create_timer(timedelta(days=1))
    return (yield ctx.wait_for_external_event("go"))


def test_an_end_takes_effect_at_once_whatever_is_open():
    history = History("leave").add(
        scheduled(0, "double"), timer_created(1, START + timedelta(days=1))
    )
    assert kinds(answered(history.turn(raised("go", 1)), around(leave))) == [
        (2, "completeOrchestration")
    ]


def parent(ctx: ost.OrchestrationContext):
    """End with a child open."""
    ctx.call_sub_orchestrator(parent)
    yield ctx.wait_for_external_event("go")
    return "ended"


def test_an_end_waits_until_the_open_children_are_ended():
    history = History("parent").add(child_created(0, "parent", "exec:0")).turn(raised("go", 1))
    (action,) = answered(history, around(parent)).actions
    assert (action.id, action.scheduleTask.name) == (1, CLIENT)
    assert json.loads(json.loads(action.scheduleTask.input.value)) == {
        "type": "TerminateTree",
        "instance_id": "exec:0",
        "reason": "parent ended",
    }
    history.add(scheduled(1, CLIENT)).turn(completed(1, None))
    assert end(answered(history, around(parent))).result.value == '"ended"'


def crash(ctx: ost.OrchestrationContext, message: str):
    """Fail with a message."""
    raise ValueError(message)
    yield


def test_a_failed_orchestration_ends_with_the_failure_and_all_of_it_in_a_property():
    how = end(answered(History("crash", "no\nStack: x"), around(crash)))
    assert how.orchestrationStatus == pb.ORCHESTRATION_STATUS_FAILED
    details = how.failureDetails
    assert (details.errorType, details.errorMessage) == ("ValueError", "no\nStack: x")
    assert "raise ValueError" in details.stackTrace.value
    assert json.loads(details.properties["ostinato"].string_value)["message"] == "no\nStack: x"


def generation(ctx: ost.OrchestrationContext, read: list[Any]):
    """Read an event and go on with it."""
    event = yield ctx.wait_for_external_event("e")
    ctx.continue_as_new([*read, event])


def test_a_next_generation_is_given_what_was_left_unread_and_nothing_is_carried_by_the_host():
    history = History("generation", []).turn(raised("other", 2), raised("e", 1), raised("e", 3))
    how = end(answered(history, around(generation)))
    assert how.orchestrationStatus == pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW
    assert list(how.carryoverEvents) == []
    assert json.loads(how.result.value) == {
        "$ostinato": 1,
        "data": [1],
        "events": [{"name": "other", "data": 2}, {"name": "e", "data": 3}],
    }


@pytest.mark.parametrize(("input", "reason"), [('"enough"', "enough"), ("enough", "enough")])
def test_a_terminated_orchestration_ends_with_the_reason(input: str, reason: str):
    terminated = pb.ExecutionTerminatedEvent(input=text(input))
    history = History("double", 1).add(scheduled(0, "double"))
    history.turn(pb.HistoryEvent(eventId=-1, executionTerminated=terminated))
    how = end(answered(history, around(double)))
    assert how.orchestrationStatus == pb.ORCHESTRATION_STATUS_TERMINATED
    assert json.loads(how.result.value) == reason


def test_while_suspended_nothing_is_taken():
    history = History("double", 4).add(scheduled(0, "double"))
    history.turn(pb.HistoryEvent(eventId=-1, executionSuspended=pb.ExecutionSuspendedEvent()))
    assert kinds(answered(history.turn(completed(0, 8)), around(double))) == []
    history.turn(pb.HistoryEvent(eventId=-1, executionResumed=pb.ExecutionResumedEvent()))
    assert end(answered(history, around(double))).result.value == "8"


# Failures of tasks


def catch(ctx: ost.OrchestrationContext):
    """Tell how an activity and a child fail."""
    told = list[Any]()
    for task in (ctx.call_activity("double", 1), ctx.call_sub_orchestrator(catch)):
        try:
            yield task
        except ost.TaskFailedError as error:
            told.append([error.failure.type, error.failure.message])
    return told


def caught_of(activity: pb.HistoryEvent, child: pb.HistoryEvent) -> Any:
    history = History("catch").add(scheduled(0, "double"), child_created(1, "catch", "exec:1"))
    return json.loads(end(answered(history.turn(activity, child), around(catch))).result.value)


def test_a_failure_of_ours_comes_back_from_the_text_and_from_the_property():
    failure = ost.Failure(type="SoldOut", message="no tea", traceback="")
    activity = pb.TaskFailureDetails(errorType="ActivityFailedError")
    activity.errorMessage = failure_text(failure)
    child = end(answered(History("crash", "no milk"), around(crash))).failureDetails
    assert caught_of(failed(0, activity), child_failed(1, child)) == [
        ["SoldOut", "no tea"],
        ["ValueError", "no milk"],
    ]


def test_a_failure_of_others_has_the_hosts_message_and_one_without_any_says_so():
    details = pb.TaskFailureDetails(errorType="LookupError", errorMessage="it broke")
    silent = "it failed, and the host says no more"
    assert caught_of(failed(0, details), child_failed(1, None)) == [
        ["ActivityError", "it broke"],
        ["SubOrchestrationError", silent],
    ]


# Timers and markers


def timers(ctx: ost.OrchestrationContext, days: list[int]):
    """Set timers and wait for all."""
    yield ctx.task_all([ctx.create_timer(timedelta(days=n)) for n in days])
    return ctx.current_utc_datetime.isoformat()


def fires(answer: pb.OrchestratorResponse) -> list[datetime]:
    return [action.createTimer.fireAt.ToDatetime(UTC) for action in asked(answer)]


def test_a_timer_longer_than_storage_keeps_messages_is_set_in_hops():
    hop = START + timedelta(days=3)
    history = History("timers", [5, 7])
    assert fires(answered(history, around(timers))) == [START + timedelta(days=5), hop]
    history.add(timer_created(0, START + timedelta(days=5)), timer_created(1, hop))
    history.turn(timer_fired(1, hop), after=timedelta(days=3))
    gate = answered(history, around(timers))  # as on the classic wire, whose clock stands still
    assert kinds(gate) == [(2, "scheduleTask")]
    history.add(scheduled(2, GATE)).turn(completed(2, None))
    answer = answered(history, around(timers))
    assert fires(answer) == [START + timedelta(days=7)]
    assert kinds(answer) == [(3, "createTimer")]


def test_an_old_instance_passes_a_gate_so_that_the_classic_wire_could_go_on():
    history = History("wait_then_sleep").turn(raised("go", 1), after=timedelta(days=30))
    assert kinds(answered(history, around(wait_then_sleep))) == [(0, "scheduleTask")]
    history.add(scheduled(0, GATE)).turn(raised("more", 1))
    assert kinds(answered(history, around(wait_then_sleep))) == []
    history.turn(completed(0, None))
    answer = answered(history, around(wait_then_sleep))
    assert fires(answer) == [START + timedelta(days=31)]


def wait_then_sleep(ctx: ost.OrchestrationContext):
    """Set a timer when an event has come."""
    yield ctx.wait_for_external_event("go")
    yield ctx.create_timer(timedelta(days=1))
    return "slept"


def test_the_devices_of_the_other_wire_are_read():
    due = START + timedelta(days=11)
    history = History("wait_then_sleep").turn(raised("go", 1), after=timedelta(days=10))
    history.add(scheduled(0, GATE)).turn(completed(0, None)).add(timer_created(1, due))
    history.turn(timer_fired(1, due), after=timedelta(days=1))
    assert end(answered(history, around(wait_then_sleep))).result.value == '"slept"'


def patched(ctx: ost.OrchestrationContext):
    """Ask whether this began with the change."""
    return [ctx.patched("change"), (yield ctx.call_activity("double", 1))]


def test_a_marker_is_a_timer_that_is_long_past_and_known_again_by_its_time():
    history, due = History("patched"), marker_due("patch:change")
    answer = answered(history, around(patched))
    assert kinds(answer) == [(0, "createTimer"), (1, "scheduleTask")]
    assert answer.actions[0].createTimer.fireAt.ToDatetime(UTC) == due
    history.add(timer_created(0, due), scheduled(1, "double"))
    history.turn(timer_fired(0, due), completed(1, 2))
    assert json.loads(end(answered(history, around(patched))).result.value) == [True, 2]


# What does not fit


def test_changed_code_fails_and_names_what_differs():
    history = History("double", 4).add(scheduled(0, "other")).turn(completed(0, 8))
    how = end(answered(history, around(double)))
    assert how.failureDetails.errorType == "NonDeterminismError"
    assert "'other'" in how.failureDetails.errorMessage


@pytest.mark.parametrize("kind", ["historyState", "entityLockGranted", "orchestratorCompleted"])
def test_events_that_mean_nothing_here_are_passed_over(kind: str):
    event = pb.HistoryEvent(eventId=-1)
    getattr(event, kind).SetInParent()
    history = History("double", 4).add(scheduled(0, "double")).turn(event, completed(0, 8))
    assert end(answered(history, around(double))).result.value == "8"


def test_events_of_a_later_protocol_are_passed_over():
    later = pb.HistoryEvent.FromString(b"\xfa\x3e\x00")  # field 1007, empty
    assert later.WhichOneof("eventType") is None
    history = History("double", 4).add(scheduled(0, "double")).turn(later, completed(0, 8))
    assert end(answered(history, around(double))).result.value == "8"


def test_a_host_may_tell_the_execution_in_the_request_alone():
    history = History("double", 4)
    request = history.request()
    request.newEvents[1].executionStarted.ClearField("orchestrationInstance")
    request.executionId.value = "from the request"
    answer = respond(b64encode(request.SerializeToString()).decode(), around(double))
    (action,) = pb.OrchestratorResponse.FromString(b64decode(answer)).actions
    call = json.loads(json.loads(action.scheduleTask.input.value))["call"]
    assert (call["instance_id"], call["execution_id"]) == ("inst", "from the request")


def test_an_execution_that_the_host_gave_no_id_has_one_of_its_own_for_good():
    def identified(ctx: ost.OrchestrationContext):
        ctx.set_custom_status(str(ctx.new_uuid()))
        for _ in range(2):
            yield ctx.call_activity("double", 1)

    def uuid(history: History) -> str:
        request = history.request()
        for event in (*request.pastEvents, *request.newEvents):
            if event.HasField("executionStarted"):
                event.executionStarted.orchestrationInstance.ClearField("executionId")
        answer = respond(b64encode(request.SerializeToString()).decode(), around(identified))
        return pb.OrchestratorResponse.FromString(b64decode(answer)).customStatus.value

    history, later = History("identified"), History("identified", at=START + timedelta(seconds=1))
    begun = uuid(history)
    history.add(scheduled(0, "double")).turn(completed(0, 2), after=timedelta(days=1))
    assert begun == uuid(history) != uuid(later)


@pytest.mark.parametrize("request_text", ["?", "AAA", "AAAA", b64encode(b"\x0a\xff").decode()])
def test_what_is_no_request_is_refused(request_text: str):
    with pytest.raises(ValueError):
        respond(request_text, around(double))


# Histories


def test_the_history_of_a_request_replays_on_the_core():
    hop = START + timedelta(days=3)
    history = History("timers", [7]).add(timer_created(0, hop))
    history.turn(timer_fired(0, hop), after=timedelta(days=3))
    surroundings = around(timers)
    request = b64encode(history.request().SerializeToString()).decode()
    events = read_history(request, surroundings)
    assert [type(e).__name__ for e in events].count("TimerCreated") == 1
    core = Orchestration(surroundings.registry)
    core.replay(events)
    assert core.outcome is None and core.next_id == 1
