"""Blobs as objects, on Azurite: read in the version that was told, in parts, and written.

`ingest` of a blob as well, on the local host; tests/azure/test_zip.py has it by its trigger.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Barrier
from uuid import uuid4

import pytest

pytest.importorskip("azure.storage.blob")

from azure.storage.blob import (
    AccountSasPermissions,
    BlobServiceClient,
    ContainerClient,
    ResourceTypes,
    generate_account_sas,
)

import ostinato as ost
from activities.blobs import blob_at
from activities.objects import CHUNK
from activities.places import objects
from orchestrations import app


@pytest.fixture
def account(storage: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[BlobServiceClient]:
    """The storage of the app that the activities believe to be in."""
    monkeypatch.setenv("AzureWebJobsStorage", storage)
    with BlobServiceClient.from_connection_string(storage) as service:
        yield service


@pytest.fixture
def container(account: BlobServiceClient) -> ContainerClient:
    return account.create_container(f"incoming-{uuid4().hex[:8]}")


def put(container: ContainerClient, name: str, content: bytes) -> tuple[str, str]:
    """Upload a blob; return its URI and etag."""
    blob = container.get_blob_client(name)
    etag = blob.upload_blob(content, overwrite=True)["etag"]
    return blob.url, etag


def read(uri: str, version: str | None = None) -> bytes:
    with objects(uri).opened(uri, version) as opened:
        chunks = list(opened.chunks)
    assert opened.size == sum(map(len, chunks))
    assert all(0 < len(chunk) <= CHUNK for chunk in chunks)
    return b"".join(chunks)


@pytest.mark.parametrize("size", [0, 1, CHUNK, 2 * CHUNK + 1])
def test_a_blob_is_read_in_parts(container: ContainerClient, size: int):
    content = os.urandom(size)
    uri, etag = put(container, "a.bin", content)
    assert read(uri) == read(uri, etag) == read(uri, etag.strip('"')) == content


@pytest.mark.parametrize("name", ["a b.txt", "2026/03/a.txt", "ü/50 %25#?&+'.txt", "~(a)=@:.txt"])
def test_any_name_is_found_by_its_uri(container: ContainerClient, name: str):
    uri, _ = put(container, name, name.encode())
    assert read(uri) == name.encode()


def test_another_version_than_the_one_told_is_not_read(container: ContainerClient):
    uri, first = put(container, "a.txt", b"one")
    _, second = put(container, "a.txt", b"two")
    with pytest.raises(FileNotFoundError, match="no longer") as found:
        read(uri, first)
    assert found.value.filename == uri
    assert read(uri, second.strip('"')) == b"two"


def test_a_version_may_be_the_time_when_the_blob_was_written(container: ContainerClient):
    uri, _ = put(container, "a.txt", b"one")
    written = container.get_blob_client("a.txt").get_blob_properties().last_modified
    assert read(uri, written.isoformat()) == b"one"
    assert read(uri, f"{written.isoformat()} 3 q1w=") == b"one"
    with pytest.raises(FileNotFoundError, match="no longer"):
        read(uri, (written - timedelta(seconds=1)).isoformat())


def test_a_version_that_is_a_size_asks_for_nothing(container: ContainerClient):
    uri, _ = put(container, "a.txt", b"one")
    assert read(uri, "20000101") == b"one"
    assert read(uri, "3 aGVTbG8=") == b"one"  # and what is told of the content


def test_a_blob_written_again_while_it_is_read_is_not_read_on(container: ContainerClient):
    uri, etag = put(container, "a.bin", os.urandom(3 * CHUNK))

    def read_on() -> None:
        with objects(uri).opened(uri, etag) as opened:
            next(opened.chunks)
            put(container, "a.bin", os.urandom(3 * CHUNK))
            list(opened.chunks)

    with pytest.raises(FileNotFoundError, match="no longer"):
        read_on()


def test_a_blob_that_was_deleted_is_not_found(container: ContainerClient):
    uri, etag = put(container, "a.txt", b"one")
    container.delete_blob("a.txt")
    with pytest.raises(FileNotFoundError, match="not there"):
        read(uri, etag)


def test_a_blob_is_written_twice_into_a_container_that_was_not_there(account: BlobServiceClient):
    blob = account.get_blob_client(f"reports-{uuid4().hex[:8]}", "a/b.json")
    objects(blob.url).write(blob.url, b"{}")
    objects(blob.url).write(blob.url, b"[]")
    assert blob.download_blob().readall() == b"[]"
    assert blob.get_blob_properties().content_settings.content_type == "application/json"


def test_access_that_is_refused_says_what_is_needed_and_no_secret(
    container: ContainerClient, storage: str, monkeypatch: pytest.MonkeyPatch
):
    uri, _ = put(container, "a.txt", b"one")
    key = "bm90IHRoZSBrZXk="
    monkeypatch.setenv(
        "AzureWebJobsStorage", re.sub("AccountKey=[^;]*", f"AccountKey={key}", storage)
    )
    for attempt in (lambda: read(uri), lambda: objects(uri).write(uri, b"two")):
        with pytest.raises(OSError, match=r"access was refused: .*Blob Data") as found:
            attempt()
        assert uri in str(found.value) and key not in str(found.value)
        assert not isinstance(found.value, FileNotFoundError)


def test_a_shared_access_signature_reaches_the_account_and_is_not_shown(
    container: ContainerClient, account: BlobServiceClient, monkeypatch: pytest.MonkeyPatch
):
    uri, first = put(container, "a.txt", b"one")
    signature = generate_account_sas(
        str(account.account_name),
        account.credential.account_key,
        ResourceTypes(object=True),
        AccountSasPermissions(read=True),
        datetime.now(UTC) + timedelta(hours=1),
    )
    monkeypatch.setenv(
        "AzureWebJobsStorage", f"BlobEndpoint={account.url};SharedAccessSignature={signature}"
    )
    assert read(uri) == b"one"
    put(container, "a.txt", b"two")
    with pytest.raises(FileNotFoundError) as found:
        read(uri, first)
    assert "sig=" not in str(found.value)


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    "endpoint", ["https://acc1.blob.core.windows.net", "https://acc1.z3.blob.storage.azure.net"]
)
def test_another_account_of_azure_is_reached_by_identity(endpoint: str):
    blob = blob_at(f"{endpoint}/incoming/a%20b/c.txt")
    assert blob.url == f"{endpoint}/incoming/a%20b/c.txt"
    assert type(blob.credential).__name__ == "DefaultAzureCredential"


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    "uri",
    [
        "https://example.com/incoming/a.txt",
        "http://acc1.blob.core.windows.net/incoming/a.txt",
        "https://acc1.blob.core.windows.net.example.com/incoming/a.txt",
        "https://example.com/.blob.core.windows.net/a.txt",
        "https://acc1.blob.core.windows.net:8443/incoming/a.txt",
        "http://127.0.0.1:1/devstoreaccount1/incoming/a.txt",
    ],
)
def test_no_other_server_is_asked(uri: str):
    with pytest.raises(ValueError, match="no blob of AzureWebJobsStorage"):
        blob_at(uri)


def test_a_uri_with_a_secret_is_refused_without_showing_it(container: ContainerClient):
    uri, _ = put(container, "a.txt", b"one")
    for given in (f"{uri}?sig=s3cret", uri.replace("://", "://me:s3cret@"), f"{uri}#s3cret"):
        with pytest.raises(ValueError, match=re.escape(uri)) as found:
            blob_at(given)
        assert "s3cret" not in str(found.value)


def test_a_container_is_no_blob(container: ContainerClient):
    for uri in (container.url, f"{container.url}/"):
        with pytest.raises(ValueError, match="names no blob"):
            blob_at(uri)


def test_reports_that_need_the_same_new_container_are_all_written(account: BlobServiceClient):
    barrier = Barrier(8)

    def write(container: ContainerClient, number: int) -> None:
        uri = f"{container.url}/{number}.json"
        barrier.wait(60)
        objects(uri).write(uri, b"{}")

    with ThreadPoolExecutor(barrier.parties) as pool:
        for _ in range(5):  # at least once two find at the same time that it is not there
            container = account.get_container_client(f"reports-{uuid4().hex[:8]}")
            list(pool.map(partial(write, container), range(barrier.parties)))
            assert len(list(container.list_blob_names())) == barrier.parties


def ingest(container: ContainerClient, name: str, uri: str, version: str) -> ost.InstanceStatus:
    """Ingest a blob as the event of its arrival has it done."""
    event = {"container": container.container_name, "name": name, "uri": uri, "version": version}
    with ost.local.LocalHost(app, store=":memory:") as host:
        return host.client.wait(host.client.start("ingest", {**event, "size": 1}), timeout=60)


def test_a_blob_is_ingested_and_its_report_is_written_beside_its_container(
    container: ContainerClient, account: BlobServiceClient
):
    content = "zwei wörter\n".encode() * 200_000
    status = ingest(container, "a b/ü.txt", *put(container, "a b/ü.txt", content))
    report = account.get_blob_client("reports", f"{status.instance_id}.json")
    output = json.loads(report.download_blob().readall())
    assert output == status.output
    assert output["folder"] == container.url
    assert output["by_type"] == {
        "text": {"files": 1, "bytes": len(content), "lines": 200_000, "words": 400_000}
    }
    assert ([path for path, _ in output["slowest"]], output["skipped"]) == (["a b/ü.txt"], {})


def test_a_blob_that_was_written_again_is_reported_as_skipped(
    container: ContainerClient, account: BlobServiceClient
):
    uri, first = put(container, "a.txt", b"one")
    put(container, "a.txt", b"two")
    status = ingest(container, "a.txt", uri, first)
    reason = "the blob is not there, or no longer in this version"
    assert (status.output["bytes"], status.output["skipped"]) == (0, {"a.txt": reason})
    assert account.get_blob_client("reports", f"{status.instance_id}.json").exists()
