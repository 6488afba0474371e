"""Azurite as a child process."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from ostinato.testing.azure.azurite import (
    Azurite,
    AzuriteMissingError,
    find_azurite,
    running_azurite,
)
from ostinato.testing.azure.http_server import HttpServer


def test_blobs_and_queues_are_served_at_the_connection_string(storage):
    with BlobServiceClient.from_connection_string(storage) as blobs:
        container = blobs.create_container("azurite-test")
        container.upload_blob("a", b"content")
        assert container.download_blob("a").readall() == b"content"
        container.delete_container()
    with QueueServiceClient.from_connection_string(storage) as queues:
        queue = queues.create_queue("azurite-test")
        queue.send_message("text")
        assert [message.content for message in queue.receive_messages()] == ["text"]
        queue.delete_queue()


def test_the_process_is_gone_when_it_is_closed(storage, tmp_path):
    program = find_azurite(tmp_path) or find_azurite(tmp_path.cwd())
    assert program is not None
    with Azurite(program) as running:
        pid = running.pid
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="ends of others' processes on Linux")
def test_the_process_ends_with_the_one_that_started_it_however_that_ends(storage):
    program = find_azurite(Path.cwd())
    killed = f"""if True:
        import os, pathlib
        from ostinato.testing.azure.azurite import Azurite
        print(Azurite(pathlib.Path({str(program)!r})).pid, flush=True)
        input()
        os._exit(1)
    """
    paths = {"PYTHONPATH": f"{Path.cwd() / 'src'}:{Path.cwd() / 'adapters'}"}
    child = subprocess.Popen(
        [sys.executable, "-c", killed],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **paths},
    )
    assert child.stdout is not None
    azurite = os.pidfd_open(int(child.stdout.readline()))
    child.communicate("\n", timeout=60)
    assert child.returncode == 1
    assert select.select([azurite], [], [], 60)[0] == [azurite]
    os.close(azurite)


def test_what_answers_where_azurite_would_is_asked_whether_it_is_one(storage):
    ports = {s: int(p) for s, p in re.findall(r"(\w+)Endpoint=http://127.0.0.1:(\d+)/", storage)}
    found = running_azurite(ports)
    assert found is not None
    assert f"BlobEndpoint=http://127.0.0.1:{ports['Blob']}/devstoreaccount1;" in found

    async def other(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    server = HttpServer(other)
    assert running_azurite({**ports, "Queue": server.port}) is None
    server.close()
    assert running_azurite({**ports, "Queue": server.port}) is None


def test_a_program_that_does_not_listen_is_told_with_what_it_printed(tmp_path):
    program = tmp_path / "azurite"
    program.write_text("#!/bin/sh\necho no such option\n")
    program.chmod(0o755)
    with pytest.raises(AzuriteMissingError, match="ended at once: no such option"):
        Azurite(program)


def test_it_is_found_in_the_node_modules_of_a_folder_above(tmp_path):
    program = tmp_path / "node_modules" / ".bin" / "azurite"
    program.parent.mkdir(parents=True)
    program.touch()
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    assert find_azurite(deep) == program
