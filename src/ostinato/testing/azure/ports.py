"""What the task hub asks of the app's functions."""

from __future__ import annotations

from typing import Protocol


class FunctionFailed(Exception):
    """A function raised.

    ``text`` is the worker's exception text, ``kind: message``, possibly with
    ``$OutOfProcData$``; ``stack`` is its stack trace.
    """

    def __init__(self, text: str, stack: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.stack = stack


class ActivityTimedOut(FunctionFailed):
    """An activity ran out of the host's ``functionTimeout``."""


class Functions(Protocol):
    """The app's orchestrations, activities and entities."""

    @property
    def grpc(self) -> bool:
        """Whether the whole app speaks the protobuf protocol."""
        ...

    def has_orchestration(self, name: str) -> bool:
        """Whether there is an orchestration of this name."""
        ...

    def has_activity(self, name: str) -> bool:
        """Whether there is an activity of this name."""
        ...

    def orchestrate(self, name: str, request: str) -> str:
        """Call an orchestration: JSON text, or base64 of protobuf where `grpc`.

        Raises:
            FunctionFailed: It raised.
        """
        ...

    def run_activity(self, name: str, input: str) -> str | None:
        """Call an activity with its raw input; return its result as JSON text.

        Raises:
            FunctionFailed: It raised.
        """
        ...

    def run_entity(self, name: str, request: str) -> str:
        """Call an entity with a batch of operations.

        Raises:
            FunctionFailed: It raised.
        """
        ...
