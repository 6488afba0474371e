"""The function app's own storage account: how it is reached, and why it refuses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from azure.core.exceptions import AzureError
    from azure.storage.blob import BlobServiceClient, ContainerClient

T = TypeVar("T")

STORAGE = "AzureWebJobsStorage"
"""The app setting with the account, a connection string; for a managed identity the settings
with this beginning and ``__accountName`` or ``__blobServiceUri``, and with ``__clientId`` where
the identity is user-assigned."""

_REFUSED = (
    "access was refused: the connection string needs the account's key, or the identity the role "
    "Storage Blob Data Contributor"
)


@dataclass(frozen=True, slots=True)
class Storage:
    """An account, and as whom it is asked.

    Attributes:
        place: A connection string; or the URL of the account's blobs, which is used with the
            identity that `azure.identity.DefaultAzureCredential` finds.
        client_id: Of the user-assigned identity among an app's; None for the only one that it
            has, or the one that ``AZURE_CLIENT_ID`` names.
    """

    place: str = field(repr=False)
    client_id: str | None = None


def app_storage(settings: Mapping[str, str]) -> Storage | None:
    """Return the account of a function app by its settings; None where they name none.

    They are those by which the host finds it:
    https://learn.microsoft.com/azure/azure-functions/functions-reference#configure-an-identity-based-connection
    """
    account = settings.get(f"{STORAGE}__accountName")
    place = (
        settings.get(STORAGE)
        or settings.get(f"{STORAGE}__blobServiceUri")
        or (f"https://{account}.blob.core.windows.net" if account else None)
    )
    return Storage(place, settings.get(f"{STORAGE}__clientId") or None) if place else None


def blob_service(storage: Storage, **options: Any) -> BlobServiceClient:
    """Return the blobs of an account.

    Args:
        storage: Which, and as whom.
        options: Further ones of `BlobServiceClient`, such as the sizes that are read at a time.

    Raises:
        ValueError: Its place is neither a connection string nor a URL.
    """
    from azure.storage.blob import BlobServiceClient

    if storage.place.startswith(("https://", "http://")):
        from azure.identity import DefaultAzureCredential

        who = {"managed_identity_client_id": storage.client_id} if storage.client_id else {}
        credential = DefaultAzureCredential(**who)
        return BlobServiceClient(storage.place, credential=credential, **options)
    try:
        return BlobServiceClient.from_connection_string(storage.place, **options)
    except ValueError:  # the message may hold the string, which has the account's key
        raise ValueError(
            "storage is a connection string or the URL of an account's blobs, like "
            "https://<account>.blob.core.windows.net; this is neither"
        ) from None


def in_container(container: ContainerClient, act: Callable[[], T]) -> T:
    """Return what ``act`` does in a container, which is made where it is not there.

    Args:
        container: It.
        act: Is called once more where storage finds the container, or a blob in it, no longer.
    """
    from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

    try:
        return act()
    except ResourceNotFoundError:
        with suppress(ResourceExistsError):  # somebody else was faster, or it was a blob
            container.create_container()
        return act()


def reason(error: AzureError) -> str:
    """Say why storage did not do what was asked; the SDK has its own retries for what passes."""
    from azure.core.exceptions import ClientAuthenticationError, HttpResponseError

    if isinstance(error, ClientAuthenticationError):
        return _REFUSED
    if isinstance(error, HttpResponseError):
        is_refused = error.status_code in (401, 403)
        return _REFUSED if is_refused else f"storage answered {error.status_code}"
    return f"storage did not answer: {type(error).__name__}"
