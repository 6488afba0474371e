"""Requests and answers with claims on: what is fetched, what is claimed, and at what cost."""

from __future__ import annotations

import json
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import durabletask.internal.orchestrator_service_pb2 as pb
import msgspec
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import StringValue

import ostinato as ost
from ostinato_azure.claim_text import claim_value
from ostinato_azure.claimed import respond_claimed
from ostinato_azure.classic import ANSWER_MARK, OrchestrationFailedError
from ostinato_azure.live import LiveTables
from ostinato_azure.table import Surroundings
from ostinato_azure.wires import respond
from tests.azure.test_claim_text import Memory
from tests.conformance.harness import EPOCH

app = ost.App("requests")
app.foreign_orchestration("theirs")

LARGE = "x" * 1000
FORGED = "$OutOf$OutOfProcData$ProcData$:{}"


@app.orchestration
def events(ctx: ost.OrchestrationContext):
    while (yield ctx.wait_for_external_event("e")) != "stop":
        pass
    return LARGE


@app.orchestration
def fails(ctx: ost.OrchestrationContext):
    raise ValueError(FORGED + LARGE)
    yield


AROUND = Surroundings(
    registry=app.registry, has_activity=lambda name: False, has_orchestration=lambda name: False
)


def classic(name: str, *sent: str, parent: str = "", more: int = 0) -> str:
    """A request whose history has events, each with a turn, and ``more`` that are not new."""
    history: list[dict[str, Any]] = []
    turn = 0

    def add(kind: int, **fields: Any) -> None:
        at = (EPOCH + timedelta(seconds=turn)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        history.append({"EventType": kind, "EventId": -1, "Timestamp": at, **fields})

    instance = {"InstanceId": "i", "ExecutionId": "e"}
    of = {"Name": parent, "OrchestrationInstance": instance, "TaskScheduleId": 0}
    add(12)
    add(0, Name=name, OrchestrationInstance=instance, ParentInstance=of if parent else None)
    for text in ("1",) * more + sent:
        turn += 1
        add(12)
        add(15, Name="e", Input=text)
    return json.dumps({"instanceId": "i", "history": history})


def protobuf(
    name: str, *sent: str, parent: str = "", more: int = 0, last: tuple[pb.HistoryEvent, ...] = ()
) -> str:
    """As `classic`, on the other wire; ``last`` comes in the last turn."""
    instance = pb.OrchestrationInstance(instanceId="i", executionId=StringValue(value="e"))
    started = pb.ExecutionStartedEvent(name=name, orchestrationInstance=instance)
    if parent:
        started.parentInstance.name.value = parent
    history = [
        pb.HistoryEvent(orchestratorStarted=pb.OrchestratorStartedEvent()),
        pb.HistoryEvent(executionStarted=started),
    ]
    for turn, text in enumerate(("1",) * more + sent):
        stamp, data = Timestamp(seconds=turn), StringValue(value=text)
        history += [
            pb.HistoryEvent(timestamp=stamp, orchestratorStarted=pb.OrchestratorStartedEvent()),
            pb.HistoryEvent(timestamp=stamp, eventRaised=pb.EventRaisedEvent(name="e", input=data)),
        ]
    request = pb.OrchestratorRequest(
        instanceId="i", pastEvents=history[:-2], newEvents=[*history[-2:], *last]
    )
    return b64encode(request.SerializeToString()).decode()


def output(answer: str) -> str:
    """The JSON text of what the instance returned."""
    if answer.startswith("{"):
        return msgspec.json.encode(json.loads(answer)["output"]).decode()
    (action,) = pb.OrchestratorResponse.FromString(b64decode(answer)).actions
    return action.completeOrchestration.result.value


Request = Callable[..., str]


@pytest.mark.parametrize("request_of", [classic, protobuf])
@pytest.mark.parametrize(
    ("parent", "claims_output"), [("", True), ("events", True), ("theirs", False)]
)
def test_an_output_is_claimed_unless_others_read_it(
    request_of: Request, parent: str, claims_output: bool
) -> None:
    claims = Memory()
    answer = respond_claimed(request_of("events", '"stop"', parent=parent), AROUND, None, claims)
    claim = claim_value(f'"{LARGE}"', Memory())
    assert output(answer) == (claim if claims_output else f'"{LARGE}"')


@pytest.mark.parametrize("request_of", [classic, protobuf])
def test_what_is_claimed_is_fetched_and_the_rest_answered_as_without_claims(
    request_of: Request,
) -> None:
    claims = Memory()
    claimed = [claim_value(text, claims) for text in (f'"{LARGE}"', '"$ostinato_claim: stop"')]
    assert respond_claimed(request_of("events", *claimed), AROUND, None, claims) == respond(
        request_of("events", "1", "2"), AROUND
    )


@pytest.mark.parametrize("request_of", [classic, protobuf])
def test_what_claims_cost_a_turn_does_not_grow_with_the_history(request_of: Request) -> None:
    def cost(more: int, act: Callable[[str, LiveTables], str]) -> int:
        begun, request = (request_of("events", *new, more=more) for new in ((), ("1",)))
        counts: list[int] = []
        for _ in range(2):  # the first time fills caches
            live = LiveTables()
            act(begun, live)
            counts.append(calls(partial(act, request, live)))
        return counts[-1]

    def added(more: int) -> int:
        claims = Memory()
        plain = cost(more, lambda request, live: respond(request, AROUND, live))
        return cost(more, lambda text, live: respond_claimed(text, AROUND, live, claims)) - plain

    assert added(200) == added(10)


def calls(act: Callable[[], object]) -> int:
    """How many functions are called, C's included."""
    count = 0

    def note(frame: object, event: str, arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(None)
    return count


def test_a_failure_that_speaks_of_the_extensions_mark_is_told_whole() -> None:
    with pytest.raises(OrchestrationFailedError) as caught:
        respond_claimed(classic("fails"), AROUND, None, Memory())
    told, _, written = str(caught.value).partition(ANSWER_MARK)
    assert "\n" not in told
    assert LARGE in json.loads(written)["error"]


def test_an_event_of_a_later_protocol_is_passed_over() -> None:
    later = pb.HistoryEvent.FromString(bytes([0xFA, 0x3F, 0x00]))  # field 1023
    claims = Memory()
    claimed = claim_value(f'"{LARGE}"', claims)
    request = protobuf("events", claimed, last=(later,))
    assert respond_claimed(request, AROUND, None, claims) == respond(request, AROUND)


def test_what_is_no_request_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="no orchestrator request"):
        respond_claimed(b64encode(b"\xff").decode(), AROUND, None, Memory())


def test_a_rewind_gives_the_history_back_with_its_claims() -> None:
    claimed = claim_value(f'"{LARGE}"', Memory())
    ended = pb.ExecutionCompletedEvent(orchestrationStatus=pb.ORCHESTRATION_STATUS_FAILED)
    rewind = pb.HistoryEvent(executionRewound=pb.ExecutionRewoundEvent())
    asked = pb.OrchestratorRequest.FromString(
        b64decode(protobuf("events", claimed, "1", last=(rewind,)))
    )
    asked.pastEvents.append(pb.HistoryEvent(executionCompleted=ended))
    request = b64encode(asked.SerializeToString()).decode()
    answer = b64decode(respond_claimed(request, AROUND, None, Memory()))
    (action,) = pb.OrchestratorResponse.FromString(answer).actions
    texts = [event.eventRaised.input.value for event in action.rewindOrchestration.newHistory]
    assert claimed in texts
