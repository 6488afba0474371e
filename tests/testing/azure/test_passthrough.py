"""The protobuf protocol against what the real extension sent and made of each answer."""

from __future__ import annotations

import base64
import json
from itertools import pairwise
from typing import Any

import pytest
from durabletask.internal import orchestrator_service_pb2 as pb

from ostinato.testing.azure import events as e
from ostinato.testing.azure.decisions import Complete
from ostinato.testing.azure.event_protobuf import (
    event_message,
    failure_from_message,
    time_from,
)
from ostinato.testing.azure.history import History
from ostinato.testing.azure.options import HubOptions
from ostinato.testing.azure.passthrough import read_answer, take_turn
from ostinato.testing.azure.ports import FunctionFailed
from ostinato.testing.azure.recording import event_of
from ostinato.testing.azure.status import Status
from tests.testing.azure.recorded import scenario

RECORDED = scenario("durabletask-protocol")
CALLS = [step for step in RECORDED["steps"] if step.get("answer_base64")]


def request_of(call):
    return pb.OrchestratorRequest.FromString(base64.b64decode(call["request_base64"]))


def titled(call):
    request = request_of(call)
    return f"{call['instance']}-{len(request.pastEvents)}-{len(request.newEvents)}"


def execution_of(request):
    return next(
        event.executionStarted.orchestrationInstance.executionId.value
        for event in [*request.pastEvents, *request.newEvents]
        if event.HasField("executionStarted")
    )


def turns():
    """Each call that another of the same execution follows, and that other."""
    for name in sorted({call["instance"] for call in CALLS}):
        calls = [call for call in CALLS if call["instance"] == name]
        for call, following in pairwise(calls):
            if execution_of(request_of(call)) == execution_of(request_of(following)):
                yield pytest.param(call, following, id=titled(call))


def generations():
    """Each call that went on in a new execution, and the first call of that."""
    for call, following in pairwise(CALLS):
        if call["instance"] == following["instance"]:
            request, after = request_of(call), request_of(following)
            if execution_of(request) != execution_of(after):
                yield pytest.param(call, following, id=titled(call))


def stamps(message):
    yield message.timestamp
    for kind in ("timerCreated", "timerFired"):
        if message.HasField(kind):
            yield getattr(message, kind).fireAt


def to_microseconds(messages):
    """Take away what .NET's clock says beyond microseconds."""
    for message in messages:
        for stamp in stamps(message):
            stamp.nanos -= stamp.nanos % 1000


def read_event(message):
    """A recorded event as the stand-in keeps it."""
    base: dict[str, Any] = {"event_id": message.eventId, "timestamp": time_from(message.timestamp)}
    kind = message.WhichOneof("eventType")
    said = getattr(message, kind)

    def text(name):
        return getattr(said, name).value if said.HasField(name) else None

    def failure():
        return (
            failure_from_message(said.failureDetails) if said.HasField("failureDetails") else None
        )

    match kind:
        case "orchestratorStarted":
            return e.OrchestratorStarted(**base)
        case "orchestratorCompleted":
            return e.OrchestratorCompleted(**base)
        case "executionStarted":
            parent = said.parentInstance
            return e.ExecutionStarted(
                **base,
                instance_id=said.orchestrationInstance.instanceId,
                execution_id=said.orchestrationInstance.executionId.value,
                name=said.name,
                input=text("input"),
                version=text("version"),
                parent=e.ParentInstance(
                    name=parent.name.value,
                    instance_id=parent.orchestrationInstance.instanceId,
                    execution_id=parent.orchestrationInstance.executionId.value,
                    task_id=parent.taskScheduledId,
                    version=parent.version.value if parent.HasField("version") else None,
                )
                if said.HasField("parentInstance")
                else None,
            )
        case "executionTerminated":
            return e.ExecutionTerminated(**base, reason=text("input"))
        case "executionSuspended":
            return e.ExecutionSuspended(**base, reason=text("input"))
        case "executionResumed":
            return e.ExecutionResumed(**base, reason=text("input"))
        case "taskScheduled":
            return e.TaskScheduled(**base, name=said.name, version=text("version"))
        case "taskCompleted":
            return e.TaskCompleted(**base, task_id=said.taskScheduledId, result=text("result"))
        case "taskFailed":
            return e.TaskFailed(**base, task_id=said.taskScheduledId, reason="", failure=failure())
        case "subOrchestrationInstanceCreated":
            return e.SubOrchestrationInstanceCreated(
                **base, name=said.name, instance_id=said.instanceId, version=text("version")
            )
        case "subOrchestrationInstanceFailed":
            return e.SubOrchestrationInstanceFailed(
                **base, task_id=said.taskScheduledId, reason="", failure=failure()
            )
        case "timerCreated":
            return e.TimerCreated(**base, fire_at=time_from(said.fireAt))
        case "timerFired":
            return e.TimerFired(**base, timer_id=said.timerId, fire_at=time_from(said.fireAt))
        case "eventRaised":
            return e.EventRaised(**base, name=said.name, input=text("input"))
        case _:
            raise AssertionError(kind)


def history_of(request):
    history = History([read_event(event) for event in request.pastEvents])
    history.begin_turn()
    history.append(*(read_event(event) for event in request.newEvents))
    return history


class App:
    """An app that answers one call with what was recorded, or fails."""

    grpc = True

    def __init__(self, answer: str | FunctionFailed):
        self.answer = answer
        self.asked: list[tuple[str, str]] = []

    def has_orchestration(self, name):
        return name in {"orch", "child"}

    def has_activity(self, name):
        return False

    def has_entity(self, name):
        return False

    def orchestrate(self, name, request):
        self.asked.append((name, request))
        if isinstance(self.answer, FunctionFailed):
            raise self.answer
        return self.answer

    def run_activity(self, name, input):
        raise AssertionError(name)

    def run_entity(self, name, request):
        raise AssertionError(name)


def first_history(name="orch"):
    history = history_of(request_of(CALLS[0]))
    if name != "orch":
        started = history.started
        history.events[1] = e.ExecutionStarted(
            timestamp=started.timestamp,
            instance_id=started.instance_id,
            execution_id=started.execution_id,
            name=name,
            input=None,
        )
    return history


def answered(*actions, status=None):
    response = pb.OrchestratorResponse(actions=actions)
    if status is not None:
        response.customStatus.value = status
    return base64.b64encode(response.SerializeToString()).decode()


@pytest.mark.parametrize("call", [pytest.param(call, id=titled(call)) for call in CALLS])
def test_an_app_is_asked_what_the_extension_asked_it(call):
    app = App(call["answer_base64"])
    recorded = request_of(call)
    history = history_of(recorded)
    take_turn(history, app, HubOptions())
    [(name, text)] = app.asked
    asked = pb.OrchestratorRequest.FromString(base64.b64decode(text))
    assert name == history.started.name
    to_microseconds([*recorded.pastEvents, *recorded.newEvents])
    assert asked == recorded


@pytest.mark.parametrize(("call", "following"), [*turns()])
def test_an_answer_adds_to_history_what_the_next_request_shows(call, following):
    request, after = request_of(call), request_of(following)
    known = len(request.pastEvents) + len(request.newEvents)
    shown = []
    for message in after.pastEvents[known:]:
        if message.HasField("orchestratorCompleted"):
            break
        shown.append(message)
    result = read_answer(call["answer_base64"], "orch", HubOptions())
    given = [
        event_message(event_of(decision, time_from(message.timestamp)))
        for decision, message in zip(result.decisions, shown, strict=True)
    ]
    to_microseconds(shown)
    assert given == shown


@pytest.mark.parametrize(("call", "following"), [*generations()])
def test_continuing_as_new_hands_on_the_input_and_the_events_that_were_kept(call, following):
    result = read_answer(call["answer_base64"], "orch", HubOptions())
    how = result.decisions[-1]
    assert isinstance(how, Complete)
    assert how.status is Status.ContinuedAsNew
    first = history_of(request_of(following))
    assert how.result == first.started.input
    raised = [event for event in first.events if isinstance(event, e.EventRaised)]
    assert [(x.name, x.input) for x in how.carried] == [(x.name, x.input) for x in raised]


@pytest.mark.parametrize("name", sorted({call["instance"] for call in CALLS}))
def test_the_last_answer_ends_an_instance_as_its_client_saw_it_end(name):
    final = RECORDED["final"].get(name)
    last = [call for call in CALLS if call["instance"] == name][-1]
    ends = [
        decision
        for decision in read_answer(last["answer_base64"], "orch", HubOptions()).decisions
        if isinstance(decision, Complete)
    ]
    if not final or final["RuntimeStatus"] == "Running":
        assert name.startswith("kid") or ends == []
        return
    [end] = ends
    assert end.status.name == final["RuntimeStatus"]
    if end.failure is None:
        assert json.loads(end.result or "null") == final["Output"]
    else:
        assert f"{end.failure.error_type}: {end.failure.error_message}" == final["Output"]


def test_the_custom_status_of_each_answer_replaces_the_one_before():
    chain = [call for call in CALLS if call["instance"] == "chain"]
    given = [read_answer(x["answer_base64"], "orch", HubOptions()).custom_status for x in chain]
    assert given == ['{"n": 0}', '{"n": 1}', None]


def test_a_function_that_fails_fails_the_instance_in_the_extensions_words():
    result = take_turn(
        first_history(), App(FunctionFailed("ValueError: the worker fails", "trace")), HubOptions()
    )
    [failed] = result.decisions
    assert isinstance(failed, Complete)
    assert failed.status is Status.Failed
    output = json.loads(failed.result or "")
    assert output["message"] == RECORDED["final"]["crash"]["Output"]["message"]
    assert "Exception: ValueError: the worker fails\nStack: trace" in output["details"]


def test_a_custom_status_that_is_too_large_fails_the_instance_and_undoes_the_answer():
    action = pb.OrchestratorAction(id=0, scheduleTask=pb.ScheduleTaskAction(name="act"))
    most = HubOptions().maximum_custom_status // 2  # characters, two bytes each
    fits = read_answer(answered(action, status="x" * most), "orch", HubOptions())
    assert [decision.id for decision in fits.decisions] == [0]
    result = read_answer(answered(action, status="x" * (most + 1)), "orch", HubOptions())
    [failed] = result.decisions
    assert isinstance(failed, Complete)
    recorded = RECORDED["final"]["bigstatus"]["Output"]
    assert json.loads(failed.result or "")["message"] == recorded["message"]
    assert "CustomStatus is too large: limit is 16 KB" in (failed.details or "")
    assert result.custom_status is None


@pytest.mark.parametrize("answer", ["not base64", base64.b64encode(b"\xff\xff").decode()])
def test_an_answer_that_cannot_be_read_fails_the_instance(answer):
    [failed] = read_answer(answer, "orch", HubOptions()).decisions
    assert isinstance(failed, Complete)
    assert failed.status is Status.Failed
    assert "is not an OrchestratorResponse" in (failed.details or "")


def test_an_orchestration_that_is_not_there_fails_the_instance_without_a_call():
    app = App("")
    [failed] = take_turn(first_history("nosuch"), app, HubOptions()).decisions
    assert isinstance(failed, Complete)
    assert failed.status is Status.Failed
    assert "'nosuch' doesn't exist" in (failed.result or "")
    assert app.asked == []
