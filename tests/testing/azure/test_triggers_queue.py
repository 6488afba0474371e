"""Queue triggers on Azurite."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from datetime import timedelta

import azure.functions as func
import pytest

from ostinato.testing.azure.triggers_queue import queue_trigger


@pytest.fixture
def seen(stand):
    """What the function `take` was given; it fails as often as `failures` says."""
    taken = []

    @stand.app.queue_trigger(arg_name="msg", queue_name="unused", connection="C")
    def take(msg: func.QueueMessage):
        taken.append((msg.get_body().decode(), msg.dequeue_count))
        if stand.failures:
            stand.failures -= 1
            raise ValueError("not yet")

    stand.failures = 0
    return taken


@pytest.fixture
def listen(stand):
    def start(**options):
        stand.options = replace(stand.options, **options)
        calling = stand.calling()
        function = stand.function(calling, "take")
        return queue_trigger(function, stand.name("in"), stand.queues, stand.options, calling)

    return start


def put(stand, *texts):
    queue = stand.queues.create_queue(stand.name("in"))
    for text in texts:
        queue.send_message(text)


def b64(text):
    return base64.b64encode(text.encode()).decode()


def test_messages_are_base64_unless_the_host_is_told_otherwise(stand, seen, listen):
    put(stand, b64("é"))
    assert listen().poll() == 1
    assert seen == [("é", 1)]
    assert stand.texts(stand.name("in")) == []


def test_plain_messages_come_as_they_are(stand, seen, listen):
    put(stand, '{"a": 1}', "<b>")
    assert listen(base64=False).poll() == 2
    assert sorted(seen) == [("<b>", 1), ('{"a": 1}', 1)]


def test_a_queue_that_is_not_there_is_empty(seen, listen):
    assert listen().poll() == 0


def test_a_message_whose_function_failed_comes_again(stand, seen, listen):
    put(stand, "m")
    stand.failures = 2
    trigger = listen(base64=False)
    assert [trigger.poll(), trigger.poll(), trigger.poll(), trigger.poll()] == [1, 1, 1, 0]
    assert seen == [("m", 1), ("m", 2), ("m", 3)]


def test_each_delivery_that_fails_is_a_line_with_the_apps_own_code_and_so_is_the_last(
    stand, seen, listen
):
    put(stand, "m")
    stand.failures = 2
    trigger = listen(base64=False, max_dequeue_count=2)
    (message,) = stand.queues.get_queue_client(stand.name("in")).peek_messages()
    trigger.poll()
    trigger.poll()
    what = f"message {message.id} of {stand.name('in')}"
    code = __file__ + r':\d+: raise ValueError\("not yet"\)'
    first, second, poison = stand.log
    for delivery, told in enumerate([first, second], 1):
        line, where = told.splitlines()
        assert line == f"take failed on {what} (delivery {delivery} of 2): ValueError: not yet"
        assert re.fullmatch(f"  {code}", where)
    assert poison == f"{what} failed 2 times: moved to the poison queue {stand.name('in')}-poison"


def test_what_fails_in_a_library_is_told_with_the_apps_own_line_alone(stand):
    @stand.app.queue_trigger(arg_name="msg", queue_name="unused", connection="C")
    def take(msg: func.QueueMessage):
        msg.get_json()

    put(stand, b64("{"))
    calling = stand.calling()
    function = stand.function(calling, "take")
    queue_trigger(function, stand.name("in"), stand.queues, stand.options, calling).poll()
    (told,) = stand.log
    line, where = told.splitlines()
    assert ": JSONDecodeError: Expecting property name" in line
    assert re.fullmatch(rf"  {__file__}:\d+: msg\.get_json\(\)", where)


def test_a_message_that_failed_stays_unseen_for_as_long_as_the_host_says(stand, seen, listen):
    put(stand, "m")
    stand.failures = 1
    trigger = listen(base64=False, visibility_timeout=timedelta(hours=1))
    assert [trigger.poll(), trigger.poll()] == [1, 0]


def test_a_message_that_failed_too_often_is_poison_as_it_was(stand, seen, listen):
    put(stand, b64("m"))
    stand.failures = 100
    trigger = listen(max_dequeue_count=2)
    assert [trigger.poll(), trigger.poll(), trigger.poll()] == [1, 1, 0]
    assert [count for _, count in seen] == [1, 2]
    assert stand.texts(stand.name("in") + "-poison") == [b64("m")]


def test_a_message_that_is_not_base64_is_poison_at_once(stand, seen, listen):
    put(stand, "{not base64}")
    assert listen().poll() == 1
    assert seen == []
    assert stand.texts(stand.name("in") + "-poison") == ["{not base64}"]
    (told,) = stand.log
    poison = f"{stand.name('in')}-poison"
    assert told.endswith(f" is not base64: moved to the poison queue {poison}")


def test_outputs_go_to_queues_and_blobs_named_by_the_message(stand):
    @stand.app.queue_trigger(arg_name="msg", queue_name="unused", connection="C")
    @stand.app.blob_input(arg_name="before", path="data-%ID%/{name}", connection="C")
    @stand.app.blob_output(arg_name="after", path="data-%ID%/{name}.out", connection="C")
    @stand.app.queue_output(arg_name="$return", queue_name="out-%ID%", connection="C")
    def take(msg: func.QueueMessage, before: bytes, after: func.Out[bytes]):
        after.set(before + b"!")
        return ["one", "two"]

    stand.blobs.create_container(stand.name("data")).upload_blob("a", b"was")
    put(stand, b64('{"name": "a"}'))
    calling = stand.calling()
    trigger = queue_trigger(
        stand.function(calling, "take"), stand.name("in"), stand.queues, stand.options, calling
    )
    assert trigger.poll() == 1
    assert stand.log == []
    assert stand.texts(stand.name("out")) == [b64("one"), b64("two")]
    blob = stand.blobs.get_blob_client(stand.name("data"), "a.out")
    assert blob.download_blob().readall() == b"was!"


def test_a_connection_that_is_not_set_is_named(stand):
    @stand.app.queue_trigger(arg_name="msg", queue_name="unused", connection="C")
    @stand.app.queue_output(arg_name="$return", queue_name="out", connection="Nowhere")
    def take(msg: func.QueueMessage) -> str:
        return "x"

    put(stand, b64("m"))
    calling = stand.calling()
    function = stand.function(calling, "take")
    queue_trigger(function, stand.name("in"), stand.queues, stand.options, calling).poll()
    assert "app setting 'Nowhere'" in stand.log[0]
