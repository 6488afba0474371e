"""A plain azure-functions-durable 1.x app on the stand-in: nothing in it is Ostinato's.

On every Python its functions are called in this process; where Microsoft's worker library is,
they run in that as well, in a process of its own.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import uuid
from pathlib import Path

import httpx
import pytest
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from ostinato.testing import ManualClock
from ostinato.testing.azure.functions_host import FunctionsHost
from ostinato.testing.azure.host_settings import AppSettings, HostJson
from ostinato.testing.azure.worker_direct import DirectWorker
from ostinato.testing.azure.worker_library import LibraryWorker

FOLDER = Path(__file__).parent / "apps" / "plain"


def direct(settings):
    spec = importlib.util.spec_from_file_location("plain_function_app", FOLDER / "function_app.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # annotations are looked up there
    spec.loader.exec_module(module)
    return DirectWorker(module.app)


def library(settings):
    if importlib.util.find_spec("azure_functions_runtime") is None:
        pytest.skip("azure-functions-runtime, Microsoft's worker library, needs Python 3.13")
    return LibraryWorker(FOLDER, settings=settings.values)


WORKERS = [direct, library]


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture(params=WORKERS, ids=lambda make: make.__name__)
def start_worker(request):
    workers = []

    def start(settings):
        workers.append(request.param(settings))
        return workers[-1]

    yield start
    for worker in workers:
        worker.close()


@pytest.fixture
def settings():
    return AppSettings({"QUEUE": "unused", "CONTAINER": "unused"})


@pytest.fixture
def host(start_worker, settings, clock):
    host_json = HostJson.read(FOLDER)
    with FunctionsHost(
        start_worker(settings), host_json=host_json, settings=settings, clock=clock
    ) as host:
        yield host


@pytest.fixture
def http(host):
    with httpx.Client(base_url=host.url) as client:
        yield client


def start(http, name, input=None, **params):
    answer = http.post(f"/api/orchestrators/{name}", json=input, params=params)
    assert answer.status_code == 202, answer.text
    return answer.json()


def finished(host, http, links):
    host.settle()
    return http.get(links["statusQueryGetUri"]).json()


def test_a_chain_runs_from_an_http_starter_to_its_status(host, http):
    links = start(http, "chain", "a", id="chain-1")
    assert links["id"] == "chain-1"
    status = finished(host, http, links)
    assert (status["runtimeStatus"], status["output"]) == ("Completed", "a!!!")
    told = http.get("/api/status/chain-1").json()
    assert (told["runtimeStatus"], told["output"]) == ("Completed", "a!!!")


def test_a_fan_out_sums_up_what_its_activities_give(host, http):
    assert finished(host, http, start(http, "fan_out", 50))["output"] == sum(
        number * number for number in range(50)
    )


def test_an_event_by_the_client_or_the_webhook_wins_over_a_timer(host, http):
    by_client = start(http, "approval")
    by_webhook = start(http, "approval")
    host.settle()
    assert http.get(by_client["statusQueryGetUri"]).json()["customStatus"] == "waiting"
    http.post(f"/api/events/{by_client['id']}/approve", json="yes")
    http.post(by_webhook["sendEventPostUri"].replace("{eventName}", "approve"), json="yes")
    assert finished(host, http, by_client)["output"] == '"yes"'
    assert finished(host, http, by_webhook)["output"] == "yes"


def test_a_timer_fires_when_the_clock_says_so(host, http, clock):
    links = start(http, "approval")
    host.settle()
    clock.advance(2 * 24 * 3600 - 1)
    assert finished(host, http, links)["runtimeStatus"] == "Running"
    clock.advance(1)
    assert finished(host, http, links)["output"] == "too late"


def test_children_answer_their_parent(host, http):
    assert finished(host, http, start(http, "parent", ["a", "b"]))["output"] == "a!!! b!!!"


def test_an_instance_continues_as_new_hour_by_hour(host, http, clock):
    links = start(http, "countdown", 2)
    for _ in range(3):
        host.settle()
        clock.advance(3600)
    assert finished(host, http, links)["output"] == "lift-off"


def test_retries_wait_and_failures_are_told(host, http, clock):
    links = start(http, "unreliable")
    for _ in range(4):
        host.settle()
        clock.advance(60)
    status = finished(host, http, links)
    assert (status["runtimeStatus"], status["customStatus"]) == ("Failed", "given up")
    assert "ValueError: cannot twice" in status["output"]


def test_entities_count(host, http):
    assert finished(host, http, start(http, "counting"))["output"] == 5


def test_a_worker_that_starts_again_between_turns_goes_on(
    host, http, start_worker, settings, clock
):
    links = start(http, "approval")
    host.settle()
    host.deploy(start_worker(settings))
    clock.advance(2 * 24 * 3600)
    assert finished(host, http, links)["output"] == "too late"


def test_a_timer_trigger_starts_an_instance(host, http, clock):
    clock.advance(3600)
    host.settle()
    assert http.get("/api/status/by-timer").json()["output"] == "timer!!!"


def test_triggers_without_storage_are_off_and_say_why(host):
    assert set(host.off) == {"queue_start", "blob_start"}
    assert "'AzureWebJobsStorage', is not set" in host.off["queue_start"]


def test_the_host_lists_its_functions_and_runs_one_when_asked(host, http):
    assert http.get("/").status_code == 200
    assert http.get("/admin/host/status").json()["state"] == "Running"
    names = [function["name"] for function in http.get("/admin/functions").json()]
    assert names[:2] == ["http_start", "http_event"]
    assert http.post("/admin/functions/timer_start", json={}).status_code == 202
    host.settle()
    assert http.get("/api/status/by-timer").json()["output"] == "timer!!!"
    assert http.post("/admin/functions/nobody", json={}).status_code == 404
    assert http.post("/admin/functions/timer_start", content=b"[]").status_code == 400
    no_blob = http.post("/admin/functions/blob_start", json={})
    assert no_blob.status_code == 400
    assert no_blob.text == (
        "function 'blob_start' takes a blob of '%CONTAINER%/{name}';"
        ' name one that is there: {"input": "<container>/<name>"}'
    )


def test_a_function_is_run_on_a_blob_that_is_named(start_worker, storage, clock):
    container = f"c{uuid.uuid4().hex[:10]}"
    settings = AppSettings({"CONTAINER": container, "QUEUE": "q", "AzureWebJobsStorage": storage})
    with FunctionsHost(
        start_worker(settings), host_json=HostJson.read(FOLDER), settings=settings, clock=clock
    ) as host:
        run = f"{host.url}/admin/functions/blob_start"
        with BlobServiceClient.from_connection_string(storage) as blobs:
            blobs.create_container(container).upload_blob("a.txt", b"b")
        for wrong in (f"{container}/other.txt", "elsewhere/a.txt", container):
            assert httpx.post(run, json={"input": wrong}).status_code == 400
        assert httpx.post(run, json={"input": f"{container}/a.txt"}).status_code == 202
        host.hub.settle()
        assert host.hub.get("blob-a.txt").output == '"b!!!"'


def test_messages_and_blobs_start_instances(start_worker, storage, clock):
    unique = uuid.uuid4().hex[:10]
    settings = AppSettings(
        {"QUEUE": f"q{unique}", "CONTAINER": f"c{unique}", "AzureWebJobsStorage": storage}
    )
    with QueueServiceClient.from_connection_string(storage) as queues:
        message = json.dumps({"id": "by-queue", "input": "m"})
        queues.create_queue(f"q{unique}").send_message(message)
    with BlobServiceClient.from_connection_string(storage) as blobs:
        blobs.create_container(f"c{unique}").upload_blob("file.txt", b"b")
    host_json = HostJson.read(FOLDER)
    worker = start_worker(settings)
    with FunctionsHost(worker, host_json=host_json, settings=settings, clock=clock) as host:
        host.settle()
        assert host.off == {}
        assert host.hub.get("by-queue").output == '"m!!!"'
        assert host.hub.get("blob-file.txt").output == '"b!!!"'
