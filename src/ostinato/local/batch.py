"""A commit: the rows of all its changes, gathered by statement and run in a fixed order."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from ostinato.local.checks import first_position, micros
from ostinato.local.rows import HEAD, chunks, head_row, history_rows, message_row, work_row
from ostinato.local.store import Change, Instance

_FIND = "SELECT key, length FROM instance WHERE id = ?"
_ADD_HEAD = f"INSERT INTO instance ({HEAD}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_DROP_HEAD = "DELETE FROM instance WHERE key = ?"
_KEEP_WORK = "UPDATE work SET instance = ? WHERE instance = ?"
_DROP_MESSAGES = "DELETE FROM message WHERE instance_id = ?"
DROP_WORK = "DELETE FROM work WHERE instance = ?"

_DROP_HISTORY = "DELETE FROM history WHERE instance = ?"
_DROP_TIMERS = "DELETE FROM timer WHERE instance = ?"
_REBEAR_HEAD = (
    "UPDATE instance SET created_at = ?, parent_id = ?, parent_execution_id = ?, "
    "parent_task_id = ? WHERE key = ?"
)
_UPDATE_HEAD = (
    "UPDATE instance SET execution_id = ?, name = ?, version = ?, status = ?, updated_at = ?, "
    "length = ?, tags = ?, custom_status = ? WHERE key = ?"
)
_ADD_HISTORY = "INSERT INTO history (instance, position, events) VALUES (?, ?, ?)"
_ADD_WORK = (
    "REPLACE INTO work (instance, task_id, execution_id, crashes, event) VALUES (?, ?, ?, ?, ?)"
)
_REMOVE_WORK = "DELETE FROM work WHERE instance = ? AND task_id = ? AND execution_id = ?"
ADD_TIMER = "REPLACE INTO timer (instance, task_id, due) VALUES (?, ?, ?)"
_REMOVE_TIMER = "DELETE FROM timer WHERE instance = ? AND task_id = ?"
TAKE_MESSAGE = "DELETE FROM message WHERE id = ?"
SEND_MESSAGE = "INSERT INTO message (instance_id, body) VALUES (?, ?)"

_ORDER = (
    _DROP_HISTORY,
    _DROP_TIMERS,
    _REBEAR_HEAD,
    _UPDATE_HEAD,
    _ADD_HISTORY,
    _ADD_WORK,
    _REMOVE_WORK,
    ADD_TIMER,
    _REMOVE_TIMER,
    TAKE_MESSAGE,
    SEND_MESSAGE,
)

_Rows: TypeAlias = dict[str, list[tuple[object, ...]]]


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
    rows: _Rows = {statement: [] for statement in _ORDER}
    for change in changes:
        instance = change.instance
        key, length = db.execute(_FIND, (instance.instance_id,)).fetchone() or (None, None)
        position = first_position(change, length)
        if key is None:
            key = insert(db, instance)
        elif change.expected_length is None:
            key = replace(db, key, instance)
        else:
            _gather_head(rows, key, change)
        _gather(rows, key, position, change)
    for statement, gathered in rows.items():
        if gathered:
            db.executemany(statement, gathered)


def _gather_head(rows: _Rows, key: int, change: Change) -> None:
    head = head_row(change.instance)
    if change.fresh:
        rows[_DROP_HISTORY].append((key,))
        rows[_REBEAR_HEAD].append((head[5], *head[8:11], key))
    if change.fresh or change.timers_cleared:
        rows[_DROP_TIMERS].append((key,))
    rows[_UPDATE_HEAD].append((*head[1:5], *head[6:8], *head[11:], key))


def _gather(rows: _Rows, key: int, position: int, change: Change) -> None:
    for events in chunks(change.events):
        rows[_ADD_HISTORY] += [(key, *row) for row in history_rows(events, position)]
        position += len(events)
    rows[_ADD_WORK] += [(key, *work_row(item)) for item in change.work_added]
    rows[_REMOVE_WORK] += [(key, done.task_id, done.execution_id) for done in change.work_removed]
    rows[ADD_TIMER] += [(key, task_id, micros(due)) for task_id, due in change.timers_added]
    rows[_REMOVE_TIMER] += [(key, task_id) for task_id in change.timers_removed]
    rows[TAKE_MESSAGE] += [(message_id,) for message_id in change.messages_taken]
    rows[SEND_MESSAGE] += map(message_row, change.messages_sent)


def insert(db: sqlite3.Connection, instance: Instance) -> int:
    """Add a head and return its key."""
    key = db.execute(_ADD_HEAD, head_row(instance)).lastrowid
    assert key is not None
    return key


def replace(db: sqlite3.Connection, key: int, instance: Instance) -> int:
    """Add a head in place of an old one, whose work stays, and return its key."""
    forget(db, [(key, instance.instance_id)])
    successor = insert(db, instance)
    db.execute(_KEEP_WORK, (successor, key))
    return successor


def forget(db: sqlite3.Connection, instances: Sequence[tuple[int, str]]) -> None:
    """Drop heads, given by key and id, with all that is theirs but work."""
    for statement in (_DROP_HISTORY, _DROP_TIMERS, _DROP_HEAD):
        db.executemany(statement, [(key,) for key, _ in instances])
    db.executemany(_DROP_MESSAGES, [(instance_id,) for _, instance_id in instances])
