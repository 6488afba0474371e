"""Activities that run in child processes; apart from the tests, so that children import little."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from ostinato.activities import ActivityContext


class Refused(Exception):
    """An exception class of the user's own."""

    def __init__(self, code: int, *, reason: str) -> None:
        super().__init__(f"{code}: {reason}")


class Office:
    @staticmethod
    def stamp(text: str) -> str:
        return f"[{text}]"


def pid() -> int:
    return os.getpid()


async def pid_async() -> int:
    await asyncio.sleep(0)
    return os.getpid()


def shout(text: str) -> str:
    print(text)
    os.write(1, b"and raw bytes\n")
    subprocess.run([sys.executable, "-c", "print('from a grandchild')"], check=True)
    return text.upper()


def read_stdin() -> str:
    return sys.stdin.read()


def refuse() -> None:
    raise Refused(7, reason="closed")


def leave(how: str) -> None:
    if how == "exit":
        sys.exit(3)
    if how == "_exit":
        os._exit(3)
    os.kill(os.getpid(), signal.SIGKILL)


def hang(fifo: str) -> None:
    """Start a process, tell the ids of both, and wait for ever."""
    grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(fifo).write_text(f"{os.getpid()} {grandchild.pid}")
    grandchild.wait()


def wait(fifo: str, context: ActivityContext) -> bool:
    Path(fifo).write_text("waiting")
    return context.wait_cancelled(60)


def report(context: ActivityContext) -> list[Any]:
    context.heartbeat({"rows": 1})
    return [context.instance_id, context.task_id, context.idempotency_key]


def close_everything() -> None:
    with contextlib.suppress(OSError):
        os.closerange(3, 100)


def long() -> str:
    return "x" * 1000


def echo(text: str) -> str:
    return text
