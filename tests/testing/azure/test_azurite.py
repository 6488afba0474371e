"""Azurite as a child process."""

from __future__ import annotations

import os

import pytest
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from ostinato.testing.azure.azurite import Azurite, AzuriteMissingError, find_azurite


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
