"""Rewinds that a host of the Durable Task protocol leaves to the worker. How they go on from
there is shown by the conformance suite on Microsoft's backend."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

import durabletask.internal.orchestrator_service_pb2 as pb
import msgspec
import pytest
from google.protobuf.wrappers_pb2 import StringValue

import ostinato as ost
from ostinato.failures import Failure
from ostinato_azure import durabletask
from ostinato_azure.claim_text import claim_value, is_claimed
from ostinato_azure.claimed import respond_claimed
from ostinato_azure.failures import PROPERTY, ending
from ostinato_azure.table import Surroundings
from tests.azure.test_claim_text import Memory

AROUND = Surroundings(
    registry=ost.App("rewound").registry,
    has_activity=lambda name: False,
    has_orchestration=lambda name: False,
)
CLAIMS = Memory()
CLAIM = claim_value('"' + 200 * "a" + '"', CLAIMS)

Respond = Callable[[str], str]
RESPONDS: dict[str, Respond] = {
    "plain": lambda request: durabletask.respond(request, AROUND),
    "claimed": lambda request: respond_claimed(request, AROUND, None, CLAIMS),
}


def failed_history() -> list[pb.HistoryEvent]:
    """Of three activities and a child, one activity and the child failed."""
    instance = pb.OrchestrationInstance(instanceId="it", executionId=StringValue(value="first"))
    started = pb.ExecutionStartedEvent(name="flow", orchestrationInstance=instance)
    child = pb.SubOrchestrationInstanceCreatedEvent(name="child", instanceId="first:2")
    return [
        event(orchestratorStarted=pb.OrchestratorStartedEvent()),
        event(executionStarted=started),
        event(0, taskScheduled=pb.TaskScheduledEvent(name="good")),
        event(1, taskScheduled=pb.TaskScheduledEvent(name="bad")),
        event(2, subOrchestrationInstanceCreated=child),
        event(3, timerCreated=pb.TimerCreatedEvent()),
        event(orchestratorStarted=pb.OrchestratorStartedEvent()),
        event(taskCompleted=pb.TaskCompletedEvent(taskScheduledId=0, result=claim())),
        event(taskFailed=pb.TaskFailedEvent(taskScheduledId=1)),
        event(
            subOrchestrationInstanceFailed=pb.SubOrchestrationInstanceFailedEvent(taskScheduledId=2)
        ),
        event(executionCompleted=pb.ExecutionCompletedEvent()),
    ]


def event(event_id: int = -1, **kind: Any) -> pb.HistoryEvent:
    return pb.HistoryEvent(eventId=event_id, **kind)


def claim() -> StringValue:
    assert is_claimed(CLAIM)
    return StringValue(value=CLAIM)


REWIND = [
    event(orchestratorStarted=pb.OrchestratorStartedEvent()),
    event(executionRewound=pb.ExecutionRewoundEvent()),
]


@pytest.mark.parametrize("respond", RESPONDS.values(), ids=RESPONDS)
def test_failures_and_what_asked_for_failed_activities_go_and_all_else_stays_as_it_is(
    respond: Respond,
) -> None:
    past = failed_history()
    request = pb.OrchestratorRequest(instanceId="it", pastEvents=past, newEvents=REWIND)
    [action] = answer(respond, request).actions
    gone = {3, 8, 9, 10}
    kept = [event for position, event in enumerate(past) if position not in gone]
    assert list(action.rewindOrchestration.newHistory) == [*kept, *REWIND]


@pytest.mark.parametrize("respond", RESPONDS.values(), ids=RESPONDS)
def test_a_history_that_the_host_has_rewritten_is_played(respond: Respond) -> None:
    past = [event for event in failed_history() if not event.HasField("executionCompleted")]
    request = pb.OrchestratorRequest(instanceId="it", pastEvents=past, newEvents=REWIND)
    [action] = answer(respond, request).actions
    assert "'flow'" in action.completeOrchestration.failureDetails.errorMessage  # it is unknown


def answer(respond: Respond, request: pb.OrchestratorRequest) -> pb.OrchestratorResponse:
    text = respond(b64encode(request.SerializeToString()).decode())
    return pb.OrchestratorResponse.FromString(b64decode(text))


@pytest.mark.parametrize("rewinds", [True, False])
def test_an_instance_that_tells_it_does_not_survive_a_rewind_stays_failed(rewinds: bool) -> None:
    told = ending(Failure("ValueError", "no"), rewinds=rewinds)
    details = pb.TaskFailureDetails(errorType="ValueError", errorMessage="no")
    details.properties[PROPERTY].string_value = msgspec.json.encode(told).decode()
    history = failed_history()
    history[-1] = event(
        executionCompleted=pb.ExecutionCompletedEvent(
            orchestrationStatus=pb.ORCHESTRATION_STATUS_FAILED, failureDetails=details
        )
    )
    asked = pb.OrchestratorRequest(
        instanceId="it",
        pastEvents=history,
        newEvents=[event(executionRewound=pb.ExecutionRewoundEvent())],
    )
    request = b64encode(asked.SerializeToString()).decode()
    answer = pb.OrchestratorResponse.FromString(b64decode(durabletask.respond(request, AROUND)))
    (action,) = answer.actions
    if rewinds:
        assert action.HasField("rewindOrchestration")
    else:
        assert action.completeOrchestration.failureDetails == details
