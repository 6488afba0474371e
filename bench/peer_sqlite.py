"""Raw SQLite, the limit: rows written with our durability and nothing else done."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime

import common

PAYLOAD = bytes(100)
TABLE = "CREATE TABLE history (id INTEGER PRIMARY KEY, instance INTEGER, data BLOB)"
INSERT = "INSERT INTO history (instance, data) VALUES (?, ?)"


@contextmanager
def database() -> Generator[sqlite3.Connection, None, None]:
    with common.scratch() as folder:
        connection = sqlite3.connect(folder / "raw.db", isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            yield connection
        finally:
            connection.close()


def commits(rows: int) -> common.Result:
    """One row a commit."""
    with database() as connection:
        connection.execute(TABLE)
        began = time.perf_counter()
        for number in range(rows):
            connection.execute(INSERT, (number, PAYLOAD))
        took = time.perf_counter() - began
    return {"commits_per_s": rows / took, "rows_per_s": rows / took}


def batches(rows: int, size: int) -> common.Result:
    """``size`` rows a commit."""
    with database() as connection:
        connection.execute(TABLE)
        began = time.perf_counter()
        for first in range(0, rows, size):
            connection.execute("BEGIN IMMEDIATE")
            batch = ((n, PAYLOAD) for n in range(first, min(first + size, rows)))
            connection.executemany(INSERT, batch)
            connection.execute("COMMIT")
        took = time.perf_counter() - began
    return {"rows_per_s": rows / took, "commits_per_s": rows / size / took}


def engine_rows(activities: int, size: int) -> common.Result:
    """What the engine writes for an activity of a chain, ``size`` instances' to a commit.

    For each: the turn's events, the next activity's work, the end of the last one's, the head.
    """
    from ostinato.events import OrchestratorStarted, TaskCompleted, TaskScheduled, encode_events
    from ostinato.local.schema import MIGRATIONS

    at = datetime(2026, 1, 1, tzinfo=UTC)
    scheduled = TaskScheduled(at=at, task_id=1000, name="add_one", input="1000")
    completed = TaskCompleted(at=at, task_id=999, result="1000")
    history = encode_events([OrchestratorStarted(at=at), completed, scheduled])
    work = encode_events([scheduled])
    with database() as connection:
        for migration in MIGRATIONS:
            for statement in migration:
                connection.execute(statement)
        head = "INSERT INTO instance VALUES (?, ?, 'e', 'chain', NULL, 'Running', 0, 0, 2" + (
            ", NULL" * 5 + ")"
        )
        connection.executemany(head, ((key, f"{key:032}") for key in range(size)))
        began = time.perf_counter()
        for task_id in range(activities // size):
            keys = range(size)
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "UPDATE instance SET updated_at = ?, length = ? WHERE key = ?",
                [(task_id, task_id * 3, key) for key in keys],
            )
            connection.executemany(
                "INSERT INTO history VALUES (?, ?, ?)",
                [(key, task_id * 3, history) for key in keys],
            )
            connection.executemany(
                "INSERT INTO work VALUES (?, ?, 'e', 0, ?)", [(key, task_id, work) for key in keys]
            )
            connection.executemany(
                "DELETE FROM work WHERE instance = ? AND task_id = ?",
                [(key, task_id - 1) for key in keys],
            )
            connection.execute("COMMIT")
        took = time.perf_counter() - began
    return {"activities_per_s": activities / took, "commits_per_s": activities / size / took}


if __name__ == "__main__":
    common.serve_child({"commits": commits, "batches": batches, "engine_rows": engine_rows})
