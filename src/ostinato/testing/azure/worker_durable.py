"""The orchestrations, activities and entities of an app, as the task hub calls them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from datetime import timedelta
from typing import Any

from ostinato.testing.azure.ports import ActivityTimedOut, FunctionFailed, WorkersDied
from ostinato.testing.azure.worker import (
    Binary,
    BindingError,
    Data,
    Function,
    IndexingFailed,
    Json,
    Request,
    Response,
    Text,
    Worker,
    WorkerLost,
)
from ostinato.testing.azure.worker_bindings import Bindings, call

DELIVERIES = 5
"""How often a turn, or a batch of an entity, is given to workers that die of it. The extension goes
on for ever."""


class DurableFunctions:
    """The durable functions of a worker, as the port of the task hub.

    Args:
        worker: Where the functions run.
        bindings: What they read and write besides.
        function_timeout: host.json's ``functionTimeout`` for activities; None for none. The
            function that has run out of it is left behind, its result dropped.
    """

    def __init__(
        self, worker: Worker, bindings: Bindings, *, function_timeout: timedelta | None = None
    ) -> None:
        self._worker = worker
        self._bindings = bindings
        self._timeout = function_timeout
        self._orchestrations = dict(_named(worker, "orchestrationTrigger", "orchestration"))
        self._activities = dict(_named(worker, "activityTrigger", "activity"))
        self._entities = dict(_named(worker, "entityTrigger", "entityName"))
        self.grpc = any(
            binding.get("durableRequiresGrpc") is True
            for function in worker.functions
            for binding in function.bindings
        )

    def has_orchestration(self, name: str) -> bool:
        """Whether there is an orchestration of this name, case aside."""
        return name.lower() in self._orchestrations

    def has_activity(self, name: str) -> bool:
        """Whether there is an activity of this name, case aside."""
        return name.lower() in self._activities

    def has_entity(self, name: str) -> bool:
        """Whether there is an entity of this name, case aside."""
        return name.lower() in self._entities

    def orchestrate(self, name: str, request: str) -> str:
        """Call an orchestration function with the extension's request; return its answer.

        Raises:
            FunctionFailed: It raised.
            WorkersDied: It ended every worker that it was given to.
        """
        return self._redelivered(self._orchestrations[name.lower()], request)

    def run_activity(self, name: str, input: str) -> str | None:
        """Call an activity function with its raw input; return its result as JSON text.

        Raises:
            FunctionFailed: It raised.
            WorkersDied: Its worker ended, which fails this attempt, as on the real host.
            ActivityTimedOut: It ran out of the host's ``functionTimeout``.
        """
        function = self._activities[name.lower()]
        if self._timeout is None:
            return self._attempt(function, input)
        future = Future[str | None]()
        threading.Thread(
            target=_settle, args=(future, self._attempt, function, input), daemon=True
        ).start()
        try:
            return future.result(self._timeout / timedelta(seconds=1))
        except TimeoutError:
            raise ActivityTimedOut(
                f"Timeout value of {self._timeout} was exceeded by function: Functions.{name}", ""
            ) from None

    def run_entity(self, name: str, request: str) -> str:
        """Call an entity function with a batch of operations; return its answer.

        Raises:
            FunctionFailed: It raised.
            WorkersDied: It ended every worker that it was given to.
        """
        return self._redelivered(self._entities[name.lower()], request)

    def _redelivered(self, function: Function, text: str) -> str:
        """Call, again where the worker was lost: its message goes back to the queue."""
        for _ in range(DELIVERIES - 1):
            with suppress(WorkersDied):
                return self._attempt(function, text) or ""
        return self._attempt(function, text) or ""

    def _attempt(self, function: Function, text: str) -> str | None:
        try:
            return _text(call(self._worker, self._bindings, function, Text(text)))
        except WorkerLost as error:
            raise WorkersDied(f"WorkerProcessExitException: {error}") from error
        except (BindingError, IndexingFailed) as error:
            raise FunctionFailed(str(error)) from error


def _named(worker: Worker, kind: str, key: str) -> Iterator[tuple[str, Function]]:
    """Functions of a kind by the name that their trigger gives them, else their own.

    The extension compares names without case (``FunctionName`` of the Durable extension).
    """
    for function in worker.functions:
        if str(function.trigger["type"]).lower() == kind.lower():
            yield str(function.trigger.get(key) or function.name).lower(), function


def _text(data: Data | None) -> str | None:
    match data:
        case None:
            return None
        case Text(value):
            return value
        case Json(text):
            return text
        case Binary(value):
            return value.decode()
        case Request() | Response():
            raise TypeError("a durable function gives no HTTP message")


def _settle(future: Future[Any], fn: Any, *args: Any) -> None:
    try:
        future.set_result(fn(*args))
    except BaseException as error:
        future.set_exception(error)
