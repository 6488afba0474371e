"""What triggers remember, on Azurite, and what is started by it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
import requests
from azure.core.pipeline.transport import RequestsTransport, RequestsTransportResponse
from azure.storage.blob import BlobServiceClient, ContainerClient
from azure.storage.queue import QueueServiceClient

import ostinato as ost
import ostinato_azure
from ostinato.testing import ManualClock
from ostinato.testing.azure.functions_host import FunctionsHost
from ostinato.testing.azure.host_settings import AppSettings, HostJson
from ostinato.testing.azure.worker_direct import DirectWorker
from ostinato.triggers import BlobCreated, QueueMessage, ScheduleTick, TriggerEvent
from ostinato_azure.client import AzureClient
from ostinato_azure.records import CONTAINER, LastTick, RecordError, Records, app_records
from ostinato_azure.triggers import start, start_due
from tests.conformance.harness import EPOCH

PATIENCE = 30.0


@pytest.fixture
def service(storage: str) -> Iterator[BlobServiceClient]:
    with BlobServiceClient.from_connection_string(storage) as opened:
        yield opened


@pytest.fixture
def container(service: BlobServiceClient) -> ContainerClient:
    """A container of the test's own, which is not there yet."""
    return service.get_container_client(f"r{uuid4().hex[:10]}")


def nobody_waits(seconds: float) -> None:
    pytest.fail("there is nothing to wait for")


def records_in(
    container: ContainerClient,
    service: BlobServiceClient,
    hub: str = "h",
    pause: Callable[[float], None] = nobody_waits,
) -> Records:
    return Records(service, hub, container=container.container_name, pause=pause)


class Starts:
    """Counts how often an instance was started; the first times may fail."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.count = 0

    def __call__(self) -> None:
        if self.failures:
            raise self.failures.pop()
        self.count += 1


# --- records ---


def test_an_event_starts_once_and_leaves_an_empty_blob_named_by_its_instance(
    service: BlobServiceClient, container: ContainerClient
) -> None:
    starts = Starts()
    for _ in range(3):  # each as another worker would
        records_in(container, service).once("take-1", starts)
    assert starts.count == 1
    (blob,) = container.list_blobs()
    assert (blob.name, blob.size) == ("events/h/take-1", 0)


def test_a_start_that_was_cut_off_is_made_up_for(
    service: BlobServiceClient, container: ContainerClient
) -> None:
    records, starts = records_in(container, service), Starts(ConnectionError("cut"))
    with pytest.raises(ConnectionError):
        records.once("take-1", starts)
    records.once("take-1", starts)
    records.once("take-1", starts)
    assert starts.count == 1


def test_of_two_deliveries_side_by_side_one_waits_for_the_other_and_starts_nothing(
    service: BlobServiceClient, container: ContainerClient
) -> None:
    waits, is_done = threading.Event(), threading.Event()

    def until_done(seconds: float) -> None:
        waits.set()
        assert is_done.wait(PATIENCE)

    starts = Starts()
    other = records_in(container, service, pause=until_done)
    thread = threading.Thread(target=other.once, args=("take-1", starts))

    def slowly() -> None:
        thread.start()
        assert waits.wait(PATIENCE)
        starts()

    records_in(container, service).once("take-1", slowly)
    is_done.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert starts.count == 1


def test_a_delivery_that_was_cut_off_is_waited_for_no_longer_than_its_lease(
    service: BlobServiceClient, container: ContainerClient
) -> None:
    starts = Starts(ConnectionError("cut"))
    with pytest.raises(ConnectionError):
        records_in(container, service).once("take-1", starts)
    lease = container.get_blob_client("events/h/take-1").acquire_lease(60)

    def as_if_it_ended(seconds: float) -> None:
        lease.break_lease(0)

    records_in(container, service, pause=as_if_it_ended).once("take-1", starts)
    assert starts.count == 1


LEASED = b"<?xml version='1.0'?><Error><Code>LeaseIdMissing</Code></Error>"


class Between(RequestsTransport):  # type: ignore[misc]  # lazily loaded there: Any
    """Notes the leases that are asked for, and may answer a creation as storage does a write to a
    blob with a lease, which Azurite does not."""

    def __init__(self, *, is_leased: bool = False) -> None:
        super().__init__()
        self.is_leased = is_leased
        self.renewed = threading.Event()

    def send(self, request: Any, **options: Any) -> Any:
        if request.headers.get("x-ms-lease-action") == "renew":
            self.renewed.set()
        if self.is_leased and "If-None-Match" in request.headers:
            answer = requests.Response()
            answer.status_code, answer.raw = 412, io.BytesIO(LEASED)
            answer.headers["x-ms-error-code"] = "LeaseIdMissing"
            return RequestsTransportResponse(request, answer)
        return super().send(request, **options)


def test_a_record_that_another_delivery_has_a_lease_on_is_there(
    storage: str, service: BlobServiceClient, container: ContainerClient
) -> None:
    starts = Starts(ConnectionError("cut"))
    with pytest.raises(ConnectionError):
        records_in(container, service).once("take-1", starts)
    leased = Between(is_leased=True)
    with BlobServiceClient.from_connection_string(storage, transport=leased) as other:
        records_in(container, other).once("take-1", starts)
    assert starts.count == 1


def test_a_start_that_takes_long_keeps_its_lease(
    storage: str, container: ContainerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ostinato_azure.records._RENEWED_EVERY", 0.01)
    between = Between()
    with BlobServiceClient.from_connection_string(storage, transport=between) as other:
        records_in(container, other).once("take-1", lambda: between.renewed.wait(PATIENCE))
    assert between.renewed.is_set()


def test_events_and_hubs_do_not_share_their_records(
    service: BlobServiceClient, container: ContainerClient
) -> None:
    starts = Starts()
    records_in(container, service, "one").once("take-1", starts)
    records_in(container, service, "one").once("take-2", starts)
    records_in(container, service, "two").once("take-1", starts)
    assert starts.count == 3


def test_storage_that_refuses_is_one_error_without_the_key_and_nothing_is_started(
    storage: str,
) -> None:
    settings = dict(part.split("=", 1) for part in storage.split(";") if part)
    wrong_key = "d3Jvbmc="
    wrong = storage.replace(settings["AccountKey"], wrong_key)
    starts = Starts()
    with BlobServiceClient.from_connection_string(wrong) as refusing:
        records = Records(refusing, "h")
        for use in (
            lambda: records.once("take-1", starts),
            lambda: records.last_tick("nightly", EPOCH),
            lambda: records.set_last_tick("nightly", EPOCH, LastTick(EPOCH, "e")),
        ):
            with pytest.raises(RecordError, match=f"'{CONTAINER}'.* access was refused") as caught:
                use()
            assert wrong_key not in str(caught.value)
    assert starts.count == 0


def test_an_apps_settings_say_where_its_records_are(storage: str) -> None:
    assert app_records("h", {}) is None
    for settings in (
        {"AzureWebJobsStorage": storage},
        {"AzureWebJobsStorage__accountName": "account"},
        {"AzureWebJobsStorage__blobServiceUri": "https://account.blob.core.windows.net"},
    ):
        records = app_records("h", settings)
        assert records is not None
        assert app_records("h", settings) is records
        records.close()


def test_nothing_of_storage_is_loaded_until_a_trigger_fires() -> None:
    code = (
        "import sys, ostinato as ost, ostinato_azure; app = ost.App();"
        "app.orchestration(name='take', triggers=[ost.Queue('abc')])(lambda ctx: (yield));"
        "ostinato_azure.function_app(app).get_functions(); print(*sys.modules)"
    )
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert "ostinato_azure.functions" in loaded
    assert not loaded & {"azure.storage", "ostinato_azure.triggers", "ostinato_azure.records"}


# --- the tick handled last ---


def test_the_last_tick_is_kept_and_moved_only_by_the_run_that_read_it(
    service: BlobServiceClient, container: ContainerClient
) -> None:
    one, other = records_in(container, service), records_in(container, service)
    assert one.last_tick("nightly", EPOCH).at == EPOCH
    seen = other.last_tick("nightly", EPOCH - timedelta(days=1))
    assert seen.at == EPOCH
    one.set_last_tick("nightly", EPOCH + timedelta(hours=2), seen)
    other.set_last_tick("nightly", EPOCH + timedelta(hours=1), seen)
    assert one.last_tick("nightly", EPOCH).at == EPOCH + timedelta(hours=2)


# --- triggers ---


class Stand:
    """A deployed app with storage of its own, and what a trigger of it is given."""

    def __init__(self, storage: str) -> None:
        self.name = f"t{uuid4().hex[:10]}"
        self.app = ost.App(self.name)

        @self.app.orchestration(
            triggers=[
                ost.Http("take"),
                ost.Queue(f"{self.name}-queue"),
                ost.Schedule("0 2 * * *", catch_up=True),
            ]
        )
        def take(ctx: ost.OrchestrationContext, given: Any):
            return given
            yield

        _ = take
        self._worker = DirectWorker(ostinato_azure.function_app(self.app))
        self.host = FunctionsHost(
            self._worker,
            host_json=HostJson(hub_name=self.name),
            settings=AppSettings({"AzureWebJobsStorage": storage}),
            clock=ManualClock(EPOCH),
        )
        self.client = AzureClient(self.host.url, app=self.app)
        base = f"{self.host.url}/runtime/webhooks/durabletask"
        status = f"{base}/instances/ID?taskHub={self.name}"
        self.binding = json.dumps({"managementUrls": {"statusQueryGetUri": status}})

    def instances(self) -> list[Any]:
        """What the instances that are known gave."""
        self.host.settle()
        return [status.output for status in self.client.list_instances().instances]

    def purge(self) -> int:
        self.host.settle()
        return self.client.purge_many(ost.Query(status="Completed"))

    def due(
        self, at: datetime, schedule: ost.Schedule, *, seen: datetime | None = None
    ) -> list[str]:
        """The ticks for which a run of the timer starts something, which is forgotten again."""
        start_due("take", schedule, at, self.binding, self.app, seen=seen or at)
        found = sorted(tick["at"] for tick in self.instances())
        self.purge()
        return found

    def close(self) -> None:
        self.client.close()
        self.host.close()
        self._worker.close()


@pytest.fixture
def stand(storage: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    monkeypatch.setenv("AzureWebJobsStorage", storage)
    made = Stand(storage)
    yield made
    made.close()


def test_a_repeated_request_starts_nothing_after_its_instance_was_purged(stand: Stand) -> None:
    once = {"Idempotency-Key": "k"}
    answers = []
    for _ in range(2):
        answers.append(httpx.post(f"{stand.host.url}/api/take", json=1, headers=once))
        assert answers[-1].status_code == 202
        stand.purge()
    assert answers[0].json() == answers[1].json()
    httpx.post(f"{stand.host.url}/api/take", json=2)  # nothing tells its repetition
    assert stand.instances() == [2]


def test_a_caller_is_told_to_come_again_when_storage_cannot_tell_what_was_started(
    stand: Stand,
    storage: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    key = dict(part.split("=", 1) for part in storage.split(";") if part)["AccountKey"]
    monkeypatch.setenv("AzureWebJobsStorage", storage.replace(key, b64encode(b"other").decode()))
    once = {"Idempotency-Key": "k"}
    answer = httpx.post(f"{stand.host.url}/api/take", json=1, headers=once)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert stand.name not in answer.text and "storage" not in answer.text
    assert "by which triggers know what they started" in caplog.text
    monkeypatch.setenv("AzureWebJobsStorage", storage)
    assert httpx.post(f"{stand.host.url}/api/take", json=1, headers=once).status_code == 202
    assert stand.instances() == [1]


@pytest.mark.parametrize(
    "event",
    [
        QueueMessage(id="m1", body="1"),
        BlobCreated(container="c", name="a.csv", version="1"),
        ScheduleTick(name="nightly", at=EPOCH),
    ],
    ids=lambda event: type(event).__name__,
)
def test_an_event_that_is_delivered_again_starts_nothing_after_a_purge(
    stand: Stand, event: TriggerEvent
) -> None:
    first = start("take", event, stand.binding, stand.app)
    assert stand.purge() == 1
    assert start("take", event, stand.binding, stand.app) == first
    assert stand.instances() == []


def test_a_message_whose_start_was_cut_off_starts_when_it_comes_again(stand: Stand) -> None:
    event = QueueMessage(id="m1", body="1")
    nowhere = stand.binding.replace(stand.host.url, "http://127.0.0.1:9")
    with pytest.raises(ost.errors.OstinatoError, match="did not answer"):
        start("take", event, nowhere, stand.app)
    start("take", event, stand.binding, stand.app)
    assert stand.instances() == [1]


def test_a_start_that_was_not_marked_finds_its_instance(
    stand: Stand, service: BlobServiceClient
) -> None:
    event = QueueMessage(id="m1", body="1")
    instance_id = start("take", event, stand.binding, stand.app)
    record = service.get_blob_client(CONTAINER, f"events/{stand.name}/{instance_id}")
    record.set_blob_metadata({})
    start("take", event, stand.binding, stand.app)
    assert stand.instances() == [1]
    assert record.get_blob_properties().metadata == {"started": "true"}


def test_messages_of_a_queue_leave_records(
    stand: Stand, storage: str, service: BlobServiceClient
) -> None:
    with QueueServiceClient.from_connection_string(storage) as queues:
        queue = queues.create_queue(f"{stand.name}-queue")
        for text in (b"1", b"2"):
            queue.send_message(b64encode(text).decode())
        assert sorted(stand.instances()) == [1, 2]
    records = service.get_container_client(CONTAINER).list_blobs(f"events/{stand.name}/")
    known = {s.instance_id for s in stand.client.list_instances().instances}
    assert {blob.name.rpartition("/")[2] for blob in records} == known


def test_the_timer_of_a_schedule_notes_how_far_it_is(
    stand: Stand, service: BlobServiceClient
) -> None:
    run = httpx.post(f"{stand.host.url}/admin/functions/take_schedule", json={})
    assert run.status_code == 202
    marks = service.get_container_client(CONTAINER).list_blobs(f"schedules/{stand.name}/take-")
    assert len(list(marks)) == 1


NIGHTLY = ost.Schedule("0 2 * * *", catch_up=True)


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 7, day, hour, minute, tzinfo=UTC)


def test_a_schedule_that_catches_up_makes_up_for_all_that_was_missed(stand: Stand) -> None:
    assert stand.due(at(1, 12), NIGHTLY) == []  # deployed
    assert stand.due(at(2, 2), NIGHTLY) == ["2026-07-02T02:00:00Z"]
    assert stand.due(at(2, 2, 1), NIGHTLY) == []
    assert stand.due(at(5, 9), NIGHTLY) == [f"2026-07-0{day}T02:00:00Z" for day in (3, 4, 5)]
    assert stand.due(at(5, 9, 1), NIGHTLY) == []


def test_one_that_was_down_since_its_first_day_misses_nothing(stand: Stand) -> None:
    assert stand.due(at(1, 12), NIGHTLY) == []
    assert stand.due(at(3, 12), NIGHTLY) == ["2026-07-02T02:00:00Z", "2026-07-03T02:00:00Z"]


PLAIN = ost.Schedule("0 2 * * *")


def test_a_schedule_that_does_not_catch_up_starts_what_is_due_now(stand: Stand) -> None:
    assert stand.due(at(1, 12), PLAIN) == []  # deployed
    assert stand.due(at(2, 2, 3), PLAIN) == ["2026-07-02T02:00:00Z"]
    assert stand.due(at(2, 2, 4), PLAIN) == []
    assert stand.due(at(5, 9), PLAIN) == []


@pytest.mark.parametrize("schedule", [NIGHTLY, PLAIN], ids=["catches up", "does not"])
def test_a_new_schedule_begins_with_the_minute_it_is_first_seen_in(
    stand: Stand, schedule: ost.Schedule
) -> None:
    often = ost.Schedule("* * * * *", catch_up=schedule.catch_up)
    assert stand.due(at(2, 2, 3), schedule) == []  # a tick of three minutes ago was not its own
    assert stand.due(at(2, 2, 3), often) == ["2026-07-02T02:03:00Z"]
    assert stand.due(at(2, 2, 5), often) == ["2026-07-02T02:04:00Z", "2026-07-02T02:05:00Z"]


@pytest.mark.parametrize("schedule", [NIGHTLY, PLAIN], ids=["catches up", "does not"])
def test_the_first_tick_is_not_lost_when_its_start_is_cut_off(
    stand: Stand, schedule: ost.Schedule
) -> None:
    nowhere = stand.binding.replace(stand.host.url, "http://127.0.0.1:9")
    with pytest.raises(ost.errors.OstinatoError, match="did not answer"):
        start_due("take", schedule, at(2, 2), nowhere, stand.app, seen=at(2, 2))
    assert stand.due(at(2, 2, 1), schedule) == ["2026-07-02T02:00:00Z"]
    assert stand.due(at(2, 2, 2), schedule) == []


@pytest.mark.parametrize("schedule", [NIGHTLY, PLAIN], ids=["catches up", "does not"])
def test_the_first_tick_is_not_lost_when_its_run_noted_nothing(
    stand: Stand, schedule: ost.Schedule
) -> None:
    assert stand.due(at(2, 2, 1), schedule, seen=at(1, 12)) == ["2026-07-02T02:00:00Z"]
    assert stand.due(at(2, 2, 2), schedule, seen=at(1, 12)) == []


def test_zones_of_one_schedule_are_caught_up_each_by_itself(stand: Stand) -> None:
    paris = ost.Schedule("0 2 * * *", timezone="Europe/Paris", catch_up=True)
    assert stand.due(at(1, 12), paris) == []
    assert stand.due(at(2, 12), NIGHTLY) == []  # new
    assert stand.due(at(2, 12), paris) == ["2026-07-02T00:00:00Z"]


def test_a_long_outage_is_made_up_for_in_parts(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ostinato_azure.triggers.MOST_TICKS", 3)
    often = ost.Schedule("*/10 * * * *", catch_up=True)
    stand.due(at(1, 12), often)
    found = [stand.due(at(1, 13, 1 + minute), often) for minute in range(4)]
    assert [len(part) for part in found] == [3, 3, 0, 0]
    times = ("12:10", "12:20", "12:30", "12:40", "12:50", "13:00")
    assert [tick for part in found for tick in part] == [f"2026-07-01T{t}:00Z" for t in times]


def test_a_run_that_was_cut_off_goes_on_and_starts_no_tick_twice(stand: Stand) -> None:
    stand.due(at(1, 12), NIGHTLY)
    nowhere = stand.binding.replace(stand.host.url, "http://127.0.0.1:9")
    with pytest.raises(ost.errors.OstinatoError, match="did not answer"):
        start_due("take", NIGHTLY, at(3, 12), nowhere, stand.app, seen=at(3, 12))
    assert len(stand.due(at(3, 12, 1), NIGHTLY)) == 2
    assert stand.due(at(3, 12, 2), NIGHTLY) == []


def test_without_storage_a_schedule_looks_back_a_few_minutes(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AzureWebJobsStorage")
    assert stand.due(at(2, 2, 3), NIGHTLY) == ["2026-07-02T02:00:00Z"]
    assert stand.due(at(5, 9), NIGHTLY) == []
