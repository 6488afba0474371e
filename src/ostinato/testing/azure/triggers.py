"""What triggers share: they are asked to look, and call functions for what they find."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ostinato.testing.azure.ports import FunctionFailed
from ostinato.testing.azure.worker import (
    BindingError,
    Data,
    Function,
    IndexingFailed,
    Worker,
    WorkerLost,
)
from ostinato.testing.azure.worker_bindings import Bindings, call

Log = Callable[[str], None]
"""Takes a line for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calling:
    """How triggers call functions."""

    worker: Worker
    bindings: Bindings
    log: Log

    def succeeds(self, function: Function, data: Data, metadata: Mapping[str, Data]) -> bool:
        """Call a function; a failure is logged, and is the trigger's to handle."""
        try:
            call(self.worker, self.bindings, function, data, metadata)
        except FunctionFailed as error:
            self.log(f"{function.name} failed: {error.text}\n{error.stack}".rstrip())
        except (BindingError, IndexingFailed, WorkerLost) as error:
            self.log(f"{function.name} failed: {error}")
        else:
            return True
        return False


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

    def close(self) -> None:
        """Stop looking, and wait for the calls that have begun."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _run(self, trigger: Trigger) -> None:
        while not self._stopping.is_set():
            try:
                found = trigger.poll()
            except Exception as error:  # storage may be away for a while
                self._log(f"{type(trigger).__name__}: {type(error).__name__}: {error}")
                found = 0
            if not found:
                self._stopping.wait(self._interval)
