"""The function app's own storage account: how it is reached, and why it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from azure.core.exceptions import AzureError
    from azure.storage.blob import BlobServiceClient

STORAGE = "AzureWebJobsStorage"
"""The app setting with the account, a connection string; for a managed identity the settings
with this beginning and ``__accountName`` or ``__blobServiceUri``."""

_REFUSED = (
    "access was refused: the connection string needs the account's key, or the identity the role "
    "Storage Blob Data Contributor"
)


def app_storage(settings: Mapping[str, str]) -> str | None:
    """Return the account of a function app by its settings, as `blob_service` takes it."""
    account = settings.get(f"{STORAGE}__accountName")
    return (
        settings.get(STORAGE)
        or settings.get(f"{STORAGE}__blobServiceUri")
        or (f"https://{account}.blob.core.windows.net" if account else None)
    )


def blob_service(storage: str, **options: Any) -> BlobServiceClient:
    """Return the blobs of an account.

    Args:
        storage: A connection string; or the URL of the account's blobs, to be used with the
            identity that `azure.identity.DefaultAzureCredential` finds.
        options: Further ones of `BlobServiceClient`, such as the sizes that are read at a time.

    Raises:
        ValueError: It is neither.
    """
    from azure.storage.blob import BlobServiceClient

    if storage.startswith(("https://", "http://")):
        from azure.identity import DefaultAzureCredential

        return BlobServiceClient(storage, credential=DefaultAzureCredential(), **options)
    try:
        return BlobServiceClient.from_connection_string(storage, **options)
    except ValueError:  # the message may hold the string, which has the account's key
        raise ValueError(
            "storage is a connection string or the URL of an account's blobs, like "
            "https://<account>.blob.core.windows.net; this is neither"
        ) from None


def reason(error: AzureError) -> str:
    """Say why storage did not do what was asked; the SDK has its own retries for what passes."""
    from azure.core.exceptions import ClientAuthenticationError, HttpResponseError

    if isinstance(error, ClientAuthenticationError):
        return _REFUSED
    if isinstance(error, HttpResponseError):
        is_refused = error.status_code in (401, 403)
        return _REFUSED if is_refused else f"storage answered {error.status_code}"
    return f"storage did not answer: {type(error).__name__}"
