"""SQLite's errors in the words of whoever has to mend them."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager

import msgspec

from ostinato.errors import NotAStoreError, StoreError

BUSY_SECONDS = 10.0
"""How long a writer waits for another process's transaction."""


@contextmanager
def translated(path: str) -> Generator[None, None, None]:
    """Raise `StoreError` in place of what SQLite and the decoder raise."""
    try:
        yield
    except sqlite3.Error as error:
        raise store_error(error, path) from error
    except msgspec.MsgspecError as error:
        raise StoreError(
            f"task hub {path!r} holds data that this version cannot read ({error}): a newer "
            "Ostinato wrote it (upgrade), or the file was changed by hand (put back a copy)"
        ) from error


def store_error(error: sqlite3.Error, path: str) -> StoreError:
    """Return what happened to which file, and the mend."""
    code = getattr(error, "sqlite_errorcode", None)
    match None if code is None else code & 0xFF:
        case sqlite3.SQLITE_NOTADB:
            return not_a_store(path)
        case sqlite3.SQLITE_FULL:
            text = (
                f"the disk is full: task hub {path!r} could not be written and is unchanged; "
                "free some space, then try again"
            )
        case sqlite3.SQLITE_READONLY:
            text = (
                f"task hub {path!r} is read-only and unchanged; make the file and its "
                "directory writable, then try again"
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            text = (
                f"task hub {path!r} has been locked for {BUSY_SECONDS:g} seconds and is unchanged; "
                "end what holds it (a backup, an open SQLite shell), then try again"
            )
        case sqlite3.SQLITE_CORRUPT:
            text = (
                f"task hub {path!r} is damaged ({error}); put back a copy of the file, or save "
                "what is readable with SQLite's .recover command"
            )
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            text = (
                f"task hub {path!r} cannot be opened; check that its directory exists and is "
                "writable, and that the path is a file"
            )
        case sqlite3.SQLITE_IOERR:
            text = (
                f"task hub {path!r} could not be read or written ({error}) and is unchanged; "
                "check the disk, then try again"
            )
        case _:
            text = f"task hub {path!r} failed: {error}"
    return StoreError(text)


def gone(path: str) -> StoreError:
    """Return the error for a file that is not there any more."""
    return StoreError(
        f"task hub {path!r} was deleted, moved or replaced while it was open, so nothing is "
        "written; put it back, then start again"
    )


def not_a_store(path: str) -> NotAStoreError:
    """Return the error for a file that is something else."""
    return NotAStoreError(
        f"{path!r} is not a task hub of Ostinato and was left as it is; choose another file"
    )
