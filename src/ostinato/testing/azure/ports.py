"""What the task hub asks of what is around it: an app's functions, called by name, and a log.

`Functions` is the whole of the app. Who implements it runs the app's code, in process or through a
worker; the hub knows nothing of how.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

Log: TypeAlias = Callable[[str], None]
"""Takes a line for people."""

LINE = 300
"""Characters of an error that people are shown."""


def one_line(text: str, limit: int = LINE) -> str:
    """A text in one line, cut where it is long, without what would move a terminal's cursor."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else f"{line[:limit]}…"


class FunctionFailed(Exception):
    """A function raised.

    Attributes:
        text: The worker's text of the exception, ``Type: message``; what an orchestration
            function fails with may hold ``$OutOfProcData$`` and its answer.
        stack: The worker's stack trace; may be empty.
    """

    def __init__(self, text: str, stack: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.stack = stack


class WorkersDied(FunctionFailed):
    """Every worker that was given the call ended before it answered."""


class ActivityTimedOut(FunctionFailed):
    """A function ran for longer than the host's ``functionTimeout``."""


class Functions(Protocol):
    """The functions of one deployed app. Names are compared as the app compares them.

    Each call raises `deployments.Undeployed` when the app was closed before it answered.
    """

    @property
    def grpc(self) -> bool:
        """Whether the whole app speaks protobuf to the extension, and not JSON."""
        ...

    def has_orchestration(self, name: str) -> bool:
        """Whether the app has an orchestration function of this name."""
        ...

    def has_activity(self, name: str) -> bool:
        """Whether the app has an activity function of this name."""
        ...

    def has_entity(self, name: str) -> bool:
        """Whether the app has an entity function of this name."""
        ...

    def orchestrate(self, name: str, request: str) -> str:
        """Call an orchestration function with the text of its trigger.

        Args:
            name: The orchestration's name.
            request: JSON text, or base64 of an ``OrchestratorRequest`` when `grpc`.

        Returns:
            JSON text, or base64 of an ``OrchestratorResponse`` when `grpc`.

        Raises:
            FunctionFailed: The function raised.
            WorkersDied: There is no use in calling it again.
        """
        ...

    def run_activity(self, name: str, input: str) -> str | None:
        """Call an activity function; takes the raw text of its input, gives JSON text.

        Raises:
            FunctionFailed: The function raised.
            ActivityTimedOut: It took too long.
        """
        ...

    def run_entity(self, name: str, request: str) -> str:
        """Call an entity function with a batch of operations; both are JSON text.

        Raises:
            FunctionFailed: The function raised.
        """
        ...
