"""Blob triggers on Azurite."""

from __future__ import annotations

import json

import azure.functions as func
import azure.functions.blob
import pytest

from ostinato.testing.azure.binding_expressions import Pattern
from ostinato.testing.azure.triggers_blob import POISON, Blobs, Watched


@pytest.fixture
def seen(stand):
    taken = []

    @stand.app.blob_trigger(arg_name="blob", path="unused/{name}", connection="C")
    def take(blob: func.InputStream):
        taken.append((blob.name, blob.read(), blob.length))
        if stand.failing:
            raise ValueError("not yet")

    stand.failing = False
    return taken


@pytest.fixture
def watch(stand):
    def start(pattern="in-%s/{name}"):
        calling = stand.calling()
        watched = Watched(stand.function(calling, "take"), Pattern(pattern % stand.id))
        return Blobs(stand.id, [watched], stand.blobs, stand.queues, stand.options, calling)

    return start


@pytest.fixture
def container(stand):
    return stand.blobs.create_container(stand.name("in"))


def test_a_blob_calls_once_and_again_when_it_is_written_again(container, seen, watch):
    container.upload_blob("a/b.txt", b"one")
    blobs = watch()
    assert [blobs.poll(), blobs.poll()] == [1, 0]
    container.upload_blob("a/b.txt", b"twice", overwrite=True)
    assert [blobs.poll(), blobs.poll()] == [1, 0]
    name = f"{container.container_name}/a/b.txt"
    assert seen == [(name, b"one", 3), (name, b"twice", 5)]


def test_a_host_that_starts_again_knows_what_it_has_handled(container, seen, watch):
    container.upload_blob("a", b"one")
    assert watch().poll() == 1
    assert watch().poll() == 0
    assert len(seen) == 1


def test_blobs_that_do_not_fit_the_path_are_left_alone(container, seen, watch):
    container.upload_blob("a.txt", b"")
    container.upload_blob("a.csv", b"")
    assert watch("in-%s/{name}.csv").poll() == 1
    assert [name.rpartition("/")[2] for name, _, _ in seen] == ["a.csv"]


def test_a_container_that_is_not_there_is_empty_until_it_is_made(stand, seen, watch):
    blobs = watch()
    assert blobs.poll() == 0
    stand.blobs.create_container(stand.name("in")).upload_blob("a", b"")
    assert blobs.poll() == 1


def test_a_blob_that_fails_five_times_is_told_to_the_poison_queue(stand, container, seen, watch):
    container.upload_blob("a", b"x")
    stand.failing = True
    blobs = watch()
    assert [blobs.poll() for _ in range(6)] == [1, 1, 1, 1, 1, 0]
    assert len(seen) == 5
    told = [json.loads(text) for text in stand.texts(POISON)]
    (ours,) = [message for message in told if message["ContainerName"] == stand.name("in")]
    assert ours["BlobName"] == "a" and ours["FunctionId"] == "take"
    blob = f"blob {stand.name('in')}/a"
    *failures, poison = [line.splitlines()[0] for line in stand.log]
    assert failures == [
        f"take failed on {blob} (delivery {count} of 5): ValueError: not yet"
        for count in range(1, 6)
    ]
    assert poison == f"{blob} failed 5 times: moved to the poison queue {POISON}"
    assert watch().poll() == 0


def test_a_blob_deleted_before_its_call_is_no_call(stand, container, seen, watch):
    container.upload_blob("a", b"x")
    stand.failing = True
    blobs = watch()
    blobs.poll()
    container.delete_blob("a")
    assert [blobs.poll(), blobs.poll()] == [1, 0]
    assert len(seen) == 1


def test_what_is_known_of_a_blob_is_told_with_it(stand, container, watch):
    told = []

    @stand.app.blob_trigger(arg_name="blob", path="unused/{name}", connection="C")
    def take(blob: azure.functions.blob.InputStream):
        told.append((blob.uri, blob.blob_properties, blob.metadata))

    container.upload_blob("a", b"xy", metadata={"k": "v"})
    watch().poll()
    ((uri, properties, metadata),) = told
    assert uri == container.get_blob_client("a").url
    assert properties["ContentLength"] == 2 and properties["ETag"].startswith('"')
    assert metadata == {"k": "v"}


def test_a_message_that_comes_again_after_its_call_is_no_second_call(stand, container, seen, watch):
    container.upload_blob("a", b"x")
    stand.failing = True
    blobs = watch()
    blobs.poll()
    (again,) = stand.texts(f"webjobs-blobtrigger-{stand.id}")
    stand.failing = False
    assert blobs.poll() == 1
    stand.queues.get_queue_client(f"webjobs-blobtrigger-{stand.id}").send_message(again)
    assert [blobs.poll(), blobs.poll()] == [1, 0]
    assert len(seen) == 2
