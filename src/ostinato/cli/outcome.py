"""How a command ends: exit codes, the error that is its user's to mend, and being stopped."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from enum import IntEnum
from types import FrameType
from typing import NoReturn

from ostinato.client import RuntimeStatus


class ExitCode(IntEnum):
    """What the shell is told."""

    COMPLETED = 0
    FAILED = 1
    USAGE = 2
    TERMINATED = 3
    TIMEOUT = 4
    INTERRUPTED = 130
    """By Ctrl-C."""
    STOPPED = 143
    """By SIGTERM."""

    @classmethod
    def of(cls, status: RuntimeStatus) -> ExitCode:
        """Return the code of a finished instance."""
        match status:
            case RuntimeStatus.COMPLETED:
                return cls.COMPLETED
            case RuntimeStatus.TERMINATED | RuntimeStatus.CANCELED:
                return cls.TERMINATED
            case _:
                return cls.FAILED

    @classmethod
    def of_interrupt(cls, interrupt: KeyboardInterrupt) -> ExitCode:
        """Return the code of a run that was stopped."""
        return cls.STOPPED if isinstance(interrupt, Stopped) else cls.INTERRUPTED


class UsageError(Exception):
    """Something that the user can mend; the message says what and how."""


def similar(name: str, known: list[str]) -> str:
    """Return a hint that names what ``name`` may have been meant to be."""
    from difflib import get_close_matches

    if close := get_close_matches(name, known, n=3, cutoff=0.5):
        return "; did you mean " + " or ".join(map(repr, close)) + "?"
    return "; there are " + ", ".join(known) if known else "; there are none"


class Stopped(KeyboardInterrupt):
    """SIGTERM, by which containers and systemd stop a process; handled as Ctrl-C is."""


@contextmanager
def stopped_by_sigterm() -> Generator[None, None, None]:
    """Have SIGTERM raise `Stopped` in the block; only the main thread can handle signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        # None stands for a handler that Python did not set and cannot put back.
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


@contextmanager
def ended_by_signals() -> Generator[None, None, None]:
    """Have one SIGINT or SIGTERM raise `KeyboardInterrupt` in the block; the next ends the process.

    Without a word and at once, with 130 or 143: what the block does to end may itself take long.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)

    def at_once(number: int, frame: FrameType | None) -> NoReturn:
        os._exit(128 + number)

    def end(number: int, frame: FrameType | None) -> NoReturn:
        for each in numbers:
            signal.signal(each, at_once)
        raise KeyboardInterrupt

    before = [signal.signal(number, end) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped
