"""Which place a URI names, and what reads and writes objects there."""

from __future__ import annotations

from activities.objects import Files, Objects


def objects(uri: str) -> Objects:
    """Return what reads and writes the object at a URI or path.

    Raises:
        ValueError: Nothing does; the message names the schemes.
        ImportError: What does is not installed.
    """
    scheme, is_uri, _ = uri.partition("://")
    match scheme.lower() if is_uri else "file":
        case "file":
            return Files()
        case "https" | "http":
            try:
                from activities.blobs import Blobs
            except ModuleNotFoundError as error:
                needed = "reading and writing blobs needs azure-storage-blob"
                raise ImportError(f"{needed}: pip install 'ostinato[azure]'") from error
            return Blobs()
        case unknown:
            raise ValueError(
                f"nothing reads or writes {unknown}://; an object is a path, file://, or https:// "
                "of a blob in Azure Storage"
            )
