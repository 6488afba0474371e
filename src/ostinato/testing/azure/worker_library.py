"""A worker in a process of its own: Microsoft's worker library, loading a folder.

The folder is what is deployed: host.json, function_app.py, and what the app brings under
``.python_packages/lib/site-packages``. A process that ends is started again for the next call, as
the Functions host does; what it was doing is lost (`WorkerLost`).
"""

from __future__ import annotations

import base64
import itertools
import json
import logging
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, assert_never

from ostinato.testing.azure import worker_child
from ostinato.testing.azure.deployments import Undeployed
from ostinato.testing.azure.ports import FunctionFailed
from ostinato.testing.azure.worker import (
    Binary,
    Data,
    Function,
    IndexingFailed,
    Invocation,
    Json,
    Outcome,
    Request,
    Response,
    Text,
    WorkerLost,
    readable,
)

START_TIMEOUT = 120.0
"""Seconds in which the process must have imported the app."""

_logger = logging.getLogger(__name__)


class LibraryWorker:
    """A `Worker` that runs ``azure_functions_runtime`` (Python 3.13 and newer) on a folder.

    Args:
        folder: The app, as deployed.
        python: The interpreter, whose environment has ``azure-functions-runtime``.
        settings: The app's settings, added to this process' environment.
        on_line: Called with each line that the process prints or logs, and when it ended
            unexpectedly or was started again; from a thread.

    Raises:
        IndexingFailed: The app cannot be loaded.
    """

    def __init__(
        self,
        folder: Path,
        *,
        python: Path = Path(sys.executable),
        settings: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] = _logger.info,
    ) -> None:
        # Absolute, but not resolved: the path through a virtual environment is what makes it one.
        program = [
            str(Path(python).absolute()),
            "-I",
            "-X",
            "utf8",
            worker_child.__file__,
            str(folder.resolve()),
        ]
        self._start = partial(_Process, program, folder, dict(settings or {}), on_line)
        self._on_line = on_line
        self._lock = threading.Lock()
        self._closed = False
        self._process = self._start()
        try:
            self._functions = self._process.functions()
        except BaseException:
            self._process.kill()
            raise

    @property
    def functions(self) -> Sequence[Function]:
        """The functions of the app."""
        return self._functions

    def invoke(self, invocation: Invocation) -> Outcome:
        """Call a function; it must be one of `functions`.

        Raises:
            FunctionFailed: It raised.
            WorkerLost: The process ended before it answered.
            Undeployed: The worker has been closed.
            IndexingFailed: The process had to be started again, and cannot load the app any more.
        """
        try:
            return self._running().call(invocation)
        except WorkerLost as lost:
            if self._closed:
                raise Undeployed(str(lost)) from None
            raise

    def restart(self) -> None:
        """Kill the process; the next call starts another."""
        self._process.kill()

    def close(self) -> None:
        """Kill the process for good."""
        with self._lock:
            self._closed = True
        self._process.kill()

    def _running(self) -> _Process:
        with self._lock:
            if self._closed:
                raise Undeployed("the worker is closed")
            if not self._process.is_alive:
                self._process.kill()
                self._process = self._start()
                self._process.functions()
                self._on_line("the worker process was started again")
            return self._process


class _Process:
    """One life of the worker: frames out by the callers, frames in by a thread."""

    def __init__(
        self,
        program: list[str],
        folder: Path,
        settings: dict[str, str],
        on_line: Callable[[str], None],
    ) -> None:
        self._process = subprocess.Popen(
            program,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env={**os.environ, **settings},
        )
        self._on_line = on_line
        self._folder = folder
        self._python = Path(program[0])
        self._ids = itertools.count(1)
        self._calls: dict[int, Future[Outcome]] = {}
        self._lock = threading.Lock()
        self._listed = Future[tuple[Function, ...]]()
        self._ended = False
        self._is_killed = False
        self._last_lines = deque[str](maxlen=20)
        self._threads = [
            threading.Thread(target=self._read_frames, daemon=True),
            threading.Thread(target=self._read_lines, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether calls can be made."""
        with self._lock:
            return not self._ended and self._process.poll() is None

    def functions(self) -> tuple[Function, ...]:
        """Wait until the app is loaded.

        Raises:
            IndexingFailed: It cannot be.
        """
        try:
            return self._listed.result(START_TIMEOUT)
        except TimeoutError:
            raise IndexingFailed(f"the app was not imported in {START_TIMEOUT:.0f} s") from None

    def call(self, invocation: Invocation) -> Outcome:
        """Send a call and wait for its answer."""
        assert self._process.stdin is not None
        future = Future[Outcome]()
        with self._lock:
            if self._ended:
                raise WorkerLost(self._why())
            number = next(self._ids)
            self._calls[number] = future
            frame = {
                "id": number,
                "function": invocation.function,
                "inputs": {name: _out(data) for name, data in invocation.inputs.items()},
                "metadata": {name: _out(data) for name, data in invocation.metadata.items()},
            }
            with suppress(BrokenPipeError):  # the reader finds out, and fails the call
                worker_child.write_frame(self._process.stdin, frame)
        return future.result()

    def kill(self) -> None:
        """End the process and wait until nothing of it is left."""
        self._is_killed = self._is_killed or self._process.poll() is None
        self._process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()

    def _read_frames(self) -> None:
        assert self._process.stdout is not None
        while (frame := worker_child.read_frame(self._process.stdout)) is not None:
            if "id" in frame:
                with self._lock:
                    future = self._calls.pop(frame["id"])
                _settle(future, frame)
            elif "failed" in frame:
                why = readable(frame["failed"], frame["stack"], self._folder, self._python)
                self._listed.set_exception(IndexingFailed(why))
            else:
                self._listed.set_result(
                    tuple(
                        Function(f["name"], tuple(json.loads(b) for b in f["bindings"]))
                        for f in frame["functions"]
                    )
                )
        self._process.wait()
        with self._lock:
            self._ended = True
            calls, self._calls = self._calls, {}
        if self._was_at_work() and not self._is_killed:
            self._on_line(f"{self._why()}, unexpectedly")
        for future in calls.values():
            future.set_exception(WorkerLost(self._why()))
        if not self._listed.done():
            lines = "\n".join(self._last_lines)
            self._listed.set_exception(IndexingFailed(f"{self._why()}\n{lines}"))

    def _was_at_work(self) -> bool:
        """Whether the app was loaded; if not, `functions` says so."""
        return self._listed.done() and self._listed.exception() is None

    def _read_lines(self) -> None:
        assert self._process.stderr is not None
        for raw in self._process.stderr:
            line = raw.decode(errors="replace").rstrip()
            self._last_lines.append(line)
            self._on_line(line)

    def _why(self) -> str:
        return f"the worker process exited with code {self._process.returncode}"


def _settle(future: Future[Outcome], frame: Mapping[str, Any]) -> None:
    if "failed" in frame:
        future.set_exception(FunctionFailed(frame["failed"], frame["stack"]))
        return
    outputs = {name: _in(data) for name, data in frame["outputs"].items() if data is not None}
    value = None if frame["value"] is None else _in(frame["value"])
    future.set_result(Outcome(value=value, outputs=outputs))


def _out(data: Data) -> dict[str, Any]:
    match data:
        case Text(value):
            return {"string": value}
        case Json(text):
            return {"json": text}
        case Binary(value):
            return {"bytes": base64.b64encode(value).decode()}
        case Request():
            http = {
                "method": data.method,
                "url": data.url,
                "headers": dict(data.headers),
                "query": dict(data.query),
                "params": dict(data.params),
                "body": base64.b64encode(data.body).decode(),
            }
            return {"http": http}
        case Response():
            raise TypeError("a response is nothing that a function is given")
        case _:
            assert_never(data)


def _in(data: Mapping[str, Any]) -> Data:
    ((kind, value),) = data.items()
    match kind:
        case "string":
            return Text(value)
        case "json":
            return Json(value)
        case "bytes":
            return Binary(base64.b64decode(value))
        case _:
            return Response(
                status=value["status"],
                headers=value["headers"],
                cookies=tuple(value["cookies"]),
                body=base64.b64decode(value["body"]),
            )
