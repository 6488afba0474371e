"""What triggers remember in the app's own storage: events that started an instance, and ticks.

An instance is known for as long as it is not purged, and an event may be delivered again after
that. So each event has a record, an empty blob named by the id of its instance, created before the
instance is started and marked when it has been: a record without the mark is of an event whose
start was cut off, and starts it; one with the mark starts nothing any more. What is cut off
between the start and the mark finds the instance again, unless it was purged in that moment.

One event may be delivered twice at the same time. Only one delivery at a time looks and starts,
by a lease on the record; the others wait. Side by side both might find no instance, and the one
that starts it later would replace it, if it has ended by then.

Of a schedule, one blob holds the tick handled last, and at first when it began.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from ostinato.errors import OstinatoError
from ostinato_azure.account import Storage, app_storage, blob_service, in_container, reason

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, BlobLeaseClient, BlobServiceClient

CONTAINER = "ostinato-triggers"

EVENTS = "events"
"""The folder of records, which a lifecycle rule empties when they are old."""

_SCHEDULES = "schedules"
_STARTED = {"started": "true"}

_LEASE = 60
"""Seconds after which a delivery that is heard of no more is taken to be cut off: the longest that
storage lets a lease last that is not renewed."""

_RENEWED_EVERY = 20.0
"""Seconds after which a delivery that is still at it renews its lease."""

_RENEWALS = 15
"""How often, which is for five minutes: a start that takes longer is not coming back."""

_IS_LEASED = "LeaseIdMissing"
"""What is answered to who would write a blob on which another has a lease."""

_LOOK_AGAIN = 0.5
"""Seconds between two looks whether another delivery is done."""


class RecordError(OstinatoError):
    """What triggers remember cannot be read or written, so that the event has to come again."""


class LastTick(msgspec.Struct, frozen=True):
    """The tick of a schedule that was handled last; before the first one, when it began."""

    at: datetime
    etag: str
    """Changes whenever it does."""


class Records:
    """The records of one task hub; safe to use from any thread.

    Args:
        service: The storage account.
        hub: The task hub: apps that share an account do not share their events.
        container: The container's name; it is made when it is first needed.
        pause: Waits for a number of seconds.
    """

    def __init__(
        self,
        service: BlobServiceClient,
        hub: str,
        *,
        container: str = CONTAINER,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._service = service
        self._hub = hub
        self._container = service.get_container_client(container)
        self._pause = pause

    def once(self, instance_id: str, start: Callable[[], object]) -> None:
        """Start an event's instance, unless that was done before; wait for who is at it.

        Args:
            instance_id: The id that follows from the event.
            start: Starts the instance, or finds it.

        Raises:
            RecordError: Whether it was done cannot be told.
        """
        from azure.core.exceptions import AzureError

        name = f"{EVENTS}/{self._hub}/{instance_id}"
        with self._explained(name):
            self._create(name, b"")
            blob = self._container.get_blob_client(name)
            lease = self._leased(blob)
        try:
            with self._explained(name):
                properties: Any = blob.get_blob_properties()
            if _STARTED.items() <= (properties.metadata or {}).items():
                return
            with _renewed(lease):
                start()
            with self._explained(name):
                blob.set_blob_metadata(_STARTED, lease=lease)
        finally:
            with suppress(AzureError):  # it ends by itself
                lease.release()

    def last_tick(self, schedule: str, begin: datetime) -> LastTick:
        """Return the tick of a schedule that was handled last.

        Args:
            schedule: What tells it from others of the hub.
            begin: Noted, and from now on returned, where nothing is known of the schedule.

        Raises:
            RecordError: It cannot be read.
        """
        from azure.core.exceptions import ResourceNotFoundError

        name = f"{_SCHEDULES}/{self._hub}/{schedule}"
        with self._explained(name):
            try:
                found = self._container.download_blob(name)
            except ResourceNotFoundError:
                self._create(name, _noted(begin))
                found = self._container.download_blob(name)
            at = datetime.fromisoformat(found.readall().decode())
            return LastTick(at, found.properties.etag)

    def set_last_tick(self, schedule: str, at: datetime, before: LastTick) -> None:
        """Note the tick handled last, unless another run has noted one since ``before``.

        Raises:
            RecordError: It cannot be written.
        """
        from azure.core import MatchConditions
        from azure.core.exceptions import ResourceModifiedError

        name = f"{_SCHEDULES}/{self._hub}/{schedule}"
        with self._explained(name), suppress(ResourceModifiedError):
            self._container.upload_blob(
                name,
                _noted(at),
                overwrite=True,
                etag=before.etag,
                match_condition=MatchConditions.IfNotModified,
            )

    def close(self) -> None:
        """Close the connections to the account."""
        self._service.close()  # the container's client shares them, and leaves them open

    def _create(self, name: str, data: bytes) -> None:
        """Create a blob, and the container, where they are not there."""
        in_container(self._container, lambda: self._create_once(name, data))

    def _create_once(self, name: str, data: bytes) -> None:
        from azure.core.exceptions import HttpResponseError, ResourceExistsError

        try:
            self._container.upload_blob(name, data, overwrite=False)  # If-None-Match: *
        except ResourceExistsError:
            pass
        except HttpResponseError as error:
            # Storage may look at the lease before it looks whether the blob is there.
            if getattr(error, "error_code", None) != _IS_LEASED:
                raise

    def _leased(self, blob: BlobClient) -> BlobLeaseClient:
        """Take the lease on a record, when whoever has it is done or has been cut off."""
        from azure.core.exceptions import ResourceExistsError

        while True:
            try:
                return blob.acquire_lease(_LEASE)
            except ResourceExistsError:
                self._pause(_LOOK_AGAIN)

    @contextmanager
    def _explained(self, name: str) -> Generator[None, None, None]:
        """Raise what storage says as `RecordError`."""
        from azure.core.exceptions import AzureError

        try:
            yield
        except AzureError as error:
            account, container = self._container.account_name, self._container.container_name
            raise RecordError(
                f"blob {name} in container {container!r} of storage account {account!r}, by which "
                f"triggers know what they started, cannot be used: {reason(error)}"
            ) from None


@contextmanager
def _renewed(lease: BlobLeaseClient) -> Generator[None, None, None]:
    """Keep a lease for as long as a start takes, which may be longer than a lease lasts."""
    from azure.core.exceptions import AzureError

    done = threading.Event()

    def renew() -> None:
        for _ in range(_RENEWALS):
            if done.wait(_RENEWED_EVERY):
                return
            with suppress(AzureError):  # the next time is soon enough
                lease.renew()

    keeper = threading.Thread(target=renew, name="ostinato-lease", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        done.set()  # not waited for: a renewal under way does no harm


def _noted(at: datetime) -> bytes:
    return at.astimezone(UTC).isoformat().encode()


def app_records(hub: str, settings: Mapping[str, str] = os.environ) -> Records | None:
    """Return the records of a function app; None where its settings name no storage.

    Raises:
        ValueError: The storage is none.
    """
    storage = app_storage(settings)
    return None if storage is None else _connected(storage, hub)


@lru_cache(maxsize=4)  # one, unless tests set several apps up
def _connected(storage: Storage, hub: str) -> Records:
    from azure.storage.blob import ExponentialRetry

    # A webhook's caller waits, and all else is delivered again: storage that is down is told soon.
    return Records(
        blob_service(
            storage,
            retry_policy=ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=2),
            connection_timeout=5,
            read_timeout=10,
        ),
        hub,
    )
