"""The gRPC service for clients of the protobuf protocol, asked by Microsoft's own client."""

from __future__ import annotations

import base64
import json
from datetime import timedelta

import pytest
from durabletask.client import OrchestrationQuery, OrchestrationStatus, TaskHubGrpcClient
from durabletask.entities import EntityInstanceId
from durabletask.internal import orchestrator_service_pb2 as pb

from ostinato.testing import ManualClock
from ostinato.testing.azure.hub import TaskHub
from ostinato.testing.azure.sidecar import SidecarServer


class Scripted:
    """Orchestrations that wait for one event and complete with it, or fail, or never end."""

    grpc = True

    def has_orchestration(self, name):
        return True

    def has_activity(self, name):
        return False

    def has_entity(self, name):
        return True

    def run_activity(self, name, input):
        raise AssertionError

    def run_entity(self, name, request):
        result = {"isError": False, "duration": 0, "startTime": 0, "result": "1"}
        answer = {"entityExists": True, "entityState": "1", "results": [result], "signals": []}
        return json.dumps(answer)

    def orchestrate(self, name, request):
        asked = pb.OrchestratorRequest()
        asked.ParseFromString(base64.b64decode(request))
        answer = pb.OrchestratorResponse(instanceId=asked.instanceId)
        events = [*asked.pastEvents, *asked.newEvents]
        raised = [event.eventRaised for event in events if event.HasField("eventRaised")]
        ended = any(event.HasField("executionTerminated") for event in events)
        if raised or ended or name == "failing":
            action = answer.actions.add(id=0).completeOrchestration
            if ended:
                action.orchestrationStatus = pb.ORCHESTRATION_STATUS_TERMINATED
            elif name == "failing":
                action.orchestrationStatus = pb.ORCHESTRATION_STATUS_FAILED
                action.failureDetails.errorType = "ValueError"
                action.failureDetails.errorMessage = "no"
            else:
                action.orchestrationStatus = pb.ORCHESTRATION_STATUS_COMPLETED
                action.result.value = raised[0].input.value
        return base64.b64encode(answer.SerializeToString()).decode()


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def hub(clock):
    with TaskHub(Scripted(), clock=clock) as hub:
        yield hub


@pytest.fixture
def client(hub):
    server = SidecarServer(hub)
    client = TaskHubGrpcClient(host_address=f"127.0.0.1:{server.port}")
    yield client
    client.close()
    server.close()


def test_an_instance_is_started_told_of_an_event_and_waited_for(client):
    id = client.schedule_new_orchestration("waiting", input={"a": 1}, instance_id="i1")
    assert id == "i1"
    started = client.wait_for_orchestration_start(id, timeout=10)
    assert started.runtime_status is OrchestrationStatus.RUNNING
    client.raise_orchestration_event(id, "go", data="data")
    state = client.wait_for_orchestration_completion(id, timeout=10)
    assert state.runtime_status is OrchestrationStatus.COMPLETED
    assert (state.serialized_input, state.serialized_output) == ('{"a": 1}', '"data"')


def test_a_failure_is_told_with_its_details(client):
    id = client.schedule_new_orchestration("failing")
    state = client.wait_for_orchestration_completion(id, timeout=10)
    assert state.runtime_status is OrchestrationStatus.FAILED
    assert (state.failure_details.error_type, state.failure_details.message) == ("ValueError", "no")


def test_an_instance_is_suspended_resumed_and_terminated(client, hub):
    id = client.schedule_new_orchestration("waiting")
    client.suspend_orchestration(id)
    hub.settle()
    assert client.get_orchestration_state(id).runtime_status is OrchestrationStatus.SUSPENDED
    client.resume_orchestration(id)
    hub.settle()
    assert client.get_orchestration_state(id).runtime_status is OrchestrationStatus.RUNNING
    client.terminate_orchestration(id, output="enough")
    state = client.wait_for_orchestration_completion(id, timeout=10)
    assert state.runtime_status is OrchestrationStatus.TERMINATED


def test_unknown_instances_are_none_or_not_found_and_ids_in_use_exist_already(client):
    assert client.get_orchestration_state("nobody") is None
    with pytest.raises(Exception, match="NOT_FOUND"):
        client.raise_orchestration_event("nobody", "go")
    client.schedule_new_orchestration("waiting", instance_id="i1")
    with pytest.raises(Exception, match="ALREADY_EXISTS"):
        client.schedule_new_orchestration("waiting", instance_id="i1")


def test_a_scheduled_instance_begins_when_it_is_time(client, hub, clock):
    start_at = clock.now() + timedelta(hours=1)
    id = client.schedule_new_orchestration("failing", start_at=start_at)
    hub.settle()
    assert client.get_orchestration_state(id).runtime_status is OrchestrationStatus.PENDING
    clock.advance(3600)
    hub.settle()
    assert client.get_orchestration_state(id).runtime_status is OrchestrationStatus.FAILED


def test_instances_are_listed_purged_and_their_history_read(client, hub):
    for id in ("a1", "a2", "b1"):
        client.schedule_new_orchestration("failing", instance_id=id)
    hub.settle()
    failed = OrchestrationQuery(runtime_status=[OrchestrationStatus.FAILED])
    listed = client.get_all_orchestration_states(failed)
    assert [state.instance_id for state in listed] == ["a1", "a2", "b1"]
    assert len(client.get_orchestration_history("a1")) >= 3
    assert client.purge_orchestration("a1").deleted_instance_count == 1
    assert client.purge_orchestration("a1").deleted_instance_count == 0
    purged = client.purge_orchestrations_by(runtime_status=[OrchestrationStatus.FAILED])
    assert purged.deleted_instance_count == 2


def test_an_instance_is_started_again_with_its_input(client, hub):
    client.schedule_new_orchestration("failing", input=5, instance_id="i1")
    hub.settle()
    again = client.restart_orchestration("i1", restart_with_new_instance_id=True)
    hub.settle()
    assert again != "i1"
    assert client.get_orchestration_state(again).serialized_input == "5"


def test_an_entity_is_signalled_and_read(client, hub):
    counter = EntityInstanceId("counter", "k")
    assert client.get_entity(counter) is None
    client.signal_entity(counter, "add", 1)
    hub.settle()
    assert json.loads(client.get_entity(counter).get_state()) == 1
