"""A commit: the rows of all its changes, gathered by statement and written many at a time.

``sqlite3`` lets go of the interpreter lock at every step of a statement, and while an activity
computes in another thread each step may wait milliseconds to get it back. So a statement
here writes up to 64 rows in one step, and heads are found by one row of JSON.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain
from typing import NamedTuple, TypeAlias

import msgspec

from ostinato.events import encode_events
from ostinato.local.checks import first_position, micros
from ostinato.local.rows import HEAD, chunks, head_row, message_row, work_row
from ostinato.local.store import Change, Instance

_SIZES = (64, 8, 1)

_FIND = (
    "SELECT (SELECT coalesce(max(key), 0) FROM instance), "
    "(SELECT json_group_array(json_array(id, key, length)) FROM instance "
    "WHERE id IN (SELECT value FROM json_each(?)))"
)
_KEEP_WORK = "UPDATE work SET instance = ? WHERE instance = ?"

_decode_found = msgspec.json.Decoder(list[tuple[str, int, int]]).decode
_encode_json = msgspec.json.Encoder().encode

_Found: TypeAlias = dict[str, tuple[int, int]]


class _Statement(NamedTuple):
    """SQL for any number of rows."""

    begin: str
    row: str
    between: str = ", "
    end: str = ""


@cache
def _sql(statement: _Statement, rows: int) -> str:
    return statement.begin + statement.between.join([statement.row] * rows) + statement.end


def _insert(into: str, count: int, verb: str = "INSERT") -> _Statement:
    return _Statement(f"{verb} INTO {into} VALUES ", f"({', '.join('?' * count)})")


def _update(columns: Sequence[str]) -> _Statement:
    values = ", ".join(f"{column} = v.column{i}" for i, column in enumerate(columns, 2))
    return _Statement(
        f"UPDATE instance SET {values} FROM (VALUES ",
        f"({', '.join('?' * (len(columns) + 1))})",
        end=") v WHERE instance.key = v.column1",
    )


def _delete(table: str, column: str) -> _Statement:
    return _Statement(f"DELETE FROM {table} WHERE {column} IN (", "?", end=")")


def _delete_keyed(table: str, *columns: str) -> _Statement:
    # An OR of comparisons is looked up row by row; a row value IN (VALUES ...) scans the table.
    row = " AND ".join(f"{column} = ?" for column in columns)
    return _Statement(f"DELETE FROM {table} WHERE ", f"({row})", " OR ")


DROP_HISTORY = _delete("history", "instance")
DROP_TIMERS = _delete("timer", "instance")
DROP_WORK = _delete("work", "instance")
DROP_HEAD = _delete("instance", "key")
DROP_MESSAGES = _delete("message", "instance_id")
ADD_HEAD = _insert(f"instance (key, {HEAD})", 14)
REBEAR_HEAD = _update(["created_at", "parent_id", "parent_execution_id", "parent_task_id"])
UPDATE_HEAD = _update(
    [
        "execution_id",
        "name",
        "version",
        "status",
        "updated_at",
        "length",
        "tags",
        "custom_status",
    ]
)
ADD_HISTORY = _insert("history (instance, position, events)", 3)
ADD_WORK = _insert("work (instance, task_id, execution_id, crashes, event)", 5, "REPLACE")
REMOVE_WORK = _delete_keyed("work", "instance", "task_id", "execution_id")
ADD_TIMER = _insert("timer (instance, task_id, due)", 3, "REPLACE")
REMOVE_TIMER = _delete_keyed("timer", "instance", "task_id")
TAKE_MESSAGE = _delete("message", "id")
SEND_MESSAGE = _insert("message (instance_id, body)", 2)

_ORDER = (
    DROP_HISTORY,
    DROP_TIMERS,
    ADD_HEAD,
    REBEAR_HEAD,
    UPDATE_HEAD,
    ADD_HISTORY,
    ADD_WORK,
    REMOVE_WORK,
    ADD_TIMER,
    REMOVE_TIMER,
    TAKE_MESSAGE,
    SEND_MESSAGE,
)

_Row: TypeAlias = tuple[object, ...]
_Rows: TypeAlias = dict[_Statement, list[_Row]]


def run(db: sqlite3.Connection, statement: _Statement, rows: Sequence[_Row]) -> None:
    """Run a statement for all rows, in order, in few steps."""
    done = 0
    for size in _SIZES:
        while len(rows) - done >= size:
            part = rows[done : done + size]
            db.execute(_sql(statement, size), tuple(chain.from_iterable(part)))
            done += size


def apply(db: sqlite3.Connection, changes: Sequence[Change]) -> None:
    """Apply changes in order, within the caller's transaction; see `Store.commit`."""
    for part in _independent(changes):
        _apply(db, part)


def _independent(changes: Sequence[Change]) -> Iterator[list[Change]]:
    """Split changes where gathering them by statement would not keep their order."""
    part: list[Change] = []
    seen: set[str] = set()
    for change in changes:
        instance_id = change.instance.instance_id
        replaces = change.fresh and change.expected_length is None
        if instance_id in seen or (replaces and part):
            yield part
            part, seen = [], set()
        part.append(change)
        seen.add(instance_id)
    if part:
        yield part


def _apply(db: sqlite3.Connection, changes: Sequence[Change]) -> None:
    last_key, found = _find(db, [change.instance.instance_id for change in changes])
    rows: _Rows = {statement: [] for statement in _ORDER}
    for change in changes:
        instance = change.instance
        old_key, length = found.get(instance.instance_id, (None, None))
        position = first_position(change, length)
        if old_key is None or change.expected_length is None:
            if old_key is not None:
                _succeed(db, old_key, last_key + 1, instance.instance_id)
            key = last_key = last_key + 1
            rows[ADD_HEAD].append((key, *head_row(instance)))
        else:
            key = old_key
            _gather_head(rows, key, change)
        _gather(rows, key, position, change)
    for statement, gathered in rows.items():
        if gathered:
            run(db, statement, gathered)


def _find(db: sqlite3.Connection, instance_ids: Sequence[str]) -> tuple[int, _Found]:
    """Return the last key in use, and key and length of each instance that exists."""
    last, heads = db.execute(_FIND, (_encode_json(instance_ids).decode(),)).fetchone()
    return last, {id_: (key, length) for id_, key, length in _decode_found(heads)}


def _gather_head(rows: _Rows, key: int, change: Change) -> None:
    head = head_row(change.instance)
    if change.fresh:
        rows[DROP_HISTORY].append((key,))
        rows[REBEAR_HEAD].append((key, head[5], *head[8:11]))
    if change.fresh or change.timers_cleared:
        rows[DROP_TIMERS].append((key,))
    rows[UPDATE_HEAD].append((key, *head[1:5], *head[6:8], *head[11:]))


def _gather(rows: _Rows, key: int, position: int, change: Change) -> None:
    for events in chunks(change.events):
        rows[ADD_HISTORY].append((key, position, encode_events(events)))
        position += len(events)
    rows[ADD_WORK] += [(key, *work_row(item)) for item in change.work_added]
    rows[REMOVE_WORK] += [(key, done.task_id, done.execution_id) for done in change.work_removed]
    rows[ADD_TIMER] += [(key, task_id, micros(due)) for task_id, due in change.timers_added]
    rows[REMOVE_TIMER] += [(key, task_id) for task_id in change.timers_removed]
    rows[TAKE_MESSAGE] += [(message_id,) for message_id in change.messages_taken]
    rows[SEND_MESSAGE] += map(message_row, change.messages_sent)


def insert(db: sqlite3.Connection, instance: Instance) -> int:
    """Add a head and return its key."""
    key, _ = _find(db, ())
    run(db, ADD_HEAD, [(key + 1, *head_row(instance))])
    return key + 1


def replace(db: sqlite3.Connection, key: int, instance: Instance) -> int:
    """Add a head in place of an old one, whose work stays, and return its key."""
    last, _ = _find(db, ())
    _succeed(db, key, last + 1, instance.instance_id)
    run(db, ADD_HEAD, [(last + 1, *head_row(instance))])
    return last + 1


def _succeed(db: sqlite3.Connection, old: int, new: int, instance_id: str) -> None:
    forget(db, [(old, instance_id)])
    db.execute(_KEEP_WORK, (new, old))


def forget(db: sqlite3.Connection, instances: Sequence[tuple[int, str]]) -> None:
    """Drop heads, given by key and id, with all that is theirs but work."""
    keys = [(key,) for key, _ in instances]
    for statement in (DROP_HISTORY, DROP_TIMERS, DROP_HEAD):
        run(db, statement, keys)
    run(db, DROP_MESSAGES, [(instance_id,) for _, instance_id in instances])
