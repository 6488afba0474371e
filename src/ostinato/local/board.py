"""Two small files beside the database: who executes the hub, and what it runs right now.

Both are kept by the kernel, not by us, so both are right after a SIGKILL: the lock is
released with the process, and the board's pages outlive it.
"""

from __future__ import annotations

import mmap
import os
import sys
import weakref
from collections import deque
from datetime import UTC, datetime

from ostinato.errors import HubLockedError, StoreError
from ostinato.local.store import WorkKey

if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        # Locked bytes cannot be read on Windows, so the lock is far behind the text.
        os.lseek(file, 1 << 30, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        os.lseek(file, 0, os.SEEK_SET)
else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


SLOTS = 1024
SLOT_SIZE = 256
_FREE, _RUNNING = 0, 1


class HubLock:
    """The right to execute a hub, held until `release` or the end of the process.

    Raises:
        HubLockedError: Someone else holds it.
        StoreError: The companion file cannot be opened or locked.
    """

    def __init__(self, path: str, hub: str) -> None:
        self._file: int | None = _open(path)
        try:
            _lock(self._file)
        except OSError as error:
            holder = os.read(self._file, 100).decode(errors="replace")
            self.release()
            if not isinstance(error, (BlockingIOError, PermissionError)):
                raise StoreError(f"{path!r} cannot be locked: {error.strerror}") from error
            raise HubLockedError(
                f"task hub {hub!r} is executed by {holder or 'another process'}; stop it first, "
                "or leave the work to it: any process may read this hub and send to it"
            ) from None
        os.ftruncate(self._file, 0)
        os.write(self._file, f"process {os.getpid()} since {datetime.now(UTC):%F %T} UTC".encode())
        _held.add(self)

    def release(self) -> None:
        """Let others execute the hub."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


_held: weakref.WeakSet[HubLock] = weakref.WeakSet()


def _release_in_child() -> None:
    # A forked child shares the lock and would hold it after its parent has died.
    for lock in list(_held):
        lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_in_child)


class RunningBoard:
    """A `Board` in a mapped file of fixed slots: flag, length, text.

    The flag is written last and cleared first, so a slot is whole or free whenever the
    process dies. Keys too long for a slot go unrecorded, as do those that find none free.
    """

    def __init__(self, path: str) -> None:
        file = _open(path)
        try:
            os.ftruncate(file, SLOTS * SLOT_SIZE)
            self._map = mmap.mmap(file, SLOTS * SLOT_SIZE)
        except OSError as error:
            raise StoreError(f"{path!r} cannot be mapped: {error.strerror}") from error
        finally:
            os.close(file)
        self._free = deque(slot for slot in range(SLOTS) if not self._map[slot * SLOT_SIZE])

    def started(self, key: WorkKey) -> int:
        """Note that ``key`` runs and return its slot, -1 when it goes unrecorded."""
        text = f"{key[0]}\0{key[1]}\0{key[2]}".encode()
        if len(text) > SLOT_SIZE - 2:
            return -1
        try:
            slot = self._free.popleft()
            begin = slot * SLOT_SIZE
            self._map[begin + 1 : begin + 2 + len(text)] = bytes((len(text),)) + text
            self._map[begin] = _RUNNING
        except (IndexError, ValueError):  # no slot is free; the board is closed
            return -1
        return slot

    def finished(self, slot: int) -> None:
        """Free the slot; -1 is none."""
        if slot < 0:
            return
        try:
            self._map[slot * SLOT_SIZE] = _FREE
        except ValueError:  # closed: the activity outlived its host
            return
        self._free.append(slot)

    def crashed(self) -> list[WorkKey]:
        """Return what a former process noted and never finished."""
        slots = (self._read(slot) for slot in range(SLOTS))
        return [key for key in slots if key is not None]

    def clear(self) -> None:
        """Forget everything noted so far."""
        for slot in range(SLOTS):
            self._map[slot * SLOT_SIZE] = _FREE
        self._free = deque(range(SLOTS))

    def close(self) -> None:
        """Unmap the file; what is noted in it stays."""
        self._map.close()

    def _read(self, slot: int) -> WorkKey | None:
        begin = slot * SLOT_SIZE
        if self._map[begin] != _RUNNING:
            return None
        text = self._map[begin + 2 : begin + 2 + self._map[begin + 1]]
        try:
            instance_id, execution_id, task_id = text.decode().split("\0")
            return WorkKey(instance_id, execution_id, int(task_id))
        except ValueError:  # not written by us, or torn by a crash of the machine
            return None


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as error:
        raise StoreError(f"{path!r} cannot be opened for writing: {error.strerror}") from error
