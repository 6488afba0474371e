"""Large payloads in Blob storage.

The extension itself keeps what is too large for its own queues and tables in blobs, so claims are
not needed for a payload to fit. They keep it out of everything else: the history that the function
is called with each turn, the messages between host and worker, and the copies that a payload's
way through several instances makes. Each is stored once, by its hash, and read once by a worker
that has it in memory.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from ostinato_azure.account import (
    STORAGE,
    Storage,
    app_storage,
    blob_service,
    in_container,
    reason,
)
from ostinato_azure.claim_text import ClaimError, hash_of

if TYPE_CHECKING:
    from azure.storage.blob import BlobServiceClient

CONTAINER_VARIABLE = "OSTINATO_CLAIM_CONTAINER"
"""The app setting that switches claims on: the name of their container."""

THRESHOLD_VARIABLE = "OSTINATO_CLAIM_THRESHOLD"
"""The app setting with another threshold, in bytes."""

THRESHOLD = 45 * 1024
"""Bytes beyond which a payload is claimed. Up to here DTFx's Azure Storage provider keeps a
message in the queue (64 KB as UTF-16 or base64, less what goes with it); beyond it makes a blob
for each message and each event in any case, so one for the payload alone costs nothing more."""

CACHE_SIZE = 64 * 1024 * 1024
"""Bytes of payloads that are kept in memory."""

RENEWAL = 24 * 60 * 60.0
"""Seconds before what is stored again from here makes its blob new again. So by its time of
modification, which lifecycle rules go by, a blob looks older than it is by this much at most."""

_T = TypeVar("_T")


class BlobClaims:
    """Claims in a container of Blob storage; safe to use from any thread.

    Nothing is ever deleted: who wants that sets a lifecycle rule on the container. For that, a
    blob is new again when its payload is put again; see `RENEWAL`.

    Args:
        service: The storage account.
        container: The container's name; it is made when it is first needed.
        threshold: See `THRESHOLD`.
        cache_size: See `CACHE_SIZE`.
        clock: Tells the time in seconds.
    """

    def __init__(
        self,
        service: BlobServiceClient,
        container: str = "ostinato-claims",
        *,
        threshold: int = THRESHOLD,
        cache_size: int = CACHE_SIZE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._service = service
        self._container = service.get_container_client(container)
        self._threshold = threshold
        self._cache = _Cache(cache_size)
        self._clock = clock

    @classmethod
    def connect(
        cls,
        storage: str,
        container: str = "ostinato-claims",
        *,
        client_id: str | None = None,
        threshold: int = THRESHOLD,
    ) -> BlobClaims:
        """Return the claims in an account.

        Args:
            storage: A connection string, or the URL of an account's blobs.
            container: As for the class.
            client_id: Of the user-assigned identity that is used with a URL.
            threshold: As for the class.

        Raises:
            ValueError: It is neither.
        """
        return cls(blob_service(Storage(storage, client_id)), container, threshold=threshold)

    @property
    def threshold(self) -> int:
        """See `Claims.threshold`."""
        return self._threshold

    def put(self, sha256: str, text: str) -> None:
        """See `Claims.put`."""
        now, kept = self._clock(), self._cache.get(sha256)
        if kept is None:
            self._tried("stored", sha256, lambda: self._upload(sha256, text))
        elif not 0 <= now - kept.stored_at < RENEWAL:
            self._tried("stored", sha256, lambda: self._renew(sha256, text))
        else:
            return
        self._cache.put(sha256, text, now)

    def get(self, sha256: str) -> str:
        """See `Claims.get`."""
        kept = self._cache.get(sha256)
        if kept is not None:
            return kept.text
        data = self._tried("read", sha256, lambda: self._download(sha256))
        text = data.decode(errors="replace")
        if hash_of(text) != sha256:
            raise ClaimError(f"{self._named(sha256)} holds something else than was stored there")
        self._cache.put(sha256, text)
        return text

    def close(self) -> None:
        """Close the connections to the account."""
        self._service.close()  # the container's client shares them, and leaves them open

    def _renew(self, sha256: str, text: str) -> None:
        """Make the blob of a text that was there not long ago new, without sending it again."""
        from azure.core.exceptions import ResourceNotFoundError

        try:
            self._touch(sha256)
        except ResourceNotFoundError:
            self._upload(sha256, text)

    def _touch(self, sha256: str) -> None:
        self._container.get_blob_client(sha256).set_blob_metadata()

    def _upload(self, sha256: str, text: str) -> None:
        in_container(self._container, lambda: self._upload_once(sha256, text))

    def _upload_once(self, sha256: str, text: str) -> None:
        from azure.core.exceptions import ResourceExistsError

        try:
            self._container.upload_blob(sha256, text.encode(), overwrite=False)
        except ResourceExistsError:  # by its name it is the same
            self._touch(sha256)

    def _download(self, sha256: str) -> bytes:
        from azure.core.exceptions import ResourceModifiedError

        try:
            return self._container.download_blob(sha256).readall()
        except ResourceModifiedError:  # made new between two parts of it: it is the same
            return self._container.download_blob(sha256).readall()

    def _tried(self, verb: str, sha256: str, act: Callable[[], _T]) -> _T:
        """What ``act`` returns."""
        from azure.core.exceptions import AzureError, ResourceNotFoundError

        is_gone = False
        try:
            return act()
        except ResourceNotFoundError:
            is_gone = True
            why = "it is not there: it was deleted, or this is another account or container"
        except AzureError as error:
            why = reason(error)
        raise ClaimError(f"{self._named(sha256)} cannot be {verb}: {why}", is_gone=is_gone)

    def _named(self, sha256: str) -> str:
        account, container = self._container.account_name, self._container.container_name
        return f"blob {sha256} in container {container!r} of storage account {account!r}"


def app_claims(settings: Mapping[str, str] = os.environ) -> BlobClaims | None:
    """Return the claims of a function app by its settings; None where they are not on.

    They are on where ``OSTINATO_CLAIM_CONTAINER`` is set, and stand in the app's own storage; see
    `app_storage`.

    Raises:
        ValueError: A setting is missing or wrong; the message names it.
    """
    container = settings.get(CONTAINER_VARIABLE)
    if not container:
        return None
    threshold = settings.get(THRESHOLD_VARIABLE) or str(THRESHOLD)
    if not threshold.isdecimal():
        raise ValueError(f"{THRESHOLD_VARIABLE} is {threshold!r}; it must be a number of bytes")
    storage = app_storage(settings)
    if storage is None:
        raise ValueError(
            f"{CONTAINER_VARIABLE} is set, and there is no storage for it: set {STORAGE}, "
            f"{STORAGE}__accountName or {STORAGE}__blobServiceUri"
        )
    return _connected(storage, container, int(threshold))


@lru_cache(maxsize=4)  # one, unless tests set several apps up
def _connected(storage: Storage, container: str, threshold: int) -> BlobClaims:
    return BlobClaims(blob_service(storage), container, threshold=threshold)


class _Kept(NamedTuple):
    text: str
    stored_at: float
    """When it was stored from here; minus infinity for what was read."""


class _Cache:
    """The texts used last, up to a number of bytes; safe to use from any thread."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._texts = OrderedDict[str, _Kept]()
        self._lock = threading.Lock()

    def get(self, name: str) -> _Kept | None:
        with self._lock:
            kept = self._texts.get(name)
            if kept is not None:
                self._texts.move_to_end(name)
            return kept

    def put(self, name: str, text: str, stored_at: float = -inf) -> None:
        if _size(text) > self._limit:
            return
        with self._lock:
            before = self._texts.pop(name, None)
            if before is not None:
                self._size -= _size(text)
                stored_at = max(stored_at, before.stored_at)
            self._texts[name] = _Kept(text, stored_at)
            self._size += _size(text)
            while self._size > self._limit:
                _, oldest = self._texts.popitem(last=False)
                self._size -= _size(oldest.text)


def _size(text: str) -> int:
    """Bytes of a text, near enough."""
    return len(text)
