"""Blobs and queues as what functions read and write besides their trigger."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from ostinato.local.clock import Clock
from ostinato.testing.azure.binding_expressions import fill
from ostinato.testing.azure.host_settings import AppSettings, QueueOptions
from ostinato.testing.azure.triggers_queue import encoded, send
from ostinato.testing.azure.worker import (
    Binary,
    Binding,
    BindingError,
    Data,
    Function,
    Json,
    Request,
    Response,
    Text,
)
from ostinato.testing.azure.worker_bindings import Bindings, unsupported


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageBindings:
    """`Bindings` for ``blob`` in and out and ``queue`` out; all others are left to ``others``."""

    settings: AppSettings
    queues: QueueOptions
    clock: Clock
    others: Bindings

    def read(
        self, function: Function, binding: Binding, metadata: Mapping[str, Data]
    ) -> Data | None:
        """Fetch an input; a blob that does not exist is None."""
        if str(binding["type"]).lower() != "blob":
            return self.others.read(function, binding, metadata)
        container, _, name = self._fill(binding["path"], metadata).partition("/")
        service = BlobServiceClient.from_connection_string(self._connection(function, binding))
        with service, service.get_blob_client(container, name) as blob:
            try:
                content = blob.download_blob().readall()
            except ResourceNotFoundError:
                return None
        if str(binding.get("dataType", "")).lower() == "string":
            return Text(content.decode())
        return Binary(content)

    def write(
        self, function: Function, binding: Binding, data: Data, metadata: Mapping[str, Data]
    ) -> None:
        """Deliver an output, making the container or queue where it is missing."""
        match str(binding["type"]).lower():
            case "blob":
                path = self._fill(binding["path"], metadata)
                self._upload(self._connection(function, binding), path, _bytes(data))
            case "queue":
                name = self._fill(binding["queueName"], metadata)
                connection = self._connection(function, binding)
                with QueueServiceClient.from_connection_string(connection) as service:
                    queue = service.get_queue_client(name)
                    for text in _messages(data):
                        send(queue, encoded(text, self.queues))
            case _:
                raise unsupported(function, binding)

    def _upload(self, connection: str, path: str, content: bytes) -> None:
        container, _, name = path.partition("/")
        with BlobServiceClient.from_connection_string(connection) as service:
            blob = service.get_blob_client(container, name)
            try:
                blob.upload_blob(content, overwrite=True)
            except ResourceNotFoundError:
                with suppress(ResourceExistsError):  # another may have been quicker
                    service.get_container_client(container).create_container()
                blob.upload_blob(content, overwrite=True)

    def _fill(self, text: Any, metadata: Mapping[str, Data]) -> str:
        return fill(self.settings.resolve(str(text)), metadata, self.clock.now())

    def _connection(self, function: Function, binding: Binding) -> str:
        name = binding.get("connection")
        connection = self.settings.connection(name)
        if connection is None:
            raise BindingError(
                f"function {function.name!r}: the app setting {name!r}, which the binding of"
                f" {binding['name']!r} names as its connection, is not set"
            )
        return connection


def _bytes(data: Data) -> bytes:
    match data:
        case Text(value) | Json(value):
            return value.encode()
        case Binary(value):
            return value
        case Request() | Response():
            raise TypeError("an HTTP message is no content of a blob")


def _messages(data: Data) -> Iterator[str]:
    """One output may be several messages: a JSON list of texts or of ``{"body": text}``."""
    match data:
        case Json(text):
            value: Any = json.loads(text)
            for item in _listed(value):
                yield _message(item)
        case _:
            yield _bytes(data).decode()


def _listed(value: Any) -> Sequence[Any]:
    return cast(Sequence[Any], value) if isinstance(value, list) else [value]


def _message(item: Any) -> str:
    if isinstance(item, dict) and "body" in item:
        return str(cast(dict[str, Any], item)["body"])
    return item if isinstance(item, str) else json.dumps(item)
