"""Queue triggers, as the WebJobs extension for Azure Storage handles messages."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeAlias, cast

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.queue import QueueClient, QueueServiceClient
from azure.storage.queue import QueueMessage as StoredMessage

from ostinato.testing.azure.host_settings import QueueOptions
from ostinato.testing.azure.ports import Log
from ostinato.testing.azure.triggers import Calling
from ostinato.testing.azure.worker import Binary, Data, Function, Json, Text

LEASE = 600
"""Seconds for which a message is kept from others while its function runs."""


Handle: TypeAlias = Callable[[StoredMessage, str, str], bool]
"""Handles a message, given its decoded text and what people are told that it is; whether it is
done with."""

Named: TypeAlias = Callable[[StoredMessage, str], str]
"""What people are told that a message is, by its decoded text."""


class Messages:
    """Takes messages from a queue and hands each on, until it is done with or poison.

    A message that fails stays unseen for ``visibility_timeout``, then comes again; after
    ``max_dequeue_count`` deliveries, or when its text cannot be decoded, it goes to the queue
    ``poison``, as it is. A queue that does not exist is an empty one. People are told of messages
    by their id, unless they are ``named`` otherwise.
    """

    def __init__(
        self,
        service: QueueServiceClient,
        queue: str,
        options: QueueOptions,
        handle: Handle,
        log: Log,
        *,
        poison: str | None = None,
        named: Named | None = None,
    ) -> None:
        self._queue = service.get_queue_client(queue)
        self._poison = service.get_queue_client(poison or f"{queue}-poison")
        self._options = options
        self._handle = handle
        self._log = log
        self._named = named

    def poll(self) -> int:
        """Handle up to a batch of messages, side by side; return how many there were."""
        size = self._options.batch_size
        try:
            messages = list(
                self._queue.receive_messages(visibility_timeout=LEASE, max_messages=size)
            )
        except ResourceNotFoundError:
            return 0
        if messages:
            with ThreadPoolExecutor(size) as pool:
                list(pool.map(self._take, messages))
        return len(messages)

    def _take(self, message: StoredMessage) -> None:
        count = message.dequeue_count or 0
        limit = self._options.max_dequeue_count
        try:
            text = _decoded(message.content, self._options)
        except (binascii.Error, UnicodeDecodeError, ValueError):
            self._bury(message, f"{self._by_id(message)} is not base64")
            return
        what = self._named(message, text) if self._named else self._by_id(message)
        if count <= limit and self._handle(message, text, f"{what} (delivery {count} of {limit})"):
            self._drop(message)
        elif count >= limit:
            self._bury(message, f"{what} failed {min(count, limit)} times")
        else:
            unseen = int(self._options.visibility_timeout.total_seconds())
            self._queue.update_message(
                message.id, pop_receipt=message.pop_receipt, visibility_timeout=unseen
            )

    def _by_id(self, message: StoredMessage) -> str:
        return f"message {message.id} of {self._queue.queue_name}"

    def _bury(self, message: StoredMessage, why: str) -> None:
        send(self._poison, message.content)
        self._log(f"{why}: moved to the poison queue {self._poison.queue_name}")
        self._drop(message)

    def _drop(self, message: StoredMessage) -> None:
        try:
            self._queue.delete_message(message.id, pop_receipt=message.pop_receipt)
        except ResourceNotFoundError:
            # Its function ran for so long that it was given to someone else.
            self._log(f"{self._by_id(message)} was taken by another")


def send(queue: QueueClient, content: str) -> None:
    """Put a message into a queue, which is made where it is missing."""
    try:
        queue.send_message(content)
    except ResourceNotFoundError:
        with suppress(ResourceExistsError):  # another may have been quicker
            queue.create_queue()
        queue.send_message(content)


def encoded(text: str, options: QueueOptions) -> str:
    """A message as it is stored."""
    return base64.b64encode(text.encode()).decode() if options.base64 else text


def _decoded(content: str, options: QueueOptions) -> str:
    return base64.b64decode(content, validate=True).decode() if options.base64 else content


def queue_trigger(
    function: Function,
    queue: str,
    service: QueueServiceClient,
    options: QueueOptions,
    calling: Calling,
) -> Messages:
    """The trigger of a function by the messages of a queue."""
    binary = str(function.trigger.get("dataType", "")).lower() == "binary"

    def handle(message: StoredMessage, text: str, what: str) -> bool:
        data: Data = Binary(text.encode()) if binary else Text(text)
        return calling.succeeds(function, data, metadata(message, text), on=what)

    return Messages(service, queue, options, handle, calling.log)


def metadata(message: StoredMessage, text: str) -> dict[str, Data]:
    """What is told of a message; the parts of a JSON object serve binding expressions."""
    told: dict[str, Data] = {key: _data(value) for key, value in _parts(text)}
    told["QueueTrigger"] = Text(text)
    told["Id"] = Text(message.id)
    told["DequeueCount"] = Json(str(message.dequeue_count))
    told["PopReceipt"] = Text(str(message.pop_receipt))
    times = {
        "InsertionTime": message.inserted_on,
        "ExpirationTime": message.expires_on,
        "NextVisibleTime": message.next_visible_on,
    }
    told.update({key: _time(at) for key, at in times.items() if at is not None})
    return told


def _parts(text: str) -> Iterable[tuple[str, Any]]:
    try:
        value: Any = json.loads(text)
    except ValueError:
        return ()
    return cast(dict[str, Any], value).items() if isinstance(value, dict) else ()


def _data(value: Any) -> Data:
    return Text(value) if isinstance(value, str) else Json(json.dumps(value))


def _time(at: datetime) -> Json:
    return Json(json.dumps(at.isoformat()))
