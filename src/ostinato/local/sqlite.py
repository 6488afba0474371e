"""The task hub as one SQLite file.

One connection writes, under a lock; what it commits is on disk (WAL, ``synchronous=FULL``).
Readers have connections of their own, so they never wait for a write. The rows of all changes of
a commit are gathered by statement: a commit costs one fsync and a few passes, whatever its size.
"""

from __future__ import annotations

import os
import sqlite3
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from threading import Lock
from time import monotonic, sleep
from typing import Any, Literal

import msgspec

from ostinato.client import IfExists, Query, RuntimeStatus
from ostinato.errors import StoreError
from ostinato.events import Event, ExecutionStarted, decode_events
from ostinato.local import batch
from ostinato.local.board import HubLock, RunningBoard
from ostinato.local.checks import (
    find_start,
    first_message,
    micros,
    moment,
    page_start,
    page_token,
)
from ostinato.local.faults import BUSY_SECONDS, gone, translated
from ostinato.local.rows import HEAD, head_of, message_of, message_row, work_of
from ostinato.local.schema import prepare
from ostinato.local.store import (
    START_TIMER,
    Board,
    Change,
    Instance,
    Message,
    Timer,
    WorkItem,
    WorkKey,
)

_FINISHED = msgspec.json.encode([s.value for s in RuntimeStatus if s.is_finished]).decode()

_PAGE = 1000
"""Rows that a listing of all work reads at a time."""

_CHECKPOINT_PAGES = 4096
_CACHE_KIB = 16_384
_WAL_BYTES = 64 << 20


class SqliteStore:
    """A `Store` in a file, made when there is none.

    Beside it lie SQLite's own ``-wal`` and ``-shm``, and our ``-lock`` and ``-running``.

    Raises:
        NotAStoreError: The file is something else; it is left as it is.
        SchemaTooNewError: A newer version of Ostinato wrote it.
        StoreError: It cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = str(Path(path).absolute())
        self._lock = Lock()
        self._hub: tuple[HubLock, RunningBoard] | None = None
        self._readers: deque[sqlite3.Connection] = deque()
        self._closed = False
        with translated(self.path):
            self._writer = self._connect()
            try:
                prepare(self._writer, self.path)
                _set_up_writer(self._writer)
                self._identity = _identity(self.path)
            except BaseException:
                self._writer.close()
                raise

    def __repr__(self) -> str:
        return f"<SqliteStore {self.path!r}>"

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection, None, None]:
        with self._lock, translated(self.path):
            self._check_open()
            # SQLite would go on writing to a deleted file.
            if _identity(self.path) != self._identity:
                raise gone(self.path)
            db = self._writer
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                _roll_back(db)
                raise

    @contextmanager
    def _reading(self, *, snapshot: bool = False) -> Generator[sqlite3.Connection, None, None]:
        """Lend a reader; with ``snapshot`` all its statements see the hub at one moment."""
        with translated(self.path):
            self._check_open()
            db = self._reader()
            try:
                if snapshot:
                    db.execute("BEGIN")
                yield db
            finally:
                _roll_back(db)
                self._readers.append(db)
                if self._closed:
                    self._close_readers()

    def _reader(self) -> sqlite3.Connection:
        try:
            return self._readers.pop()
        except IndexError:
            db = self._connect()
            db.execute("PRAGMA query_only = ON").close()
            return db

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"task hub {self.path!r} is closed; open it again")

    def acquire(self) -> Board:
        """Become the one that executes this hub; see `Store.acquire`."""
        with self._lock:
            self._check_open()
            lock = HubLock(f"{self.path}-lock", self.path)
            try:
                board = RunningBoard(f"{self.path}-running")
            except BaseException:
                lock.release()
                raise
            self._hub = lock, board
            return board

    def crashed(self) -> Sequence[WorkKey]:
        """What was running when the last executor died; see `Store.crashed`."""
        if self._hub is None:
            raise StoreError("only the executor of a task hub may ask: acquire it first")
        _, board = self._hub
        keys = board.crashed()
        if keys:
            with self._writing() as db:
                keys = [key for key in keys if _count_crash(db, key)]
        # Not before the counts are durable: a death in between counts twice rather than never.
        board.clear()
        return keys

    def commit(self, changes: Sequence[Change]) -> None:
        """Apply all changes or none; see `Store.commit`."""
        with self._writing() as db:
            batch.apply(db, changes)

    def work(self) -> Iterable[WorkItem]:
        """All work that has not reported; see `Store.work`. Reads as it is iterated."""
        after = (0, 0, "")
        while True:
            with self._reading() as db:
                rows = db.execute(
                    "SELECT w.instance, w.task_id, w.execution_id, w.crashes, w.event, i.id "
                    "FROM work w JOIN instance i ON i.key = w.instance "
                    "WHERE (w.instance, w.task_id, w.execution_id) > (?, ?, ?) "
                    "ORDER BY w.instance, w.task_id, w.execution_id LIMIT ?",
                    (*after, _PAGE),
                ).fetchall()
                items = [work_of(row[5], *row[1:5]) for row in rows]
            yield from items
            if len(rows) < _PAGE:
                return
            after = rows[-1][:3]

    def due(self, now: datetime, limit: int) -> Sequence[Timer]:
        """Timers due at or before ``now``; see `Store.due`."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT t.due, i.id, i.execution_id, t.task_id "
                "FROM timer t JOIN instance i ON i.key = t.instance "
                "WHERE t.due <= ? ORDER BY t.due, t.task_id, t.instance LIMIT ?",
                (micros(now), limit),
            ).fetchall()
        return [Timer(moment(due), *rest) for due, *rest in rows]

    def next_due(self) -> datetime | None:
        """When the earliest timer is due."""
        with self._reading() as db:
            (due,) = db.execute("SELECT min(due) FROM timer").fetchone()
        return None if due is None else moment(due)

    def inbox(self, after: int, limit: int) -> Sequence[Message]:
        """Stored messages in order of arrival; see `Store.inbox`."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT id, instance_id, body FROM message WHERE id > ? ORDER BY id LIMIT ?",
                (after, limit),
            ).fetchall()
            return [message_of(*row) for row in rows]

    def inbox_of(self, instance_id: str) -> Sequence[Message]:
        """Stored messages to this instance, in order of arrival."""
        with self._reading() as db:
            return list(_inbox_of(db, instance_id))

    def discard(self, message_ids: Sequence[int]) -> None:
        """Drop stored messages, given by their ids."""
        with self._writing() as db:
            db.executemany(batch.TAKE_MESSAGE, [(message_id,) for message_id in message_ids])

    def instance(self, instance_id: str) -> Instance | None:
        """The head, or None when there is no such instance."""
        with self._reading() as db:
            return _head(db, instance_id)

    def instances(self, query: Query) -> tuple[Sequence[Instance], str | None]:
        """A page of heads, newest first; see `Store.instances`."""
        where, values = _conditions(query)
        with self._reading() as db:
            rows = db.execute(
                f"SELECT {HEAD}, key FROM instance {where} "
                "ORDER BY created_at DESC, key DESC LIMIT ?",
                (*values, query.page_size + 1),
            ).fetchall()
            page = [head_of(*row[:-1]) for row in rows[: query.page_size]]
        if len(rows) == len(page):
            return page, None
        return page, page_token(page[-1].created_at, rows[-2][-1])

    def children(self, instance_id: str) -> Sequence[Instance]:
        """Heads of the instances whose parent is this instance."""
        with self._reading() as db:
            rows = db.execute(
                f"SELECT {HEAD} FROM instance WHERE parent_id = ? ORDER BY key", (instance_id,)
            ).fetchall()
            return [head_of(*row) for row in rows]

    def history(self, instance_id: str, start: int = 0) -> list[Event]:
        """Events of the current execution from position ``start`` on, oldest first."""
        with self._reading() as db:
            events: list[Event] = []
            for position, row in _history_since(db, instance_id, start):
                chunk = decode_events(row)
                events += chunk[start - position :] if position < start else chunk
            return events

    def first_event(self, instance_id: str) -> ExecutionStarted | None:
        """The ExecutionStarted of the current execution, from history or the inbox."""
        with self._reading(snapshot=True) as db:
            head = _head(db, instance_id)
            if head is None:
                return None
            for (row,) in _history_rows(db, instance_id, "ASC"):
                for event in decode_events(row):
                    if isinstance(event, ExecutionStarted):
                        return event
            return find_start(_inbox_of(db, instance_id), head.execution_id)

    def last_event(self, instance_id: str) -> Event | None:
        """The last event of the history, without reading the rest."""
        with self._reading() as db:
            row = _history_rows(db, instance_id, "DESC").fetchone()
            return None if row is None else decode_events(row[0])[-1]

    def create(
        self, instance: Instance, started: ExecutionStarted, if_exists: IfExists
    ) -> Literal["created", "exists"]:
        """Store a pending instance and its ExecutionStarted message; see `Store.create`."""
        with self._writing() as db:
            found = db.execute(
                "SELECT key, status FROM instance WHERE id = ?", (instance.instance_id,)
            ).fetchone()
            if found is None:
                key = batch.insert(db, instance)
            elif if_exists == "replace_finished" and RuntimeStatus(found[1]).is_finished:
                key = batch.replace(db, found[0], instance)
            else:
                return "exists"
            if started.start_at is not None:
                db.executemany(batch.ADD_TIMER, [(key, START_TIMER, micros(started.start_at))])
            db.executemany(batch.SEND_MESSAGE, [message_row(first_message(started))])
            return "created"

    def send(self, messages: Sequence[Message]) -> None:
        """Append messages durably."""
        with self._writing() as db:
            db.executemany(batch.SEND_MESSAGE, [message_row(message) for message in messages])

    def purge(self, instance_ids: Sequence[str]) -> Sequence[str]:
        """Forget instances and their ended children; see `Store.purge`."""
        with self._writing() as db:
            found = db.execute(
                "WITH RECURSIVE family (key, id) AS ("
                " SELECT key, id FROM instance WHERE id IN (SELECT value FROM json_each(?))"
                " UNION"
                " SELECT i.key, i.id FROM instance i JOIN family f ON i.parent_id = f.id"
                "  WHERE i.status IN (SELECT value FROM json_each(?))"
                ") SELECT key, id FROM family",
                (msgspec.json.encode(list(instance_ids)).decode(), _FINISHED),
            ).fetchall()
            db.executemany(batch.DROP_WORK, [(key,) for key, _ in found])
            batch.forget(db, found)
            return [instance_id for _, instance_id in found]

    def version(self) -> int:
        """A number that changes when another process has written."""
        with self._lock, translated(self.path):
            self._check_open()
            (version,) = self._writer.execute("PRAGMA data_version").fetchone()
            return int(version)

    def close(self) -> None:
        """Release the hub and every connection; what still runs counts as finished."""
        if self._hub is not None:
            self._hub[1].clear()
        self.abandon()

    def abandon(self) -> None:
        """Release the hub as a killed process would: what was running stays noted."""
        with self._lock, translated(self.path):
            self._closed = True
            self._close_readers()
            self._writer.close()
            if self._hub is not None:
                lock, board = self._hub
                self._hub = None
                board.close()
                lock.release()

    def _close_readers(self) -> None:
        while self._readers:
            self._readers.pop().close()


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116  (once a commit; a Path costs more than the call)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _set_up_writer(db: sqlite3.Connection) -> None:
    _write_ahead(db)
    for setting in (
        "synchronous = FULL",
        f"wal_autocheckpoint = {_CHECKPOINT_PAGES}",
        f"journal_size_limit = {_WAL_BYTES}",
        f"cache_size = -{_CACHE_KIB}",
    ):
        db.execute(f"PRAGMA {setting}").close()


def _write_ahead(db: sqlite3.Connection) -> None:
    # Where two connections of a new file want this at once, SQLite fails one of them without
    # waiting: https://sqlite.org/c3ref/busy_handler.html
    patience = monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL").close()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or monotonic() > patience:
                raise
            sleep(0.01)


def _roll_back(db: sqlite3.Connection) -> None:
    # After some errors SQLite has rolled back already.
    if db.in_transaction:
        db.execute("ROLLBACK")


def _head(db: sqlite3.Connection, instance_id: str) -> Instance | None:
    row = db.execute(f"SELECT {HEAD} FROM instance WHERE id = ?", (instance_id,)).fetchone()
    return None if row is None else head_of(*row)


def _inbox_of(db: sqlite3.Connection, instance_id: str) -> Iterator[Message]:
    rows = db.execute(
        "SELECT id, instance_id, body FROM message WHERE instance_id = ? ORDER BY id",
        (instance_id,),
    )
    return (message_of(*row) for row in rows)


def _history_rows(
    db: sqlite3.Connection, instance_id: str, order: Literal["ASC", "DESC"]
) -> sqlite3.Cursor:
    return db.execute(
        "SELECT events FROM history WHERE instance = (SELECT key FROM instance WHERE id = ?) "
        f"ORDER BY position {order}",
        (instance_id,),
    )


def _history_since(db: sqlite3.Connection, instance_id: str, start: int) -> sqlite3.Cursor:
    """Rows from the one that holds position ``start`` on."""
    return db.execute(
        "WITH mine AS (SELECT key FROM instance WHERE id = ?) "
        "SELECT position, events FROM history WHERE instance = (SELECT key FROM mine) "
        "AND position >= coalesce((SELECT max(position) FROM history "
        "WHERE instance = (SELECT key FROM mine) AND position <= ?), 0) ORDER BY position",
        (instance_id, start),
    )


def _count_crash(db: sqlite3.Connection, key: WorkKey) -> bool:
    counted = db.execute(
        "UPDATE work SET crashes = crashes + 1 WHERE task_id = ? AND execution_id = ? "
        "AND instance = (SELECT key FROM instance WHERE id = ?)",
        (key.task_id, key.execution_id, key.instance_id),
    )
    return counted.rowcount == 1


def _conditions(query: Query) -> tuple[str, list[Any]]:
    conditions: list[str] = []
    values: list[Any] = []

    def add(condition: str, *parameters: Any) -> None:
        conditions.append(condition)
        values.extend(parameters)

    if query.statuses:
        marks = ", ".join("?" * len(query.statuses))
        add(f"status IN ({marks})", *(status.value for status in query.statuses))
    if query.created_from is not None:
        add("created_at >= ?", micros(query.created_from))
    if query.created_to is not None:
        add("created_at <= ?", micros(query.created_to))
    if query.name:
        add("name = ?", query.name)
    if query.prefix:
        add("substr(id, 1, ?) = ?", len(query.prefix), query.prefix)
    for tag, value in query.tags.items():
        add("EXISTS (SELECT 1 FROM json_each(tags) t WHERE t.key = ? AND t.value = ?)", tag, value)
    start = page_start(query)
    if start is not None:
        add("(created_at, key) < (?, ?)", *start)
    return f"WHERE {' AND '.join(conditions)}" if conditions else "", values
