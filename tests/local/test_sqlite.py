from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from ostinato.client import Query
from ostinato.errors import HubLockedError, NotAStoreError, SchemaTooNewError, StoreError
from ostinato.local import schema
from ostinato.local.sqlite import SqliteStore
from ostinato.local.store import Store
from ostinato.testing.store_contract import (
    StoreContract,
    after,
    current,
    head,
    ids,
    item,
    keys,
    message,
    names,
    new,
    raised,
    timers,
)


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SqliteStore]:
        store = SqliteStore(tmp_path / "hub.db")
        yield store
        store.close()

    def reopened(self, store: Store, *, killed: bool) -> Store:
        assert isinstance(store, SqliteStore)
        if killed:
            store.abandon()
        else:
            store.close()
        return SqliteStore(store.path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hub.db"


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[sqlite3.Connection]:
    """Every connection opened during the test; a store's first is the one that writes."""
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def connect_and_note(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        opened.append(connect(*args, **kwargs))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", connect_and_note)
    return opened


def python(script: str, *args: object) -> subprocess.CompletedProcess[str]:
    """Run a script that finds what the tests find."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, args)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def raw(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)


# Opening


def test_a_commit_waits_for_the_disk(path: Path, connections: list[sqlite3.Connection]) -> None:
    with closing(SqliteStore(path)):
        assert connections[0].execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connections[0].execute("PRAGMA synchronous").fetchone() == (2,)


def test_readers_cannot_write(path: Path, connections: list[sqlite3.Connection]) -> None:
    with closing(SqliteStore(path)) as store:
        store.instance("a")
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connections[1].execute("DELETE FROM instance")


def test_closing_leaves_one_file_with_everything(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        store.commit([new()])
        store.instance("a")
    assert [file.name for file in path.parent.iterdir()] == ["hub.db"]
    store.close()


def test_a_closed_store_says_so(path: Path) -> None:
    store = SqliteStore(path)
    store.close()
    for use in (lambda: store.instance("a"), lambda: store.commit([]), store.version):
        with pytest.raises(StoreError, match=r"hub\.db' is closed"):
            use()


def test_an_empty_file_becomes_a_hub(path: Path) -> None:
    path.touch()
    with closing(SqliteStore(path)) as store:
        store.commit([new()])


def test_a_relative_path_is_kept_when_the_directory_changes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    with closing(SqliteStore(path.name)) as store:
        monkeypatch.chdir("/")
        store.commit([new()])
        assert ids(store.instances(Query())[0]) == ["a"]
    assert path.exists()


@pytest.mark.parametrize(
    "content",
    [b"these are my notes\n" * 100, b"xy", b"SQLite format 3\0 but no more than that" * 100],
)
def test_a_file_that_is_no_database_is_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(NotAStoreError, match=r"hub\.db' is not a task hub"):
        SqliteStore(path)
    assert path.read_bytes() == content
    assert [file.name for file in path.parent.iterdir()] == ["hub.db"]


@pytest.mark.parametrize(
    "statement",
    ["CREATE TABLE notes (text)", "PRAGMA user_version = 1", "PRAGMA application_id = 5"],
)
def test_the_database_of_another_program_is_left_alone(path: Path, statement: str) -> None:
    raw(path, statement)
    content = path.read_bytes()
    with pytest.raises(NotAStoreError, match=r"hub\.db' is not a task hub"):
        SqliteStore(path)
    assert path.read_bytes() == content


def test_a_hub_of_a_newer_version_is_left_alone(path: Path) -> None:
    SqliteStore(path).close()
    raw(path, "PRAGMA user_version = 99")
    known = len(schema.MIGRATIONS)
    with pytest.raises(SchemaTooNewError, match=rf"schema 99.*up to {known}.*pip install"):
        SqliteStore(path)


def test_an_older_hub_is_brought_up_to_date_and_keeps_its_data(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(SqliteStore(path)) as store:
        store.commit([new(events=[raised("x")])])
    one, two = ("ALTER TABLE timer ADD COLUMN one",), ("ALTER TABLE timer RENAME one TO two",)
    monkeypatch.setattr(schema, "MIGRATIONS", [*schema.MIGRATIONS, one, two])
    with closing(SqliteStore(path)) as store:
        assert store.history("a") == [raised("x")]
    SqliteStore(path).close()
    raw(path, "SELECT two FROM timer")


def test_a_migration_that_fails_changes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SqliteStore(path).close()
    content = path.read_bytes()
    broken = ("CREATE TABLE extra (x)", "CREATE TABLE instance (x)")
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", [*schema.MIGRATIONS, broken])
        with pytest.raises(StoreError, match="already exists"):
            SqliteStore(path)
    SqliteStore(path).close()
    assert path.read_bytes() == content


def test_a_hub_is_not_migrated_under_its_executor(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(SqliteStore(path)) as store:
        store.acquire()
        monkeypatch.setattr(schema, "MIGRATIONS", [*schema.MIGRATIONS, ("SELECT 1",)])
        with pytest.raises(HubLockedError, match=str(os.getpid())):
            SqliteStore(path)


def test_many_may_make_a_hub_at_once(path: Path) -> None:
    def make(name: str) -> None:
        with closing(SqliteStore(path)) as store:
            store.send([message("a", name)])

    threads = [Thread(target=make, args=(str(n),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with closing(SqliteStore(path)) as store:
        assert sorted(names(store.inbox(0, 100))) == [str(n) for n in range(8)]


@pytest.mark.parametrize("place", ["missing/hub.db", "."])
def test_a_place_that_holds_no_file_is_refused(tmp_path: Path, place: str) -> None:
    with pytest.raises(StoreError, match="cannot be opened; check that its directory exists"):
        SqliteStore(tmp_path / place)


# Faults


def test_a_full_disk_changes_nothing(path: Path, connections: list[sqlite3.Connection]) -> None:
    with closing(SqliteStore(path)) as store:
        store.commit([new(events=[raised("x")], messages_sent=[message("a", "m")])])
        (pages,) = connections[0].execute("PRAGMA page_count").fetchone()
        connections[0].execute(f"PRAGMA max_page_count = {pages}")
        large = after(current(store), [raised("y" * 100_000)])
        for attempt in (large, large):
            with pytest.raises(StoreError, match=r"disk is full: task hub '.*hub\.db'"):
                store.commit([new("b"), attempt])
        assert store.instance("b") is None
        assert store.history("a") == [raised("x")]
        connections[0].execute("PRAGMA max_page_count = 1000000")
        store.commit([new("b"), large])
        assert current(store).length == 2


def test_a_disk_that_turns_read_only_changes_nothing(
    path: Path, connections: list[sqlite3.Connection]
) -> None:
    with closing(SqliteStore(path)) as store:
        connections[0].execute("PRAGMA query_only = ON")
        with pytest.raises(StoreError, match=r"hub\.db' is read-only and unchanged"):
            store.commit([new()])
        assert store.instance("a") is None


OPEN_WITHOUT_RIGHTS = """
import os, sys
from ostinato.errors import StoreError
from ostinato.local.sqlite import SqliteStore
if os.geteuid() == 0:
    os.seteuid(65534)
try:
    SqliteStore(sys.argv[1]).send([])
except StoreError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX permissions")
@pytest.mark.parametrize("mode", [0o444, 0o000])
def test_a_hub_without_rights_is_named(mode: int) -> None:
    # Not tmp_path, which other users may not enter.
    folder = Path(tempfile.mkdtemp())
    try:
        hub = folder / "hub.db"
        SqliteStore(hub).close()
        hub.chmod(mode)
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH | stat.S_IROTH)
        done = python(OPEN_WITHOUT_RIGHTS, hub)
    finally:
        folder.chmod(stat.S_IRWXU)
        shutil.rmtree(folder)
    assert f"'{hub}'" in done.stdout, done.stderr
    assert "writable" in done.stdout


def test_a_damaged_file_is_named(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        store.commit([new(f"i{n}", [raised("x" * 500)]) for n in range(200)])
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * len(content[4096:])
    path.write_bytes(content)
    with closing(SqliteStore(path)) as store:
        with pytest.raises(StoreError, match=r"hub\.db' is damaged .* put back a copy"):
            store.instance("i1")
        with pytest.raises(StoreError, match="is damaged"):
            store.commit([new("b")])


def test_events_that_cannot_be_read_are_reported(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        store.commit([new(events=[raised("x")])])
        raw(path, "UPDATE history SET events = x'c1'")
        with pytest.raises(StoreError, match=r"hub\.db' holds data that this version cannot read"):
            store.history("a")


def test_a_hub_that_stays_locked_is_reported(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ostinato.local.sqlite.BUSY_SECONDS", 0)
    with (
        closing(SqliteStore(path)) as store,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        store.commit([new()])
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="has been locked"):
            store.commit([new("b")])
        assert store.instance("a") == head()
        other.execute("ROLLBACK")
        store.commit([new("b")])


def test_a_value_that_cannot_be_written_leaves_nothing_of_its_commit(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        with pytest.raises(UnicodeEncodeError):
            store.commit([new(), after(head(), [raised("\ud800")])])
        assert store.instance("a") is None
        store.commit([new()])


def test_a_payload_of_many_megabytes_is_kept(path: Path) -> None:
    event = raised("x" * 20_000_000)
    with closing(SqliteStore(path)) as store:
        store.commit([new(events=[event, event])])
        assert store.history("a") == [event, event]


def test_nothing_is_written_to_a_deleted_file(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        store.commit([new()])
        moved = path.rename(path.with_suffix(".old"))
        with pytest.raises(StoreError, match=r"hub\.db' was deleted, moved or replaced"):
            store.commit([new("b")])
        moved.rename(path)
        store.commit([new("b")])


FULL_IN_WAL = """
import resource, sys
from ostinato.errors import StoreError
from ostinato.local.sqlite import SqliteStore
from ostinato.testing.store_contract import new, raised
store = SqliteStore(sys.argv[1])
unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, unlimited[1]))
large = new(events=[raised("x" * 1_000_000)])
try:
    store.commit([new("b"), large])
except StoreError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
print(store.instance("b"))
store.commit([new("b"), large])
print(len(store.history("a")))
store.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_write_that_the_system_refuses_changes_nothing(path: Path) -> None:
    done = python(FULL_IN_WAL, path)
    error, other, length = done.stdout.splitlines()
    assert f"'{path}' could not be read or written (disk I/O error) and is unchanged" in error
    assert (other, length) == ("None", "1")


@pytest.mark.parametrize("companion", ["hub.db-lock", "hub.db-running"])
def test_a_companion_file_that_cannot_be_opened_is_named(path: Path, companion: str) -> None:
    with closing(SqliteStore(path)) as store:
        obstacle = path.with_name(companion)
        obstacle.mkdir()
        with pytest.raises(StoreError, match=rf"{companion}' cannot be opened for writing"):
            store.acquire()
        obstacle.rmdir()
        store.acquire()


def test_a_store_may_be_closed_while_it_is_read(
    path: Path, connections: list[sqlite3.Connection]
) -> None:
    store = SqliteStore(path)
    store.commit([new()])
    assert store.instance("b") is None
    connections[1].set_trace_callback(lambda _: store.close())
    assert store.instance("a") == head()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connections[1].execute("SELECT 1")
    with pytest.raises(StoreError, match="is closed"):
        store.instance("a")


# Other processes

SEND = """
import sys
from ostinato.local.sqlite import SqliteStore
from ostinato.testing.store_contract import head, message, started
store = SqliteStore(sys.argv[1])
for name in sys.argv[2:]:
    store.send([message("a", name)])
print(store.create(head("made"), started("made"), "reject"))
store.close()
"""


def test_another_process_may_read_send_and_create(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        store.acquire()
        version = store.version()
        done = python(SEND, path, "x", "y")
        assert done.stdout == "created\n", done.stderr
        assert store.version() != version
        assert names(store.inbox(0, 10)) == ["x", "y"]
        assert store.inbox(0, 10)[-1].instance_id == "made"
        assert store.instance("made") == head("made")


def test_processes_that_write_at_once_lose_nothing(path: Path) -> None:
    sent = [str(n) for n in range(50)]
    done: list[subprocess.CompletedProcess[str]] = []
    with closing(SqliteStore(path)) as store:
        thread = Thread(target=lambda: done.append(python(SEND, path, *sent)))
        thread.start()
        store.commit([new()])
        while thread.is_alive():
            store.commit([after(current(store), [raised("own")])])
        assert done[0].returncode == 0, done[0].stderr
        assert names(store.inbox(0, 100)) == sent
        assert len(store.history("a")) == current(store).length


KILLED_IN_COMMIT = """
import os, signal, sqlite3, sys
from ostinato.local.sqlite import SqliteStore
from ostinato.testing.store_contract import *
connect, writers = sqlite3.connect, []
sqlite3.connect = lambda *a, **k: writers.append(connect(*a, **k)) or writers[-1]
store = SqliteStore(sys.argv[1])
left = int(sys.argv[2])
def count(statement):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
writers[0].set_trace_callback(count)
store.commit([
    generation(current(store), [raised("y")], work_removed=[item(1).key], work_added=[item(2)],
               messages_taken=[1], messages_sent=[message("b", "n")], timers_added=[(3, NOW)],
               timers_removed=[9]),
    new("b", [raised("z")]),
])
print("committed")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_process_killed_within_a_commit_leaves_all_of_it_or_nothing(path: Path) -> None:
    statements, survived = 0, False
    while not survived:
        with closing(SqliteStore(path)) as store:
            store.purge(["a", "b"])
            store.commit([new(events=[raised("x")], work_added=[item(1)])])
            store.send([message("a", "m")])
        survived = python(KILLED_IN_COMMIT, path, statements).stdout == "committed\n"
        with closing(SqliteStore(path)) as store:
            found = (
                store.history("a"),
                store.history("b"),
                keys(store),
                names(store.inbox(0, 10)),
                timers(store),
            )
        if survived:
            assert found[0:4] == ([raised("y")], [raised("z")], [item(2).key], ["m", "n"])
            assert found[4] == [("a", 3)]
        else:
            assert found == ([raised("x")], [], [item(1).key], ["m"], [])
        statements += 1
    assert statements > 10
