from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from ostinato.errors import HubLockedError, StoreError
from ostinato.local.board import SLOT_SIZE, SLOTS, HubLock, RunningBoard
from ostinato.local.store import WorkKey

KEY = WorkKey("orders:ada@home", "3f2a", 17)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "hub.db-companion")


@contextmanager
def process(script: str, path: str) -> Generator[subprocess.Popen[str], None, None]:
    """Run a script until it says that it is ready; kill it in the end."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-c", script, path],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        try:
            assert running.stdout.readline() == "ready\n"
            yield running
        finally:
            running.kill()


# The lock

HOLD = """
import sys
from ostinato.local.board import HubLock
lock = HubLock(sys.argv[1], "hub.db")
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_held_lock_names_its_holder_and_the_mend(path: str) -> None:
    with process(HOLD, path) as holder:
        text = rf"'hub\.db' is executed by process {holder.pid} since 20.* UTC; stop it first"
        with pytest.raises(HubLockedError, match=text):
            HubLock(path, "hub.db")


def test_a_killed_process_holds_no_lock(path: str) -> None:
    with process(HOLD, path) as holder:
        holder.kill()
        holder.wait()
        HubLock(path, "hub.db").release()


def test_a_lock_excludes_others_in_its_own_process(path: str) -> None:
    lock = HubLock(path, "hub.db")
    with pytest.raises(HubLockedError, match=f"process {os.getpid()} "):
        HubLock(path, "hub.db")
    lock.release()
    lock.release()
    HubLock(path, "hub.db").release()


def test_the_holder_is_the_latest_one(path: str) -> None:
    Path(path).write_text("process 1 since the beginning of time, and a long text at that")
    lock = HubLock(path, "hub.db")
    with pytest.raises(HubLockedError, match=rf"process {os.getpid()} since [-\d]+ [:\d]+ UTC;"):
        HubLock(path, "hub.db")
    lock.release()


FORK = """
import os, sys
from ostinato.local.board import HubLock
lock = HubLock(sys.argv[1], "hub.db")
if os.fork():
    os._exit(0)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_hold_its_dead_parents_lock(path: str) -> None:
    with process(FORK, path) as parent:
        parent.wait()
        HubLock(path, "hub.db").release()


def test_a_companion_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing" / "lock")
    with pytest.raises(StoreError, match=r"missing/lock' cannot be opened for writing"):
        HubLock(missing, "hub.db")


# The board


def test_a_board_tells_what_was_started_and_not_finished(path: str) -> None:
    board = RunningBoard(path)
    slots = [board.started(KEY._replace(task_id=id_)) for id_ in range(3)]
    board.finished(slots[1])
    board.close()
    again = RunningBoard(path)
    assert again.crashed() == [KEY._replace(task_id=0), KEY._replace(task_id=2)]
    again.clear()
    assert again.crashed() == []
    again.close()


RUN = """
import sys
from ostinato.local.board import RunningBoard
from ostinato.local.store import WorkKey
board = RunningBoard(sys.argv[1])
board.started(WorkKey("orders:ada@home", "3f2a", 17))
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_board_outlives_its_killed_process(path: str) -> None:
    with process(RUN, path) as running:
        running.send_signal(signal.SIGKILL)
        running.wait()
    board = RunningBoard(path)
    assert board.crashed() == [KEY]
    board.close()


def test_what_crashed_is_not_overwritten_before_it_is_read(path: str) -> None:
    board = RunningBoard(path)
    board.started(KEY)
    board.close()
    again = RunningBoard(path)
    again.started(KEY._replace(task_id=18))
    assert again.crashed() == [KEY, KEY._replace(task_id=18)]
    again.close()


def test_what_finds_no_slot_goes_unrecorded(path: str) -> None:
    board = RunningBoard(path)
    slots = [board.started(KEY._replace(task_id=id_)) for id_ in range(SLOTS)]
    assert sorted(slots) == list(range(SLOTS))
    assert board.started(KEY) == -1
    board.finished(-1)
    board.finished(slots[5])
    assert board.started(KEY) == slots[5]
    assert len(board.crashed()) == SLOTS
    board.close()


def test_a_key_fills_its_slot_or_goes_unrecorded(path: str) -> None:
    board = RunningBoard(path)
    room = SLOT_SIZE - 2 - len("\0e\0" + "1")
    largest = WorkKey("é" * (room // 2) + "x" * (room % 2), "e", 1)
    neighbour = WorkKey("next", "e", 2)
    assert board.started(largest) == 0
    assert board.started(neighbour) == 1
    assert board.started(largest._replace(task_id=10)) == -1
    assert board.crashed() == [largest, neighbour]
    board.close()


@pytest.mark.parametrize("content", [b"\1\5ab\0", b"\1\3\xff\xff\xff", b"\1\5a\0b\0c", b"\7"])
def test_slots_torn_by_a_crash_of_the_machine_are_passed_over(path: str, content: bytes) -> None:
    board = RunningBoard(path)
    board.started(KEY)
    board.started(KEY)
    board.close()
    torn = content + bytes(SLOT_SIZE - len(content))
    Path(path).write_bytes(torn + Path(path).read_bytes()[SLOT_SIZE:])
    again = RunningBoard(path)
    assert again.crashed() == [KEY]
    again.close()


def test_an_activity_may_outlive_its_board(path: str) -> None:
    board = RunningBoard(path)
    slot = board.started(KEY)
    board.clear()
    board.close()
    board.finished(slot)
    assert board.started(KEY) == -1


def test_threads_never_share_a_slot(path: str) -> None:
    board = RunningBoard(path)

    def run(thread: int) -> None:
        for task_id in range(200):
            key = WorkKey("a", str(thread), task_id)
            slot = board.started(key)
            assert key in board.crashed()
            board.finished(slot)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(4)))
    assert board.crashed() == []
    board.close()
