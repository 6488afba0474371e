"""The queue, blob and timer triggers of an app, made from what its functions say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import ExitStack

from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from ostinato.local.clock import Clock
from ostinato.testing.azure.binding_expressions import Pattern
from ostinato.testing.azure.host_settings import AppSettings, QueueOptions
from ostinato.testing.azure.ncrontab import Schedule, ScheduleError
from ostinato.testing.azure.triggers import Calling, Trigger
from ostinato.testing.azure.triggers_blob import Blobs, Watched
from ostinato.testing.azure.triggers_queue import queue_trigger
from ostinato.testing.azure.triggers_timer import Timer
from ostinato.testing.azure.worker import BindingError, Data, Function

_ELSEWHERE = {"httptrigger", "orchestrationtrigger", "activitytrigger", "entitytrigger"}
"""Triggers that others serve."""


class FoundTriggers:
    """The triggers of an app.

    Args:
        functions: All of the app's; those with other triggers are passed over.
        host_id: Names the app in storage that it shares with others.
        settings: Hold the connections to storage.
        queues: How messages are handled.
        clock: The timers' time.
        calling: How functions are called.
    """

    def __init__(
        self,
        functions: Iterable[Function],
        *,
        host_id: str,
        settings: AppSettings,
        queues: QueueOptions,
        clock: Clock,
        calling: Calling,
    ) -> None:
        self._host_id = re.sub(r"[^a-z0-9]+", "-", host_id.lower()).strip("-")[:30] or "host"
        self._settings = settings
        self._options = queues
        self._clock = clock
        self._calling = calling
        self._clients = ExitStack()
        self._watched: dict[str, list[Watched]] = {}
        self._all: list[Trigger] = []
        self.off: dict[str, str] = {}
        """Functions whose trigger is not served, and why."""
        for function in functions:
            try:
                self._add(function)
            except (BindingError, ScheduleError) as error:
                self.off[function.name] = str(error)
        self._blobs = [self._blobs_on(connection) for connection in self._watched]
        self._all += self._blobs

    @property
    def all(self) -> Sequence[Trigger]:
        """The triggers that are served."""
        return tuple(self._all)

    def blob(self, function: Function, path: str) -> tuple[Data, dict[str, Data]] | None:
        """The data and metadata of a blob for a function that blobs call; None where none fits.

        Args:
            function: Whose trigger it is.
            path: Container and name, with a slash between.
        """
        return next((found for b in self._blobs if (found := b.read(function, path))), None)

    def close(self) -> None:
        """Let go of storage."""
        self._clients.close()

    def _add(self, function: Function) -> None:
        trigger = function.trigger
        match str(trigger["type"]).lower():
            case "timertrigger":
                schedule = Schedule.parse(self._settings.resolve(str(trigger["schedule"])))
                self._all.append(Timer(function, schedule, self._clock, self._calling))
            case "queuetrigger":
                service = self._queues(self._connection(function))
                queue = self._settings.resolve(str(trigger["queueName"]))
                self._all.append(
                    queue_trigger(function, queue, service, self._options, self._calling)
                )
            case "blobtrigger":
                pattern = Pattern(self._settings.resolve(str(trigger["path"])))
                watched = self._watched.setdefault(self._connection(function), [])
                watched.append(Watched(function, pattern))
            case kind if kind not in _ELSEWHERE:
                self.off[function.name] = f"triggers of type {trigger['type']} are not served here"
            case _:
                pass

    def _connection(self, function: Function) -> str:
        name = function.trigger.get("connection")
        connection = self._settings.connection(name)
        if connection is None:
            raise BindingError(f"its connection, the app setting {name!r}, is not set")
        return connection

    def _blobs_on(self, connection: str) -> Blobs:
        blobs = self._clients.enter_context(BlobServiceClient.from_connection_string(connection))
        return Blobs(
            self._host_id,
            self._watched[connection],
            blobs,
            self._queues(connection),
            self._options,
            self._calling,
        )

    def _queues(self, connection: str) -> QueueServiceClient:
        return self._clients.enter_context(QueueServiceClient.from_connection_string(connection))
