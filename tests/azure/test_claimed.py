"""Large payloads of an app, from its clients through its functions, on both wires."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import azure.durable_functions as df  # pyright: ignore[reportMissingTypeStubs]
import httpx
import pytest
from azure.storage.blob import ContainerClient

import ostinato as ost
import ostinato_azure
from ostinato.client import Query
from ostinato.testing import ManualClock
from ostinato.testing.azure.functions_host import FunctionsHost
from ostinato.testing.azure.worker import Data, Invocation, Json, Outcome, Text
from ostinato.testing.azure.worker_direct import DirectWorker
from ostinato_azure.claim_text import ClaimError, hash_of
from ostinato_azure.claims import CONTAINER_VARIABLE, THRESHOLD, BlobClaims, app_claims
from ostinato_azure.client import AzureClient
from ostinato_azure.webhook import AzureError
from tests.conformance.harness import EPOCH

PATIENCE = 60.0
LARGE = 5_000_000


def application() -> ost.App:
    app = ost.App("claimed")
    foreign = app.foreign_activity("plain_length")

    @app.activity
    def grow(text: str) -> str:
        return text + text[0]

    @app.activity
    async def grow_async(text: str) -> str:
        return text + text[0]

    @app.orchestration
    def child(ctx: ost.OrchestrationContext, text: str):
        return (yield ctx.call_activity(grow_async, text))

    @app.orchestration
    def flow(ctx: ost.OrchestrationContext, given: dict[str, str]):
        text = yield ctx.call_activity(grow, given["text"])
        text = yield ctx.call_sub_orchestrator(child, text)
        event = yield ctx.wait_for_external_event("go")
        if "again" not in given:
            ctx.continue_as_new({"text": given["text"], "again": "yes"})
            return None
        ctx.send_event(ctx.instance_id, "back", event)
        back = yield ctx.wait_for_external_event("back")
        return [text, back]

    @app.orchestration
    def fails(ctx: ost.OrchestrationContext, text: str):
        ctx.call_activity(grow, text)
        raise ValueError("no")
        yield

    @app.orchestration
    def repeats(ctx: ost.OrchestrationContext, given: Any):
        return [given, (yield ctx.wait_for_external_event("go"))]

    @app.orchestration
    def asks_others(ctx: ost.OrchestrationContext, text: str):
        return (yield ctx.call_activity(foreign, text))

    _ = flow, fails, repeats, asks_others
    return app


class Watched(DirectWorker):
    """A worker that notes how large what passes between the host and the functions is."""

    longest = 0

    def invoke(self, invocation: Invocation) -> Outcome:
        outcome = super().invoke(invocation)
        self._note(*invocation.inputs.values(), outcome.value)
        return outcome

    def _note(self, *passed: Data | None) -> None:
        texts = [data.value for data in passed if isinstance(data, Text)]
        texts += [data.text for data in passed if isinstance(data, Json)]
        self.longest = max([self.longest, *map(len, texts)])


class Stand:
    """An app with claims, and a client that has them."""

    def __init__(self, storage: str, container: str, *, grpc: bool) -> None:
        app = application()
        plain = df.DFApp()

        @plain.activity_trigger(input_name="value")
        def plain_length(value: str) -> int:
            return len(value)

        @plain.orchestration_trigger(context_name="context")
        def plain_parent(context: df.DurableOrchestrationContext):
            given: Any = context.get_input()
            text = yield context.call_sub_orchestrator("child", given["text"])
            grown = yield context.call_activity("grow", text)
            return [len(text), len(grown)]

        _ = plain_length, plain_parent
        target = ostinato_azure.function_app(app, functions=plain)
        if grpc:
            target = ostinato_azure.function_app(app, grpc=True)
        self.worker = Watched(target)
        self.host = FunctionsHost(self.worker, clock=ManualClock(EPOCH))
        self.claims = BlobClaims.connect(storage, container)
        self.client = AzureClient(self.host.url, app=app, claims=self.claims)

    def close(self) -> None:
        self.client.close()
        self.host.close()
        self.worker.close()
        self.claims.close()


@pytest.fixture(params=["classic", "grpc"])
def stand(
    request: pytest.FixtureRequest, storage: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stand]:
    container = f"claims-{uuid4().hex[:10]}"
    monkeypatch.setenv("AzureWebJobsStorage", storage)
    monkeypatch.setenv(CONTAINER_VARIABLE, container)
    made = Stand(storage, container, grpc=request.param == "grpc")
    yield made
    made.close()
    claims = app_claims()
    assert claims is not None
    claims.close()


def test_five_megabytes_pass_every_position_and_none_passes_between_host_and_worker(
    stand: Stand,
) -> None:
    client, text = stand.client, "ü" * (LARGE // 2)
    instance_id = client.start("flow", {"text": text}, tags={"team": "red"})
    stand.host.hub.settle(PATIENCE)
    client.raise_event(instance_id, "go", "first")
    stand.host.hub.settle(PATIENCE)
    client.raise_event(instance_id, "go", text, event_id="e")
    status = client.wait(instance_id, PATIENCE)
    assert status.failure is None
    assert status.output == [text + "üü", text]
    assert status.input == {"text": text, "again": "yes"}
    assert status.tags == {"team": "red"}
    assert stand.worker.longest < THRESHOLD
    assert any(getattr(event, "result", None) for event in client.get_history(instance_id))


def test_an_instance_that_fails_claims_what_it_asked_for(stand: Stand) -> None:
    instance_id = stand.client.start("fails", "x" * 100_000)
    status = stand.client.wait(instance_id, PATIENCE)
    assert status.failure is not None
    assert status.failure.type == "ValueError"
    assert status.input == "x" * 100_000
    assert stand.worker.longest < THRESHOLD


def test_data_that_looks_like_a_claim_passes_unharmed(stand: Stand) -> None:
    forged = {"$ostinato_claim": 1, "sha256": "0" * 64, "size": 3}
    instance_id = stand.client.start("child", '{"$ostinato_claim":1}')
    assert stand.client.wait(instance_id, PATIENCE).output == '{"$ostinato_claim":1}{'
    listed = stand.client.start("flow", {"text": "x"})
    stand.host.hub.settle(PATIENCE)
    for value in (1, forged):
        stand.client.raise_event(listed, "go", value)
        stand.host.hub.settle(PATIENCE)
    assert stand.client.wait(listed, PATIENCE).output == ["xxx", forged]


def test_large_data_with_the_key_of_an_envelope_passes_unharmed(stand: Stand) -> None:
    value = {"$ostinato": 1, "text": "x" * 100_000}
    instance_id = stand.client.start("repeats", value)
    stand.client.raise_event(instance_id, "go", value)
    assert stand.client.wait(instance_id, PATIENCE).output == [value, value]


@pytest.mark.parametrize("stand", ["classic"], indirect=True)  # 1.x speaks JSON alone
def test_functions_of_others_get_values_and_no_claims(stand: Stand) -> None:
    text = "x" * 100_000
    ours = stand.client.start("asks_others", text)
    assert stand.client.wait(ours, PATIENCE).output == 100_000
    base = f"{stand.host.url}/runtime/webhooks/durabletask"
    theirs = httpx.post(f"{base}/orchestrators/plain_parent", json={"text": text}).json()["id"]
    client = AzureClient(stand.host.url)
    assert client.wait(theirs, PATIENCE).output == [100_001, 100_002]
    client.close()


def test_a_client_without_claims_says_what_it_lacks(stand: Stand) -> None:
    instance_id = stand.client.start("child", "x" * 100_000)
    stand.client.wait(instance_id, PATIENCE)
    bare = AzureClient(stand.host.url)
    with pytest.raises(AzureError, match="is in Blob storage: give the client claims="):
        bare.get_status(instance_id)
    (listed,) = bare.list_instances().instances
    assert set(listed.input) == {"$ostinato_claim", "sha256", "size"}
    bare.close()


def test_a_client_that_only_shows_gives_the_claim_and_tells_what_it_lacks(stand: Stand) -> None:
    instance_id = stand.client.start("child", "x" * 100_000)
    stand.client.wait(instance_id, PATIENCE)
    missing: list[str] = []
    showing = AzureClient(stand.host.url, unclaimed=lambda error: missing.append(str(error)))
    status = showing.get_status(instance_id)
    assert set(status.input) == {"$ostinato_claim", "sha256", "size"}
    assert any(text.startswith("the input of instance") for text in missing)
    showing.close()


@pytest.fixture
def forgetful(stand: Stand, storage: str) -> Iterator[tuple[AzureClient, ContainerClient]]:
    """A client that has read no payload yet, and the container that they are in."""
    name = os.environ[CONTAINER_VARIABLE]
    claims = BlobClaims.connect(storage, name)
    client = AzureClient(stand.host.url, claims=claims)
    with ContainerClient.from_connection_string(storage, name) as container:
        yield client, container
    client.close()
    claims.close()


def test_of_a_payload_that_is_gone_its_claim_is_told(
    stand: Stand, forgetful: tuple[AzureClient, ContainerClient]
) -> None:
    client, container = forgetful
    text = "x" * 100_000
    stand.client.start("child", text, instance_id="one", tags={"team": "red"})
    stand.client.start("child", text, instance_id="two", tags={"team": "blue"})
    for instance_id in ("one", "two"):
        stand.client.wait(instance_id, PATIENCE)
    gone = hash_of(f'"{text}"')
    container.delete_blob(gone)
    claim = {"$ostinato_claim": 1, "sha256": gone, "size": 100_002}
    for status in (client.get_status("one"), client.wait("one", PATIENCE)):
        assert (status.input, status.output) == (claim, text + "x")
        assert status.tags == {"team": "red"}
    assert str(gone) in str(client.get_history("one"))
    with pytest.raises(ClaimError, match=f"blob {gone} .* it is not there"):
        client.restart("one")
    assert {s.instance_id for s in client.list_instances().instances} == {"one", "two"}
    assert client.purge_many(Query(tags={"team": "red"})) == 1
    assert [s.instance_id for s in client.list_instances().instances] == ["two"]


def test_a_list_reads_no_payload_but_those_in_which_tags_that_are_asked_for_may_be(
    stand: Stand, forgetful: tuple[AzureClient, ContainerClient], storage: str
) -> None:
    client, container = forgetful
    text = "x" * 100_000
    again = stand.client.start("flow", {"text": text}, tags={"team": "red"})
    stand.client.start("child", text, tags={"team": "red"})
    stand.host.hub.settle(PATIENCE)
    stand.client.raise_event(again, "go")
    stand.host.hub.settle(PATIENCE)
    assert stand.client.get_status(again).input == {"text": text, "again": "yes"}
    listed = client.list_instances(Query(tags={"team": "red"})).instances
    assert {status.name for status in listed} == {"flow", "child"}
    assert {s.instance_id for s in listed if s.input == {"text": text, "again": "yes"}} == {again}
    (plain,) = (status for status in listed if status.name == "child")
    for value in (plain.input, plain.output):
        assert set(value) == {"$ostinato_claim", "sha256", "size"}
    (as_it_is,) = (s for s in client.list_instances().instances if s.instance_id == again)
    assert set(as_it_is.input) == {"$ostinato_claim", "sha256", "size"}
    for blob in container.list_blobs():
        container.delete_blob(blob.name)
    forgotten = BlobClaims.connect(storage, container.container_name)
    other = AzureClient(stand.host.url, claims=forgotten)
    (found,) = other.list_instances(Query(tags={"team": "red"})).instances
    assert found.name == "child"
    other.close()
    forgotten.close()


def test_a_payload_that_is_gone_fails_the_instance_and_is_named(stand: Stand) -> None:
    lost = {"$ostinato_claim": 1, "sha256": "0" * 64, "size": 100_000}
    base = f"{stand.host.url}/runtime/webhooks/durabletask"
    instance_id = httpx.post(f"{base}/orchestrators/child", json=lost).json()["id"]
    state = stand.host.hub.wait(instance_id, PATIENCE)
    assert state.status.name == "Failed"
    assert f"blob {'0' * 64} in container" in str(state.output)
