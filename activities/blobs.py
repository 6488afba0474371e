"""Blobs of Azure Storage as objects.

The function app's own account is reached as the app reaches it, every other one by identity.
Which accounts those can be is limited: an identity's token is shown to no server but Azure's.
"""

from __future__ import annotations

import mimetypes
import os
import re
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import datetime
from errno import ENOENT
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlsplit

from azure.core import MatchConditions
from azure.core.exceptions import (
    AzureError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import BlobClient, BlobServiceClient, ContentSettings

from activities.objects import CHUNK, Opened
from ostinato_azure.account import Storage, app_storage, blob_service, reason

_ACCOUNT = re.compile(
    r"https://[a-z0-9]+(\.z\d+)?\.blob"
    r"\.(core\.windows\.net|storage\.azure\.net|core\.usgovcloudapi\.net|core\.chinacloudapi\.cn)"
)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\S+(?: |$)")
_ETAG = re.compile(r'"?0x[0-9A-F]+"?')


class Blobs:
    """Blobs, by the URIs that Azure gives them."""

    @contextmanager
    def opened(self, uri: str, version: str | None = None) -> Generator[Opened, None, None]:
        """Open a blob. It is gone as well if it is written again while it is read."""
        blob = blob_at(uri)
        with _explained(uri, "read"):
            download = blob.download_blob(encoding=None, **_only(version))
            yield Opened(download.size, download.chunks())

    def write(self, uri: str, content: bytes) -> None:
        """Write a blob, of the type that its name tells; its container is made where missing."""
        blob = blob_at(uri)
        settings = ContentSettings(content_type=mimetypes.guess_type(blob.blob_name)[0])
        with _explained(uri, "written"):
            try:
                blob.upload_blob(content, overwrite=True, content_settings=settings)
            except ResourceNotFoundError:
                with suppress(ResourceExistsError):  # somebody else was faster
                    _account_at(uri).get_container_client(blob.container_name).create_container()
                blob.upload_blob(content, overwrite=True, content_settings=settings)


def blob_at(uri: str) -> BlobClient:
    """Return the client of a blob.

    Raises:
        ValueError: There is no blob, or it is of no account that may be asked.
    """
    account = _account_at(uri)
    container, _, name = unquote(uri.removeprefix(_root(account))).partition("/")
    if not name:
        raise ValueError(f"{uri} names no blob, which has a container and a name")
    return account.get_blob_client(container, name)


def _account_at(uri: str) -> BlobServiceClient:
    parts = urlsplit(uri)
    plain = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    if uri != plain:  # and may hold a secret, which is not shown
        raise ValueError(
            f"{plain} is given with more than that; blobs are read by the app's rights"
        )
    own = app_storage(os.environ)
    if own is not None and uri.startswith(_root(account := _connected(own))):
        return account
    root = f"{parts.scheme}://{parts.netloc}"
    if _ACCOUNT.fullmatch(root) is None:
        raise ValueError(
            f"{uri} is no blob of AzureWebJobsStorage, and of no account of Azure Storage: "
            "https://<account>.blob.core.windows.net/<container>/<name>"
        )
    return _connected(Storage(root, own.client_id if own else None))


@lru_cache(maxsize=8)
def _connected(storage: Storage) -> BlobServiceClient:
    return blob_service(storage, max_single_get_size=CHUNK, max_chunk_get_size=CHUNK)


def _root(account: BlobServiceClient) -> str:
    return account.url.partition("?")[0].rstrip("/") + "/"  # a shared access signature follows


def _only(version: str | None) -> dict[str, Any]:
    """The conditions under which a blob is still the one that an event told of.

    The version is the etag. Where the host does not tell that, it begins with the time when the
    blob was written, and where not even that is told, it is its size, by which nothing can be
    asked.
    """
    if version is None:
        return {}
    if _ETAG.fullmatch(version):
        quoted = '"' + version.strip('"') + '"'
        return {"etag": quoted, "match_condition": MatchConditions.IfNotModified}
    if _TIME.match(version):
        return {"if_unmodified_since": datetime.fromisoformat(version.partition(" ")[0])}
    return {}


@contextmanager
def _explained(uri: str, done: str) -> Generator[None, None, None]:
    """Raise what storage says as an OSError."""
    try:
        yield
    except (ResourceNotFoundError, ResourceModifiedError):
        gone = "the blob is not there, or no longer in this version"
        raise FileNotFoundError(ENOENT, gone, uri) from None
    except AzureError as error:
        raise OSError(f"{uri} cannot be {done}: {reason(error)}") from None
