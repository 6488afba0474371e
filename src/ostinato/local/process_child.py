"""The child process that runs activities declared with ``isolation="process"``.

Parent and child talk in frames: four bytes of length, then msgpack. The child keeps the pipes
under numbers of its own and points stdin at nothing and stdout at stderr, so that an activity
may print. When the parent dies the pipe ends, and the child ends at once: whoever
continues the work must not find it still running.
"""

from __future__ import annotations

import os
import sys
import threading
from queue import SimpleQueue
from types import ModuleType
from typing import IO, Any, TypeAlias, cast

import msgspec

from ostinato.activities import (
    ActivityCall,
    ActivityCompleted,
    ActivityCrashed,
    ActivityFailed,
    CancelToken,
    Outcome,
    failed,
    run_activity,
    run_activity_async,
)
from ostinato.definitions import ActivityDefinition
from ostinato.errors import RegistrationError
from ostinato.events import Json

MAIN = "__ostinato_main__"
"""What the main script is called in the child, so that ``__name__ == "__main__"`` is false."""


class Target(msgspec.Struct, frozen=True):
    """Where to find an activity's function."""

    module: str
    qualname: str
    script: str | None = None
    """The main script's file, when the function is defined in it."""
    package: str | None = None
    """The main script's package, when it was run with ``-m``."""


class Run(msgspec.Struct, frozen=True, tag=True):
    """Run an attempt; the parent sees to its timeout."""

    number: int
    target: Target
    call: ActivityCall
    limit: int | None
    """Bytes of JSON that the result may have."""


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """Ask attempt ``number`` to stop; too late is no error."""

    number: int


class Started(msgspec.Struct, frozen=True, tag=True):
    """The function was found: the attempt begins now."""


class Beat(msgspec.Struct, frozen=True, tag=True):
    """The activity is alive."""

    details: Json | None


ToChild: TypeAlias = Run | Cancel
ToParent: TypeAlias = Started | Beat | ActivityCompleted | ActivityFailed | ActivityCrashed

_encode = msgspec.msgpack.Encoder().encode


def write_frame(pipe: IO[bytes], frame: ToChild | ToParent) -> None:
    """Write one frame, whole."""
    body = _encode(frame)
    pipe.write(len(body).to_bytes(4, "big") + body)
    pipe.flush()


def read_frame(pipe: IO[bytes]) -> bytes | None:
    """Read one frame's body; None at the end, also in the middle of a frame."""
    head = pipe.read(4)
    size = int.from_bytes(head, "big")
    body = pipe.read(size) if len(head) == 4 else b""
    return body if len(head) == 4 and len(body) == size else None


class Child:
    """Runs one attempt after another in the main thread, and listens in another."""

    def __init__(self, source: IO[bytes], sink: IO[bytes]) -> None:
        self._source = source
        self._sink = sink
        self._sending = threading.Lock()
        self._decode = msgspec.msgpack.Decoder(cast("Any", ToChild)).decode
        self._runs: SimpleQueue[tuple[Run, CancelToken] | None] = SimpleQueue()
        self._tokens: dict[int, CancelToken] = {}
        self._definitions: dict[tuple[str, Target], ActivityDefinition] = {}

    def serve(self) -> None:
        """Work until the parent has nothing more."""
        threading.Thread(target=self._listen, name="ostinato-parent", daemon=True).start()
        while (item := self._runs.get()) is not None:
            run, token = item
            outcome = self._run(run, token)
            if sys.stdout is not None:
                sys.stdout.flush()
            del self._tokens[run.number]
            self._send(outcome)

    def _listen(self) -> None:
        while (frame := self._receive()) is not None:
            match frame:
                case Run():
                    token = self._tokens[frame.number] = CancelToken()
                    self._runs.put((frame, token))
                case Cancel():
                    if (cancelled := self._tokens.get(frame.number)) is not None:
                        cancelled.cancel()
        if self._tokens:
            os._exit(1)
        self._runs.put(None)

    def _run(self, run: Run, token: CancelToken) -> Outcome:
        try:
            definition = self._definition(run)
        except BaseException as error:
            return failed(run.call, error)
        self._send(Started())
        if not definition.is_async:
            return run_activity(
                definition, run.call, token, limit=run.limit, on_heartbeat=self._beat
            )
        import asyncio

        return asyncio.run(
            run_activity_async(
                definition, run.call, token, limit=run.limit, on_heartbeat=self._beat
            )
        )

    def _definition(self, run: Run) -> ActivityDefinition:
        key = (run.call.name, run.target)
        known = self._definitions.get(key)
        if known is None:
            fn = _find(run.target, run.call.name)
            known = self._definitions[key] = ActivityDefinition(name=run.call.name, fn=fn)
        return known

    def _beat(self, details: Json | None) -> None:
        self._send(Beat(details))

    def _send(self, frame: ToParent) -> None:
        with self._sending:
            write_frame(self._sink, frame)

    def _receive(self) -> ToChild | None:
        body = read_frame(self._source)
        return None if body is None else cast("ToChild", self._decode(body))


def _find(target: Target, activity: str) -> Any:
    """Import the function.

    Raises:
        RegistrationError: It is not there, or its module cannot be imported here.
    """
    where = target.script or target.module
    try:
        found: Any = _module(target)
    except BaseException as error:  # a script may well call sys.exit
        raise RegistrationError(
            f"the process of activity {activity!r} cannot load {where}: "
            f"{type(error).__name__}: {error}; what a script does when it is run belongs "
            'under `if __name__ == "__main__":`'
        ) from error
    try:
        for name in target.qualname.split("."):
            found = getattr(found, name)
    except AttributeError:
        raise RegistrationError(
            f"the process of activity {activity!r} finds no {target.qualname!r} in {where}; "
            "define it at the top level, unconditionally"
        ) from None
    return found


def _module(target: Target) -> ModuleType:
    import importlib

    if target.script is None:
        return importlib.import_module(target.module)
    return sys.modules.get(MAIN) or _load_script(target.script, target.package)


def _load_script(script: str, package: str | None) -> ModuleType:
    from importlib.machinery import SourceFileLoader

    module = ModuleType(MAIN)
    module.__file__ = script
    module.__package__ = package
    sys.modules[MAIN] = module
    try:
        SourceFileLoader(MAIN, script).exec_module(module)
    except BaseException:
        del sys.modules[MAIN]
        raise
    return module


def main() -> None:
    """Serve the parent on what are stdin and stdout now."""
    source = os.fdopen(os.dup(0), "rb")
    sink = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    Child(source, sink).serve()
