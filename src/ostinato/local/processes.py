"""Child processes for activities declared with ``isolation="process"``; see `process_child`.

Each attempt has a child to itself; children are kept and used again. A timeout kills the child,
and with it what it has started. What runs here blocks a thread of the workers meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from itertools import count
from pathlib import Path
from typing import Any, cast

import msgspec

from ostinato.activities import ActivityCrashed, Outcome, failed, timed_out, timeout_of
from ostinato.definitions import ActivityDefinition
from ostinato.errors import RegistrationError
from ostinato.failures import ACTIVITY_ERROR, unstructured
from ostinato.local import process_child as wire
from ostinato.local.scheduling import Work

_BOOT = (
    "import json, sys; sys.path[:], sys.argv[:] = json.loads(sys.argv[1]); "
    "from ostinato.local.process_child import main; main()"
)
_GRACE = 2.0
"""Seconds for an idle child to end by itself."""
_POSIX = os.name == "posix"


class Processes:
    """The children; as many as attempts were ever run at a time.

    Args:
        limit: Bytes of JSON that a result may have.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._children: set[_Child] = set()
        self._idle: list[_Child] = []
        self._closed = False

    def run(self, work: Work) -> Outcome:
        """Run an attempt to its end; nothing is raised."""
        try:
            target = locate(work.kind.definition)
            child = self._take()
        except RegistrationError as error:
            return failed(work.call, error)
        except OSError as error:
            return _no_process(work, error)
        if child is None:
            return ActivityCrashed("the workers are closed")
        outcome = child.run(work, target)
        self._give_back(child)
        return outcome

    def close(self) -> None:
        """End all children: idle ones in good order, the others at once."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            busy = self._children.difference(idle)
        for child in busy:
            child.kill()
        for child in idle:
            child.end()

    def _take(self) -> _Child | None:
        with self._lock:
            if self._closed:
                return None
            while self._idle:
                child = self._idle.pop()
                if child.alive:
                    return child
                self._children.discard(child)
                child.reap()
            child = _Child(self._limit)
            self._children.add(child)
            return child

    def _give_back(self, child: _Child) -> None:
        with self._lock:
            if child.alive and not self._closed:
                self._idle.append(child)
                return
            self._children.discard(child)
        child.kill()
        child.reap()


class _Child:
    """One child process and the attempt it runs."""

    def __init__(self, limit: int | None) -> None:
        places = json.dumps([[str(entry) for entry in sys.path], sys.argv])
        # In a process group of its own: Ctrl-C is for the parent, and a kill reaches grandchildren.
        group: dict[str, Any] = {"process_group": 0} if _POSIX else {}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _BOOT, places],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            **group,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._sink = self._process.stdin
        self._source = self._process.stdout
        self._decode = msgspec.msgpack.Decoder(cast("Any", wire.ToParent)).decode
        self._limit = limit
        self._numbers = count(1)
        self._sending = threading.Lock()
        self._cancels: deque[wire.Cancel] = deque()
        self._killing = threading.Lock()
        self._running = 0
        """Number of the attempt that may still time out; 0 when there is none."""
        self._expired = False

    @property
    def alive(self) -> bool:
        """Whether it can run another attempt."""
        return not self._expired and self._process.poll() is None

    def run(self, work: Work, target: wire.Target) -> Outcome:
        """Run one attempt; nothing is raised."""
        number = next(self._numbers)
        call = msgspec.structs.replace(work.call, timeout=None)
        try:
            self._send(wire.Run(number, target, call, self._limit))
            work.on_cancel(lambda: self._cancel(number))
            outcome = self._outcome(work, number)
        except OSError:  # the pipe broke
            outcome = None
        finally:
            work.on_cancel(None)
        if outcome is not None:
            return outcome
        return self._death(work)

    def kill(self) -> None:
        """Kill the child and its own children."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL) if _POSIX else self._process.kill()

    def end(self) -> None:
        """Let the idle child end by itself, or kill it if it does not."""
        with contextlib.suppress(OSError):
            self._sink.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE)
        self.kill()
        self.reap()

    def reap(self) -> int:
        """Return the exit code of the child, which is dying."""
        code = self._process.wait()
        for pipe in (self._sink, self._source):
            with contextlib.suppress(OSError):
                pipe.close()
        return code

    def _outcome(self, work: Work, number: int) -> Outcome | None:
        timeout = timeout_of(work.kind.definition, work.call)
        timer: threading.Timer | None = None
        try:
            while (frame := self._receive()) is not None:
                match frame:
                    case wire.Started():
                        timer = self._start_timer(timeout, number)
                    case wire.Beat():
                        work.beat(frame.details)
                    case _:
                        return frame
            return None
        finally:
            with self._killing:
                self._running = 0
            if timer is not None:
                timer.cancel()
                timer.join()

    def _start_timer(self, timeout: float | None, number: int) -> threading.Timer | None:
        """Start the attempt's clock: loading the child and its modules is not the activity's."""
        if timeout is None:
            return None
        self._running = number
        timer = threading.Timer(timeout, self._expire, (number,))
        timer.daemon = True
        timer.start()
        return timer

    def _expire(self, number: int) -> None:
        with self._killing:
            if self._running == number:
                self._expired = True
                self.kill()

    def _death(self, work: Work) -> Outcome:
        self.kill()  # if only the pipe has ended
        code = self.reap()
        timeout = timeout_of(work.kind.definition, work.call)
        if self._expired and timeout is not None:
            return timed_out(work.call, timeout)
        return ActivityCrashed(f"process of activity {work.call.name!r} died with {_told(code)}")

    def _cancel(self, number: int) -> None:
        self._cancels.append(wire.Cancel(number))
        self._forward_cancel()

    def _send(self, frame: wire.ToChild) -> None:
        with self._sending:
            wire.write_frame(self._sink, frame)
        self._forward_cancel()

    def _forward_cancel(self) -> None:
        """Send what was asked; never waits, since the engine's thread calls it.

        Whoever is sending meanwhile forwards it afterwards.
        """
        while self._cancels and self._sending.acquire(blocking=False):
            try:
                while self._cancels:
                    with contextlib.suppress(OSError, ValueError):  # it has ended by itself
                        wire.write_frame(self._sink, self._cancels.popleft())
            finally:
                self._sending.release()

    def _receive(self) -> wire.ToParent | None:
        body = wire.read_frame(self._source)
        return None if body is None else cast("wire.ToParent", self._decode(body))


def locate(definition: ActivityDefinition) -> wire.Target:
    """Return where another process finds the activity's function.

    Raises:
        RegistrationError: It would not find it.
    """
    fn: Any = definition.fn
    module = getattr(fn, "__module__", None)
    qualname = getattr(fn, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(qualname, str) or not _leads_to(fn):
        raise RegistrationError(
            f"activity {definition.name!r} has isolation='process', but another process cannot "
            f"find {qualname or fn!r} by its name; define it with `def` at the top level of a "
            "module, with @app.activity as its outermost decorator"
        )
    if module != "__main__":
        return wire.Target(module, qualname)
    main = sys.modules["__main__"]
    script = getattr(main, "__file__", None)
    if script is None:
        raise RegistrationError(
            f"activity {definition.name!r} has isolation='process' and is defined interactively; "
            "put it in a file, where another process can find it"
        )
    return wire.Target(module, qualname, str(Path(script).absolute()), main.__package__)


def _leads_to(fn: Any) -> bool:
    found: Any = sys.modules.get(fn.__module__)
    for name in fn.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is fn


def _told(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _no_process(work: Work, error: OSError) -> Outcome:
    from ostinato.activities import ActivityFailed

    message = f"no process could be started for activity {work.call.name!r}: {error}"
    return ActivityFailed(
        unstructured(ACTIVITY_ERROR, message, task=work.call.name, attempt=work.call.attempt)
    )
