"""The built package in Microsoft's own worker library, which has nothing else beside it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostinato.client import RuntimeStatus
from ostinato.testing.azure.functions_host import FunctionsHost
from ostinato.testing.azure.worker_library import LibraryWorker
from ostinato_azure.client import AzureClient

ROOT = Path(__file__).parent.parent.parent

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 13), reason="Microsoft's worker library is for Python 3.13"
)


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LibraryWorker]:
    """The repository's own function app, built, unpacked and loaded."""
    folder = tmp_path_factory.mktemp("package")
    command = [sys.executable, "-m", "ostinato.cli", "build", "azure", "-o", str(folder / "a.zip")]
    built = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(folder / "a.zip") as package:
        package.extractall(folder / "app")
    worker = LibraryWorker(folder / "app")
    yield worker
    worker.close()


def test_every_function_is_indexed(worker: LibraryWorker) -> None:
    names = {function.name for function in worker.functions}
    assert {"ingest", "ingest_file", "nightly_etl", "nightly_etl_schedule"} <= names
    assert {"ostinato-gate", "ostinato-client", "ostinato_http"} <= names


def test_ingest_runs_to_its_end_also_when_the_worker_is_killed_on_the_way(
    worker: LibraryWorker, tmp_path: Path
) -> None:
    request = {"folder": str(ROOT / "orchestrations"), "report": str(tmp_path / "report.json")}
    with FunctionsHost(worker) as host:
        client = AzureClient(host.url)
        try:
            first = client.start("ingest", request)
            worker.restart()
            second = client.start("ingest", request)
            found = [client.wait(instance_id, timeout=60) for instance_id in (first, second)]
        finally:
            client.close()
    assert [status.runtime_status for status in found] == 2 * [RuntimeStatus.COMPLETED]
    assert found[0].output["files"] == found[1].output["files"] == 3
    assert (tmp_path / "report.json").exists()
