"""The error of everything here."""

from __future__ import annotations

from ostinato.errors import OstinatoError


class PackagingError(OstinatoError):
    """The project cannot be built or described as it is; the message says what mends it."""
