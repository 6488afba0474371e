"""The database's tables, and how an older file is brought up to date.

Instances have small integer keys, which the other tables refer to. History, large and written
at the end only, is a table in order of writing with an index, so that the turns
of many instances share pages; work and timers come and go and are kept by key. Times are
microseconds since 1970, UTC; events are MessagePack.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from itertools import chain

from ostinato.errors import SchemaTooNewError
from ostinato.local.board import HubLock
from ostinato.local.faults import not_a_store

APPLICATION_ID = int.from_bytes(b"Osti", "big")

MIGRATIONS: list[tuple[str, ...]] = [
    (
        """CREATE TABLE instance (
            key INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            execution_id TEXT NOT NULL,
            name TEXT NOT NULL,
            version TEXT,
            status TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL,
            length INTEGER NOT NULL,
            parent_id TEXT,
            parent_execution_id TEXT,
            parent_task_id INTEGER,
            tags TEXT,
            custom_status TEXT
        )""",
        "CREATE INDEX instance_created ON instance (created_at)",
        "CREATE INDEX instance_parent ON instance (parent_id) WHERE parent_id IS NOT NULL",
        # position: of the row's first event in the history
        """CREATE TABLE history (
            instance INTEGER NOT NULL,
            position INTEGER NOT NULL,
            events BLOB NOT NULL
        )""",
        "CREATE UNIQUE INDEX history_position ON history (instance, position)",
        """CREATE TABLE work (
            instance INTEGER NOT NULL,
            task_id INTEGER NOT NULL,
            execution_id TEXT NOT NULL,
            crashes INTEGER NOT NULL,
            event BLOB NOT NULL,
            PRIMARY KEY (instance, task_id, execution_id)
        ) WITHOUT ROWID""",
        """CREATE TABLE timer (
            instance INTEGER NOT NULL,
            task_id INTEGER NOT NULL,
            due INTEGER NOT NULL,
            PRIMARY KEY (instance, task_id)
        ) WITHOUT ROWID""",
        "CREATE INDEX timer_due ON timer (due, task_id)",
        # AUTOINCREMENT: an id is never used again, so reading after an id misses nothing
        """CREATE TABLE message (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            instance_id TEXT NOT NULL,
            body BLOB NOT NULL
        )""",
        "CREATE INDEX message_instance ON message (instance_id)",
    ),
]
"""Statements that lead from each schema version to the next; the first makes a new file."""


def prepare(db: sqlite3.Connection, path: str) -> None:
    """Make a new file a task hub, or bring an older one up to date; leave any other alone.

    Raises:
        HubLockedError: The file is older, and a process of the older version executes it.
        NotAStoreError: The file is something else.
        SchemaTooNewError: A newer version wrote it.
        sqlite3.Error: It cannot be read or written.
    """
    with _transaction(db, "DEFERRED"):
        version = _version(db, path)
    if version == len(MIGRATIONS):
        return
    lock = HubLock(f"{path}-lock", path) if version else None
    try:
        _migrate(db, path)
    finally:
        if lock is not None:
            lock.release()


@contextmanager
def _transaction(db: sqlite3.Connection, kind: str) -> Generator[None, None, None]:
    db.execute(f"BEGIN {kind}")
    try:
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _version(db: sqlite3.Connection, path: str) -> int:
    application, version = _pragma(db, "application_id"), _pragma(db, "user_version")
    empty = not (application or version or db.execute("SELECT 1 FROM sqlite_master").fetchone())
    if application != APPLICATION_ID and not empty:
        raise not_a_store(path)
    if version > len(MIGRATIONS):
        raise SchemaTooNewError(
            f"task hub {path!r} has schema {version}, written by a newer Ostinato; this one knows "
            f"schemas up to {len(MIGRATIONS)}: upgrade it (pip install --upgrade ostinato)"
        )
    return version


def _migrate(db: sqlite3.Connection, path: str) -> None:
    with _transaction(db, "IMMEDIATE"):
        # Asked again: another process may have done it meanwhile.
        for statement in chain.from_iterable(MIGRATIONS[_version(db, path) :]):
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _pragma(db: sqlite3.Connection, name: str) -> int:
    (value,) = db.execute(f"PRAGMA {name}").fetchone()
    return int(value)
