"""Functions written for azure-functions-durable 2.x and ours live beside each other in one app.

The app is built as its owner builds it, with 2.x among its requirements, and runs in Microsoft's
worker library. The Durable extension is the stand-in's; the whole app is on protobuf, since all
decorators of 2.x ask for it.
"""

from __future__ import annotations

import os
import shutil
import sys
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from ostinato.client import InstanceStatus
from ostinato.testing import ManualClock
from ostinato.testing.azure.functions_host import FunctionsHost
from ostinato.testing.azure.worker import IndexingFailed
from ostinato.testing.azure.worker_library import LibraryWorker
from ostinato_azure.client import AzureClient
from tests.azure.projects import ostinato
from tests.testing.azure.apps.beside_durable2 import ours

ROOT = Path(__file__).parents[2]
APP = ROOT / "tests" / "testing" / "azure" / "apps" / "beside_durable2"
PYTHON = ROOT / ".venv-3.13-durable2" / "bin" / "python"

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 13), reason="azure-functions-durable 2.x is for Python 3.13"
)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app as it is deployed, built as its owner builds it."""
    if not PYTHON.is_file():
        why = "no environment with azure-functions-durable 2.x: .ci/set-up-durable2"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    project = tmp_path_factory.mktemp("beside") / "project"
    shutil.copytree(APP, project, ignore=shutil.ignore_patterns("__pycache__"))
    built = ostinato(project, "build", "azure", "--python", "3.13", "--app", "ours:app")
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(project / "app.zip") as package:
        package.extractall(project / "unpacked")
    return project / "unpacked"


@pytest.fixture(scope="module")
def worker(unpacked: Path) -> Iterator[LibraryWorker]:
    """The app, loaded by a Python that has nothing of ours."""
    worker = LibraryWorker(unpacked, python=PYTHON)
    yield worker
    worker.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def host(worker: LibraryWorker, clock: ManualClock) -> Iterator[FunctionsHost]:
    with FunctionsHost(worker, clock=clock) as host:
        yield host


@pytest.fixture
def client(host: FunctionsHost) -> Iterator[AzureClient]:
    client = AzureClient(host.url, app=ours.app)
    yield client
    client.close()


def result(host: FunctionsHost, client: AzureClient, instance_id: str) -> Any:
    """What an instance returned, when nothing moves any more."""
    host.settle()
    status = client.get_status(instance_id)
    assert status.runtime_status == "Completed", status
    return status.output


def failed(host: FunctionsHost, client: AzureClient, instance_id: str) -> InstanceStatus:
    """How an instance failed."""
    host.settle()
    status = client.get_status(instance_id)
    assert status.runtime_status == "Failed", status
    return status


def test_the_functions_of_both_are_indexed_and_the_app_is_on_protobuf(worker: LibraryWorker):
    kinds = {function.name: function.trigger["type"] for function in worker.functions}
    orchestrations = {"order", "catching", "their_order", "their_catching"}
    activities = {"pack", "their_price", "ostinato-gate", "ostinato-client"}
    assert {kinds[name] for name in orchestrations} == {"orchestrationTrigger"}
    assert {kinds[name] for name in activities} == {"activityTrigger"}
    assert kinds["their_counter"] == "entityTrigger"
    asking = {f.name for f in worker.functions if f.trigger.get("durableRequiresGrpc")}
    assert "their_order" in asking and "order" not in asking


def test_ours_calls_their_activities_and_orchestrations(host: FunctionsHost, client: AzureClient):
    found = result(host, client, client.start("order", {"item": "tea", "count": 2}))
    assert found == {
        "packed": {"item": "tea", "count": 3},
        "price": {"item": "tea", "price": 7.5},
        "basket": 15.0,
    }


def test_theirs_calls_our_activities_and_orchestrations(host: FunctionsHost, client: AzureClient):
    found = result(host, client, client.start("their_order", {"item": "tea", "count": 2}))
    assert found == {
        "packed": {"item": "tea", "count": 3},
        "child": {
            "packed": {"item": "tea", "count": 4},
            "price": {"item": "tea", "price": 10.0},
            "basket": 20.0,
        },
    }


@pytest.mark.parametrize("name", ["order", "their_order"])
def test_their_client_starts_orchestrations_of_both(
    name: str, host: FunctionsHost, client: AzureClient
):
    answer = httpx.post(f"{host.url}/api/start/{name}", json={"item": "tea", "count": 2})
    assert answer.status_code == 202
    assert result(host, client, answer.json()["id"])["packed"] == {"item": "tea", "count": 3}


def test_retries_timers_events_and_children_of_ours_work_beside_theirs(
    host: FunctionsHost, client: AzureClient, clock: ManualClock
):
    instance_id = client.start("patient", "tea")
    host.settle()
    assert client.get_status(instance_id).custom_status == "waiting"
    for _ in range(2):
        clock.advance(timedelta(minutes=1))
        host.settle()
    clock.advance(timedelta(days=8))
    host.settle()
    client.raise_event(instance_id, "go", {"item": "tea", "count": 1})
    assert result(host, client, instance_id) == [
        "tea after 3 attempts",
        {"item": "tea", "price": 5.0},
        "nobodys",
    ]
    assert result(host, client, "nobodys") == 2.5


def test_events_of_ours_reach_theirs_as_the_data_they_are(host: FunctionsHost, client: AzureClient):
    by_client, by_ours = client.start("their_waiting"), client.start("their_waiting")
    host.settle()
    client.raise_event(by_client, "go", {"item": "tea"}, event_id="once")
    client.start("telling", by_ours)
    assert result(host, client, by_client) == {"item": "tea"}
    assert result(host, client, by_ours) == {"item": "tea", "at": "2026-01-02"}


def test_a_failure_of_each_reaches_the_other_with_its_message(
    host: FunctionsHost, client: AzureClient
):
    *ours, (kind, message) = result(host, client, client.start("catching"))
    assert ours == [
        ["SoldOut", "no more tea"],
        ["ActivityError", "coffee is unknown"],
        ["SoldOut", "no more milk"],
    ]
    assert kind == "SubOrchestrationError" and message.endswith("sugar is unknown")
    theirs = result(host, client, client.start("their_catching"))
    assert [text.rpartition(": ")[2] for text in theirs] == ["no more tea", "no more milk"]


def test_what_fails_in_the_end_is_told_to_the_client_with_its_message(
    host: FunctionsHost, client: AzureClient
):
    ours = failed(host, client, client.start("broken", "milk")).failure
    theirs = failed(host, client, client.start("their_broken", {"item": "sugar"})).failure
    assert ours is not None and theirs is not None
    assert (ours.type, ours.message) == ("SoldOut", "no more milk")
    assert "{'item': 'sugar'} is unknown" in theirs.message


STORE = """
from durabletask.payload import PayloadStore

Store = type("Store", (PayloadStore,), {name: None for name in PayloadStore.__abstractmethods__})
app.configure_large_payloads(payload_store=Store())
"""


def test_a_store_of_payloads_that_ours_could_not_read_is_refused(unpacked: Path, tmp_path: Path):
    shutil.copytree(unpacked, tmp_path, symlinks=True, dirs_exist_ok=True)
    with (tmp_path / "function_app.py").open("a") as file:
        file.write(STORE)
    with pytest.raises(IndexingFailed, match="configure_large_payloads"):
        LibraryWorker(tmp_path, python=PYTHON)
