"""Objects by URI, wherever they are: read in parts and written whole."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname

CHUNK = 1 << 20
"""Bytes read at a time, so that an object of any size needs little memory."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An object that is open for reading."""

    size: int
    """In bytes."""
    chunks: Iterator[bytes]
    """Its content, at most `CHUNK` bytes at a time."""


class Objects(Protocol):
    """Objects of one kind of place."""

    def opened(self, uri: str, version: str | None = None) -> AbstractContextManager[Opened]:
        """Open an object for as long as the context lasts.

        Args:
            uri: Where it is.
            version: As the event of its arrival tells it; where a place can tell versions
                apart, no other one is read.

        Raises:
            FileNotFoundError: It is not there, or not in that version; ``strerror`` says which.
            OSError: It cannot be read, now or while ``chunks`` are taken.
            ValueError: No object can be there.
        """
        ...

    def write(self, uri: str, content: bytes) -> None:
        """Write an object whole or not at all, with the folder or container around it.

        Raises:
            OSError: It cannot be written.
            ValueError: No object can be there.
        """
        ...


class Files:
    """Files, by path or ``file://``; their versions are not told apart."""

    @contextmanager
    def opened(self, uri: str, version: str | None = None) -> Generator[Opened, None, None]:
        """Open a file."""
        with _path(uri).open("rb") as file:
            yield Opened(os.fstat(file.fileno()).st_size, iter(partial(file.read, CHUNK), b""))

    def write(self, uri: str, content: bytes) -> None:
        """Write a file under another name first, so that nobody sees half of it."""
        path = _path(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + ".unfinished")
        unfinished.write_bytes(content)
        unfinished.replace(path)


def _path(uri: str) -> Path:
    return Path(url2pathname(urlsplit(uri).path) if "://" in uri else uri)
