"""What triggers share: they are asked to look, and call functions for what they find."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ostinato.testing.azure.deployments import Undeployed, by_what_is_deployed
from ostinato.testing.azure.ports import FunctionFailed, Log, one_line
from ostinato.testing.azure.worker import (
    BindingError,
    Data,
    Function,
    IndexingFailed,
    Worker,
    WorkerLost,
    own_lines,
)
from ostinato.testing.azure.worker_bindings import Bindings, call

FAILURES = (FunctionFailed, BindingError, IndexingFailed, WorkerLost, Undeployed)
"""What a call raises where the function, or what runs it, did not do its part."""

SHOWN_FRAMES = 5
"""Lines of a stack that people are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calling:
    """How triggers call functions."""

    worker: Callable[[], Worker]
    """The one that is deployed."""
    bindings: Bindings
    log: Log
    folder: Path | None = None
    """The app's own code, whose lines are told with a failure."""

    def call(
        self, function: Function, data: Data, metadata: Mapping[str, Data] | None = None
    ) -> Data | None:
        """Call a function, as it is deployed now; once more where a deployment interrupts it.

        Raises:
            FAILURES: The function, or what runs it, did not do its part.
        """

        def work(worker: Worker) -> Data | None:
            now = next((f for f in worker.functions if f.name == function.name), None)
            if now is None:
                raise Undeployed(f"there is no function {function.name!r} any more")
            return call(worker, self.bindings, now, data, metadata)

        return by_what_is_deployed(self.worker, work)

    def succeeds(
        self, function: Function, data: Data, metadata: Mapping[str, Data], *, on: str = ""
    ) -> bool:
        """Call a function; a failure is logged, and is the trigger's to handle.

        Args:
            function: One that the app has, or had before a deployment.
            data: The trigger's.
            metadata: What the trigger tells besides.
            on: What people are told that the call was for, such as a message.
        """
        try:
            self.call(function, data, metadata)
        except FAILURES as error:
            self.tell(function, error, on=on)
            return False
        return True

    def tell(self, function: Function, error: Exception, *, on: str = "") -> None:
        """Log that a call failed: a line, and of the stack the app's own lines alone."""
        what = f"{function.name} failed on {on}" if on else f"{function.name} failed"
        own: list[str] = []
        if isinstance(error, FunctionFailed) and self.folder is not None:
            own = own_lines(error.stack, self.folder)[-SHOWN_FRAMES:]
        self.log("\n  ".join([f"{what}: {one_line(str(error))}", *map(one_line, own)]))


class Trigger(Protocol):
    """Something that may have happened, and the functions to call when it has."""

    def poll(self) -> int:
        """Handle what has happened by now; return how many calls that took."""
        ...


class Poller:
    """Asks triggers to look again and again, from a thread of its own.

    Args:
        triggers: Each is looked after by itself, so that a slow function holds up no other.
        interval: Seconds between two looks at a trigger that had nothing.
        log: Told of what goes wrong in a trigger itself; it is asked again all the same.
    """

    def __init__(self, triggers: Iterable[Trigger], *, interval: float, log: Log) -> None:
        self._interval = interval
        self._log = log
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=[trigger], name="functions-trigger")
            for trigger in triggers
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Begin no further look."""
        self._stopping.set()

    def close(self) -> None:
        """Stop looking, and wait for the calls that have begun."""
        self.stop()
        for thread in self._threads:
            thread.join()

    def _run(self, trigger: Trigger) -> None:
        while not self._stopping.is_set():
            try:
                found = trigger.poll()
            except Exception as error:  # storage may be away for a while
                self._log(one_line(f"{type(trigger).__name__}: {type(error).__name__}: {error}"))
                found = 0
            if not found:
                self._stopping.wait(self._interval)
