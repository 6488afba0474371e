"""Blob triggers: each version of a blob is handled once, however often containers are looked at.

As the WebJobs extension does it: what a look at a container finds goes to a queue of the host's
own; from there it is handled as a message, five times at most, then told to the queue
``webjobs-blobtrigger-poison``; a receipt for each function, blob and etag, kept in the container
``azure-webjobs-hosts``, outlives the host. Triggers with ``source`` EventGrid, which the real
host learns of by events, are looked after in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, cast
from urllib.parse import quote

from azure.core import MatchConditions
from azure.core.exceptions import (
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import BlobProperties, BlobServiceClient
from azure.storage.queue import QueueMessage as StoredMessage
from azure.storage.queue import QueueServiceClient

from ostinato.testing.azure.binding_expressions import Pattern
from ostinato.testing.azure.host_settings import QueueOptions
from ostinato.testing.azure.ports import one_line
from ostinato.testing.azure.triggers import Calling
from ostinato.testing.azure.triggers_queue import Messages, send
from ostinato.testing.azure.worker import Binary, Data, Function, Json, Text

RECEIPTS = "azure-webjobs-hosts"
POISON = "webjobs-blobtrigger-poison"


@dataclass(frozen=True, slots=True)
class Watched:
    """A function and the blobs that call it."""

    function: Function
    pattern: Pattern


class Blobs:
    """The blob triggers of an app on one storage account.

    Args:
        host_id: Names the app among those that share the account.
        watched: What to look for.
        blobs: The account's blobs.
        queues: The account's queues.
        options: Of these the deliveries before a blob is poison count here.
        calling: How functions are called.
    """

    def __init__(
        self,
        host_id: str,
        watched: Sequence[Watched],
        blobs: BlobServiceClient,
        queues: QueueServiceClient,
        options: QueueOptions,
        calling: Calling,
    ) -> None:
        self._host_id = host_id
        self._watched = {w.function.name: w for w in watched}
        self._blobs = blobs
        self._work = queues.get_queue_client(f"webjobs-blobtrigger-{host_id}")
        self._seen = set[tuple[str, str, str, str]]()
        self._receipts = blobs.get_container_client(RECEIPTS)
        self._calling = calling
        plain = replace(options, base64=False)
        self._messages = Messages(
            queues,
            self._work.queue_name,
            plain,
            self._handle,
            calling.log,
            poison=POISON,
            named=_blob_of,
        )

    def poll(self) -> int:
        """Look at the containers, then handle what was found; return how many calls there were."""
        for watched in self._watched.values():
            self._look(watched)
        return self._messages.poll()

    def read(self, function: Function, path: str) -> tuple[Data, dict[str, Data]] | None:
        """The data and metadata of a blob that a function of these takes; None where none fits."""
        container, _, name = path.partition("/")
        watched = self._watched.get(function.name)
        if watched is None or not name or watched.pattern.container != container:
            return None
        return self._read(watched, name)

    def _read(
        self, watched: Watched, name: str, *, etag: str | None = None
    ) -> tuple[Data, dict[str, Data]] | None:
        params = watched.pattern.match(name)
        if params is None:
            return None
        container = watched.pattern.container
        blob = self._blobs.get_blob_client(container, name)
        try:
            download = (
                blob.download_blob()
                if etag is None
                else blob.download_blob(etag=etag, match_condition=MatchConditions.IfNotModified)
            )
            content = download.readall()
        except (ResourceNotFoundError, ResourceModifiedError):
            return None
        data: Data = Binary(content)
        if str(watched.function.trigger.get("dataType", "")).lower() == "string":
            data = Text(content.decode(errors="replace"))
        return data, metadata(download.properties, container, blob.url, params)

    def _look(self, watched: Watched) -> None:
        container = watched.pattern.container
        with suppress(ResourceNotFoundError):  # a container that may yet be made
            for blob in self._blobs.get_container_client(container).list_blobs():
                key = (watched.function.name, container, str(blob.name), _etag(blob.etag))
                if key in self._seen or watched.pattern.match(str(blob.name)) is None:
                    continue
                # Queued before it is noted: a host that ends in between finds it again.
                if not self._is_noted(key):
                    send(self._work, _as_message(key))
                    self._note(key, done=False)
                self._seen.add(key)

    def _handle(self, message: StoredMessage, text: str, what: str) -> bool:
        """Call the function, unless it has been called for this version of the blob."""
        told = json.loads(text)
        name, etag = str(told["BlobName"]), str(told["ETag"])
        key = (str(told["FunctionId"]), str(told["ContainerName"]), name, etag)
        watched = self._watched.get(key[0])
        if watched is None or watched.pattern.container != key[1] or self._is_noted(key, done=True):
            return True
        found = self._read(watched, name, etag=etag)
        if found is None:
            return True  # deleted, or written again, which is an event of its own
        if not self._calling.succeeds(watched.function, *found, on=what):
            return False
        self._note(key, done=True)
        return True

    def _is_noted(self, key: tuple[str, str, str, str], *, done: bool = False) -> bool:
        """Whether there is a receipt; with ``done``, whether it says that the call succeeded."""
        try:
            found = self._receipts.get_blob_client(self._receipt(key)).get_blob_properties()
        except ResourceNotFoundError:
            return False
        return not done or found.metadata.get("state") == "done"

    def _note(self, key: tuple[str, str, str, str], *, done: bool) -> None:
        receipt = self._receipts.get_blob_client(self._receipt(key))
        state = {"state": "done" if done else "queued"}
        try:
            receipt.upload_blob(b"", overwrite=True, metadata=state)
        except ResourceNotFoundError:
            with suppress(ResourceExistsError):  # another may have been quicker
                self._receipts.create_container()
            receipt.upload_blob(b"", overwrite=True, metadata=state)

    def _receipt(self, key: tuple[str, str, str, str]) -> str:
        function, container, blob, etag = key
        return f"blobreceipts/{self._host_id}/{function}/{etag}/{container}/{blob}"


def _as_message(key: tuple[str, str, str, str]) -> str:
    function, container, name, etag = key
    return json.dumps(
        {
            "Type": "BlobTrigger",
            "FunctionId": function,
            "BlobType": "BlockBlob",
            "ContainerName": container,
            "BlobName": name,
            "ETag": etag,
        }
    )


def _blob_of(message: StoredMessage, text: str) -> str:
    """What people are told that such a message is."""
    told = json.loads(text)
    return one_line(f"blob {told['ContainerName']}/{told['BlobName']}")


def _etag(etag: Any) -> str:
    """Listings give it bare, and all else quoted."""
    return '"' + str(etag).strip('"') + '"'


def metadata(
    blob: BlobProperties, container: str, url: str, params: Mapping[str, str]
) -> dict[str, Data]:
    """What is told of a blob, what the path's placeholders stand for among it."""
    settings = blob.content_settings
    properties = {
        "LastModified": _time(blob.last_modified),
        "CreatedOn": _time(blob.creation_time),
        "ContentLength": blob.size,
        "ContentType": settings.content_type,
        "ContentEncoding": settings.content_encoding,
        "ETag": _etag(blob.etag),
        "BlobType": "Block",
    }
    path = f"{container}/{blob.name}"
    told: dict[str, Data] = {key: Text(value) for key, value in params.items()}
    told["BlobTrigger"] = Text(path)
    told["Uri"] = Json(json.dumps(url or quote(path)))
    told["Properties"] = Json(json.dumps(properties))
    told["Metadata"] = Json(json.dumps(dict(blob.metadata or {})))
    return told


def _time(at: Any) -> str | None:
    return None if at is None else cast(datetime, at).isoformat()
