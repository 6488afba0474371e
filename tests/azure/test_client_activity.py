"""Operations of the durable client: performed twice, they have the effect of one."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import ostinato as ost
import ostinato_azure
from ostinato.testing import ManualClock
from ostinato.testing.azure.functions_host import FunctionsHost
from ostinato.testing.azure.worker_direct import DirectWorker
from ostinato_azure import client as azure_client
from ostinato_azure import client_activity
from ostinato_azure.client import AzureClient
from ostinato_azure.client_activity import perform
from ostinato_azure.operations import (
    CheckId,
    Operation,
    Send,
    StartDetached,
    TerminateTree,
    once_more,
    operation_text,
)
from ostinato_azure.webhook import AzureError
from tests.azure.test_client_lost_answers import Losing, fault
from tests.conformance.harness import EPOCH

PATIENCE = 30.0


def application() -> ost.App:
    app = ost.App("operations")

    @app.orchestration
    def collects(ctx: ost.OrchestrationContext):
        found: list[Any] = []
        while not found or found[-1] != "end":
            found.append((yield ctx.wait_for_external_event("e")))
        return found

    @app.orchestration
    def repeats(ctx: ost.OrchestrationContext, given: Any):
        return given
        yield

    @app.orchestration
    def parent(ctx: ost.OrchestrationContext):
        yield ctx.call_sub_orchestrator(collects, instance_id="below")

    _ = repeats, parent
    return app


@pytest.fixture
def host() -> Iterator[FunctionsHost]:
    worker = DirectWorker(ostinato_azure.function_app(application()))
    with FunctionsHost(worker, clock=ManualClock(EPOCH)) as running:
        yield running
    worker.close()


@pytest.fixture
def client(host: FunctionsHost) -> Iterator[AzureClient]:
    made = AzureClient(host.url)
    yield made
    made.close()


@pytest.fixture
def twice(client: AzureClient) -> Callable[[Operation], str | None]:
    """Performs an operation, and again, as after a lost answer; gives the first one's."""

    def perform_twice(operation: Operation) -> str | None:
        first, _ = (perform(operation_text(operation), client) for _ in range(2))
        return first

    return perform_twice


Twice = Callable[[Operation], str | None]


def test_an_event_is_sent_once(client: AzureClient, twice: Twice) -> None:
    client.start("collects", instance_id="one")
    assert twice(Send("one", "e", '{"a":1}', "id-1")) is None
    twice(Send("one", "e", '"end"', "id-2"))
    assert client.wait("one", PATIENCE).output == [{"a": 1}, "end"]


def test_an_event_for_nobody_or_for_what_has_ended_is_no_error(
    client: AzureClient, twice: Twice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_activity, "STRANGERS_APPEAR_IN", 0.1)
    client.wait(client.start("repeats", instance_id="done"), PATIENCE)
    for target in ("nobody", "done"):
        assert twice(Send(target, "e", "1", "id")) is None


def test_an_instance_is_started_with_its_payload_and_one_that_exists_is_left_alone(
    client: AzureClient, twice: Twice
) -> None:
    payload = json.dumps({"$ostinato": 1, "data": [1, "2"], "tags": {"team": "red"}})
    twice(StartDetached("one", "repeats", payload))
    status = client.wait("one", PATIENCE)
    assert (status.output, status.tags) == ([1, "2"], {"team": "red"})
    twice(StartDetached("one", "repeats", "2"))
    assert client.wait("one", PATIENCE).output == [1, "2"]


def test_a_tree_is_ended_and_the_reason_is_told(
    host: FunctionsHost, client: AzureClient, twice: Twice
) -> None:
    client.start("parent", instance_id="above")
    host.hub.settle(PATIENCE)
    twice(TerminateTree("above", "no longer wanted"))
    assert client.wait("above", PATIENCE).output == "no longer wanted"
    assert client.wait("below", PATIENCE).output == "parent ended"


def test_a_tree_whose_ending_broke_off_is_ended_when_that_is_done_again(
    host: FunctionsHost, client: AzureClient
) -> None:
    client.start("parent", instance_id="above")
    host.hub.settle(PATIENCE)
    way = Losing(host, [fault])
    way.verb, way.arrives = "POST instances/below/terminate", False
    failing = AzureClient(host.url, transport=way)
    operation = operation_text(TerminateTree("above", "no longer wanted"))
    with pytest.raises(AzureError, match="answered 500"):
        perform(operation, failing)
    assert client.get_status("below").runtime_status == "Running"
    for _ in range(2):
        assert perform(operation, failing) is None
        assert client.wait("above", PATIENCE).output == "no longer wanted"
        assert client.wait("below", PATIENCE).output == "parent ended"
    failing.close()


def test_a_child_that_is_not_there_yet_is_waited_for(client: AzureClient) -> None:
    operation = operation_text(TerminateTree("late", "no longer wanted"))
    thread = threading.Thread(target=perform, args=(operation, client))
    thread.start()
    client.start("collects", instance_id="late")
    thread.join()
    assert client.wait("late", PATIENCE).output == "no longer wanted"


@pytest.mark.parametrize(
    "operation", [TerminateTree("never", "late"), Send("never", "e", "1", "id", is_child=True)]
)
def test_a_child_that_never_appears_is_told(
    client: AzureClient, operation: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_activity, "APPEARS_IN", 0.1)
    monkeypatch.setattr(azure_client, "APPEARS_IN", 0.1)
    with pytest.raises(ost.InstanceNotFoundError, match="never"):
        perform(operation_text(operation), client)


def test_an_id_is_free_as_soon_as_a_child_that_is_known_to_have_ended_has(
    client: AzureClient,
) -> None:
    client.start("collects", instance_id="one")
    ending = threading.Thread(target=client.raise_event, args=("one", "e", "end"))
    ending.start()
    assert perform(operation_text(CheckId("one", lingers=True)), client) == "over"
    ending.join()


def test_an_event_reaches_an_instance_that_appears_in_time(client: AzureClient) -> None:
    operation = operation_text(Send("late", "e", '"end"', "id"))
    sending = threading.Thread(target=perform, args=(operation, client))
    sending.start()
    client.start("collects", instance_id="late")
    sending.join()
    assert client.wait("late", PATIENCE).output == ["end"]


def test_an_event_for_a_child_waits_until_it_has_taken_the_place_of_another(
    client: AzureClient,
) -> None:
    client.wait(client.start("repeats", instance_id="one"), PATIENCE)
    operation = operation_text(Send("one", "e", '"end"', "id", is_child=True, replaces=True))
    sending = threading.Thread(target=perform, args=(operation, client))
    sending.start()
    client.start("collects", instance_id="one", if_exists="replace_finished")
    sending.join()
    assert client.wait("one", PATIENCE).output == ["end"]


def test_what_failed_is_tried_again_after_a_pause_that_grows(
    client: AzureClient,
) -> None:
    pauses: list[float] = []
    text = operation_text(CheckId("nobody"))
    for _ in range(4):
        text = once_more(text)
        assert perform(text, client, pause=pauses.append) == "free"
    assert pauses == [2.0, 4.0, 8.0, 16.0]


def test_what_has_ended_needs_no_ending(client: AzureClient, twice: Twice) -> None:
    client.wait(client.start("repeats", 5, instance_id="done"), PATIENCE)
    twice(TerminateTree("done", "late"))
    assert client.get_status("done").output == 5


def test_an_id_is_taken_while_its_instance_has_not_ended(client: AzureClient, twice: Twice) -> None:
    assert twice(CheckId("one")) == "free"
    client.start("collects", instance_id="one")
    assert twice(CheckId("one")) == "taken"
    client.raise_event("one", "e", "end")
    client.wait("one", PATIENCE)
    assert twice(CheckId("one")) == "over"
