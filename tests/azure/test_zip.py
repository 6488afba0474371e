"""The built package in an environment that has Microsoft's worker library and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from ostinato.client import InstanceStatus, RuntimeStatus
from ostinato.testing.azure.events import ExecutionStarted
from ostinato.testing.azure.functions_host import FunctionsHost
from ostinato.testing.azure.host_settings import STORAGE, AppSettings, HostJson
from ostinato.testing.azure.worker import IndexingFailed
from ostinato.testing.azure.worker_library import LibraryWorker
from ostinato_azure.client import AzureClient

ROOT = Path(__file__).parent.parent.parent
KEY = uuid4().hex

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 13), reason="the package is built and run once, on Python 3.13"
)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory, worker_python: Path) -> Path:
    """The repository's own function app, built and unpacked, with a folder to ingest."""
    folder = tmp_path_factory.mktemp("package")
    command = [sys.executable, "-m", "ostinato.cli", "build", "azure", "-o", str(folder / "a.zip")]
    built = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(folder / "a.zip") as package:
        package.extractall(folder / "app")
    incoming = folder / "app" / "incoming"
    incoming.mkdir()
    (incoming / "a.txt").write_text("one two\n")
    (incoming / "b.csv").write_text("1,2\n3,4\n")
    return folder / "app"


@dataclass(frozen=True, slots=True)
class Running:
    """The package, running on a host with storage of its own."""

    worker: LibraryWorker
    host: FunctionsHost
    client: AzureClient
    queues: QueueServiceClient
    blobs: BlobServiceClient

    def ended(self) -> list[InstanceStatus]:
        """All instances, when nothing moves any more."""
        self.host.settle()
        return list(self.client.list_instances().instances)


@pytest.fixture(scope="module")
def running(package: Path, worker_python: Path, storage: str) -> Iterator[Running]:
    """The package, running."""
    settings = AppSettings({STORAGE: storage, "INGEST_KEY": KEY})
    worker = LibraryWorker(package, python=worker_python, settings=settings.values)
    with (
        QueueServiceClient.from_connection_string(storage) as queues,
        BlobServiceClient.from_connection_string(storage) as blobs,
        FunctionsHost(worker, host_json=HostJson.read(package), settings=settings) as host,
    ):
        queues.create_queue("ingest")
        blobs.create_container("incoming")
        client = AzureClient(host.url)
        yield Running(worker, host, client, queues, blobs)
        client.close()
        queues.delete_queue("ingest")
        blobs.delete_container("incoming")
        blobs.delete_container("reports")
    worker.close()


def the_new(running: Running, before: list[InstanceStatus]) -> InstanceStatus:
    """The one instance that was not there before."""
    known = {status.instance_id for status in before}
    (new,) = [status for status in running.ended() if status.instance_id not in known]
    return new


def assert_ingested(status: InstanceStatus) -> None:
    assert (status.name, status.runtime_status) == ("ingest", RuntimeStatus.COMPLETED)
    output: Any = status.output
    assert (output["folder"], output["files"], output["words"]) == ("incoming", 2, 4)


def test_the_environment_has_nothing_that_the_package_could_have_forgotten(worker_python: Path):
    script = (
        "from importlib.util import find_spec; import azure_functions_runtime\n"
        "names = ['ostinato', 'ostinato_azure', 'msgspec', 'httpx', 'cronsim', 'azure.storage']\n"
        "print([name for name in names if find_spec(name)])"
    )
    found = subprocess.run(
        [worker_python, "-I", "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "[]"


def test_every_function_is_listed(running: Running):
    answer = httpx.get(f"{running.host.url}/admin/functions")
    listed = {function["name"]: function["config"]["bindings"] for function in answer.json()}
    assert listed.keys() == {
        *("ingest", "list_files", "ingest_file", "ingest_object", "write_report"),
        *("ingest_http", "ingest_queue", "ingest_blob"),
        *("nightly_etl", "stage_source", "fetch_source", "clean_source", "load_day"),
        *("nightly_etl_schedule", "ostinato_http", "ostinato-gate", "ostinato-client"),
    }
    assert running.host.off == {}


def test_a_request_with_the_key_is_ingested(running: Running):
    url, key = f"{running.host.url}/api/ingest", {"x-functions-key": KEY}
    assert httpx.post(url, json={"folder": "incoming"}).status_code == 401
    answer = httpx.post(url, json={"folder": "incoming"}, headers=key)
    assert answer.status_code == 202, answer.text
    assert_ingested(running.client.wait(answer.json()["id"], timeout=60))


def test_a_message_is_ingested(running: Running):
    before = running.ended()
    running.queues.get_queue_client("ingest").send_message('{"folder": "incoming"}')
    assert_ingested(the_new(running, before))


def test_a_blob_that_arrives_is_ingested_and_reported_on_in_its_storage(running: Running):
    before = running.ended()
    content = "grün,1\nblau,2\nrot 3".encode()
    running.blobs.get_blob_client("incoming", "2026/a b.csv").upload_blob(content)
    status = the_new(running, before)
    assert (status.name, status.runtime_status) == ("ingest", RuntimeStatus.COMPLETED)
    report = running.blobs.get_blob_client("reports", f"{status.instance_id}.json")
    output = json.loads(report.download_blob().readall())
    assert output == status.output
    assert output["by_type"] == {"CSV": {"files": 1, "bytes": len(content), "lines": 3, "words": 4}}
    assert (output["skipped"], output["slowest"][0][0]) == ({}, "2026/a b.csv")


def test_an_instance_outlives_its_worker(running: Running, tmp_path: Path):
    request = {"folder": str(ROOT / "orchestrations"), "report": str(tmp_path / "report.json")}
    hub = running.host.hub
    hub.hold("first")
    first = running.client.start("ingest", request, instance_id="first")
    hub.let_through(first, [lambda event: isinstance(event, ExecutionStarted)])
    hub.settle(60)
    running.worker.restart()
    hub.release(first)
    second = running.client.start("ingest", request)
    found = [running.client.wait(instance_id, timeout=60) for instance_id in (first, second)]
    assert [status.runtime_status for status in found] == 2 * [RuntimeStatus.COMPLETED]
    assert found[0].output["files"] == found[1].output["files"] == 3
    assert (tmp_path / "report.json").exists()


def test_asked_for_the_durable_task_protocol_it_says_what_it_was_built_without(
    package: Path, worker_python: Path, tmp_path: Path
):
    (tmp_path / ".python_packages").symlink_to(package / ".python_packages")
    (tmp_path / "function_app.py").write_text(
        "import ostinato as ost, ostinato_azure\n"
        "app = ostinato_azure.function_app(ost.App(), grpc=True)\n"
    )
    with pytest.raises(IndexingFailed, match=r"pip install 'ostinato\[azure-grpc\]'.*grpc = true"):
        LibraryWorker(tmp_path, python=worker_python)
