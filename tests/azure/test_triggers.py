"""Triggers on the stand-in of the Functions host, with queues and blobs on Azurite."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
from azure.functions.blob import InputStream
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

import ostinato as ost
import ostinato_azure
from orchestrations.nightly_etl import EtlRequest
from ostinato import codec
from ostinato.testing import ManualClock
from ostinato.testing.azure.functions_host import FunctionsHost
from ostinato.testing.azure.host_settings import AppSettings, HostJson
from ostinato.testing.azure.worker_direct import DirectWorker
from ostinato.triggers import ScheduleTick
from ostinato_azure.client import AzureClient
from ostinato_azure.triggers import LOOK_BACK, blob_created, input_of, ticks
from tests.conformance.harness import EPOCH


def application(name: str) -> ost.App:
    app = ost.App("triggers")

    @app.orchestration(
        triggers=[
            ost.Http("take/{user}"),
            ost.Http("guarded", auth=ost.HttpAuth(key_env="TAKE_KEY")),
            ost.Queue(f"{name}-queue"),
            ost.Blob(f"{name}-blobs/in/{{file}}"),
        ]
    )
    def take(ctx: ost.OrchestrationContext, given: Any):
        return given
        yield

    _ = take
    return app


@pytest.fixture
def name() -> str:
    return f"t{uuid4().hex[:10]}"


def host_of(app: ost.App, settings: AppSettings) -> FunctionsHost:
    return FunctionsHost(
        DirectWorker(ostinato_azure.function_app(app)),
        host_json=HostJson(),
        settings=settings,
        clock=ManualClock(EPOCH),
    )


def outputs(host: FunctionsHost, app: ost.App) -> list[Any]:
    host.settle()
    client = AzureClient(host.url, app=app)
    try:
        return [status.output for status in client.list_instances().instances]
    finally:
        client.close()


def test_a_request_starts_an_instance_and_its_repetition_none(name: str):
    app = application(name)
    with host_of(app, AppSettings({})) as host:
        once = {"Idempotency-Key": "k"}
        first = httpx.post(f"{host.url}/api/take/ada", headers=once)
        again = httpx.post(f"{host.url}/api/take/ada", headers=once)
        other = httpx.post(f"{host.url}/api/take/ada", json={"a": [1]})
        assert (first.status_code, again.status_code, other.status_code) == (202, 202, 202)
        assert first.json() == again.json() != other.json()
        assert sorted(map(str, outputs(host, app))) == ["ada", "{'a': [1]}"]


@pytest.mark.parametrize("kind", ["application/json", "application/vnd.x+json; charset=utf-8"])
@pytest.mark.parametrize("body", [b'{"a": ', b'"\xff"', b"ada"])
def test_a_body_that_says_it_is_json_and_is_none_starts_nothing(name: str, kind: str, body: bytes):
    app = application(name)
    with host_of(app, AppSettings({})) as host:
        wrong = httpx.post(f"{host.url}/api/take/x", content=body, headers={"Content-Type": kind})
        assert wrong.status_code == 400
        assert wrong.text.startswith("the body is no JSON: ")
        assert outputs(host, app) == []


def test_a_body_that_is_too_large_is_said_to_be_and_starts_nothing():
    app = ost.App("small", payload_limit=100)

    @app.orchestration(triggers=[ost.Http("take")])
    def take(ctx: ost.OrchestrationContext, given: Any):
        return given
        yield

    _ = take
    with host_of(app, AppSettings({})) as host:
        large = httpx.post(f"{host.url}/api/take", json="x" * 100)
        assert large.status_code == 413
        assert "'take'" in large.text and "100" in large.text
        assert outputs(host, app) == []


def test_a_body_that_does_not_say_what_it_is_is_json_where_it_is_json(name: str):
    app = application(name)
    with host_of(app, AppSettings({})) as host:
        plain = {"Content-Type": "text/plain"}
        httpx.post(f"{host.url}/api/take/x", content=b'{"a": ', headers=plain)
        httpx.post(f"{host.url}/api/take/x", content=b"[1]")
        assert sorted(map(str, outputs(host, app))) == ["[1]", '{"a": ']


def test_a_body_that_is_nested_too_deeply_to_be_read_is_the_text_it_is(name: str):
    app, deep = application(name), "[" * 100_000
    with host_of(app, AppSettings({})) as host:
        plain = {"Content-Type": "text/plain"}
        answer = httpx.post(f"{host.url}/api/take/x", content=deep.encode(), headers=plain)
        assert answer.status_code == 202
        assert outputs(host, app) == [deep]


LATER = "2026-03-01T12:00:01+00:00"


@pytest.mark.parametrize(
    ("told", "version"),
    [
        ({"ETag": '"0x8DC"', "LastModified": LATER}, "0x8DC"),
        ({"ETag": "0x8DC"}, "0x8DC"),
        ({"ETag": {}, "LastModified": LATER, "ContentHash": "q1w="}, f"{LATER} 10 q1w="),
        ({"ETag": {}, "LastModified": LATER}, f"{LATER} 10"),
        ({"ETag": '""'}, "10"),
        (None, "10"),
    ],
)
def test_versions_of_a_blob_are_told_apart_by_the_etag_or_by_all_else_that_is_known(
    told: dict[str, Any] | None, version: str
):
    blob = InputStream(data=b"", blob_properties=told, name="in/a.csv", length=10)
    assert blob_created(blob).version == version


def test_a_webhook_with_a_key_starts_nothing_without_it(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TAKE_KEY", "secret")
    app = application(name)
    with host_of(app, AppSettings({})) as host:
        url = f"{host.url}/api/guarded"
        assert httpx.post(url, json=1).status_code == 401
        assert httpx.post(url, json=1, headers={"x-functions-key": "wrong"}).status_code == 401
        assert httpx.post(url, json=1, headers={"x-functions-key": "secret"}).status_code == 202
        assert outputs(host, app) == [1]


def test_a_signature_opens_a_webhook_for_its_body_and_for_no_other(
    name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TAKE_SECRET", "secret")
    app = ost.App("signed")
    auth = ost.HttpAuth(hmac_env="TAKE_SECRET")
    app.orchestration(name="take", triggers=[ost.Http("take/{who}", auth=auth)])(
        lambda ctx: (yield)
    )

    def signature(body: bytes) -> str:
        return "sha256=" + hmac.new(b"secret", body, hashlib.sha256).hexdigest()

    with host_of(app, AppSettings({})) as host:
        answers = [
            httpx.post(
                f"{host.url}/api/take/ada",
                content=body,
                headers={"x-hub-signature-256": signature(signed)},
            ).status_code
            for body, signed in ((b"1", b"1"), (b"2", b"1"), (b"", b""))
        ]
    assert answers == [202, 401, 401]


@pytest.mark.parametrize("way", ["key_env", "hmac_env"])
def test_a_secret_that_is_not_set_is_named_once_in_the_log_and_not_to_the_caller(
    way: str, caplog: pytest.LogCaptureFixture
):
    variable = f"UNSET_{uuid4().hex}"
    app = ost.App("unset")
    auth = ost.HttpAuth(**{way: variable})
    app.orchestration(name="take", triggers=[ost.Http("take", auth=auth)])(lambda ctx: (yield))
    empty = {"x-functions-key": "", "x-hub-signature-256": "sha256="}
    with host_of(app, AppSettings({})) as host:
        answers = [httpx.post(f"{host.url}/api/take", headers=empty) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 401]
    assert not any(variable in answer.text for answer in answers)
    (record,) = [r for r in caplog.records if variable in r.getMessage()]
    assert record.levelname == "WARNING"


def test_messages_and_blobs_start_instances(name: str, storage: str):
    app = application(name)
    with (
        QueueServiceClient.from_connection_string(storage) as queues,
        BlobServiceClient.from_connection_string(storage) as blobs,
        host_of(app, AppSettings({"AzureWebJobsStorage": storage})) as host,
    ):
        queue = queues.create_queue(f"{name}-queue")
        container = blobs.create_container(f"{name}-blobs")
        host.settle()
        queue.send_message(b64encode(b'{"n": 1}').decode())
        etag = container.upload_blob("in/a.csv", b"1,2").get_blob_properties().etag
        container.upload_blob("out/b.csv", b"3,4")
        found = outputs(host, app)
    assert {"n": 1} in found
    [blob] = [value for value in found if "container" in value]
    assert (blob["container"], blob["name"], blob["size"]) == (f"{name}-blobs", "in/a.csv", 3)
    assert blob["version"] == etag.strip('"')
    assert len(found) == 2


@pytest.mark.parametrize(
    ("now", "found"),
    [
        ("2026-07-01T00:30:10", ["2026-07-01T00:30:00"]),  # 02:30 in Paris
        ("2026-07-01T00:33:00", ["2026-07-01T00:30:00"]),  # missed for three minutes
        ("2026-07-01T00:29:59", []),
        ("2026-07-01T00:36:00", []),
    ],
)
def test_a_schedule_starts_the_ticks_of_the_last_minutes(now: str, found: list[str]):
    schedule = ost.Schedule("30 2 * * *", timezone="Europe/Paris")
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert [t.at for t in ticks("x", schedule, at - LOOK_BACK, at)] == [
        datetime.fromisoformat(text).replace(tzinfo=UTC) for text in found
    ]


def test_a_tick_is_an_input_of_the_pipeline_that_is_scheduled():
    tick = ScheduleTick(name="nightly_etl", at=EPOCH)
    given = codec.encode(input_of(tick), "a tick")
    assert codec.decode(given, EtlRequest, "a tick").at == EPOCH
