"""Azure's host under the suite's port: the function app on the stand-in of its hosts, with its
management API over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

import azure.functions as func

import ostinato as ost
from ostinato.client import Client, InstanceStatus
from ostinato.events import Event
from ostinato.testing import ManualClock
from ostinato.testing.azure.functions_host import FunctionsHost
from ostinato.testing.azure.history import History, request_text
from ostinato.testing.azure.http_server import HttpServer
from ostinato.testing.azure.worker import Worker
from ostinato_azure.classic import read_history
from ostinato_azure.client import AzureClient
from ostinato_azure.functions import Functions

from .harness import EPOCH
from .hosts import SETTLES_IN, advance_to, finish
from .model import Case, Now, Open, RaiseEvent, Step

DRAINS = {
    "an activity that was started runs on when its instance ends, and its result is dropped",
    "items of a map that have not started when the instance ends never start",
    "results of an earlier generation's activities are dropped",
}
"""Cases that see an instance end before its activity does. The classic extension ends it only
then, so there what holds the activity is opened as soon as the end has been asked for."""


def drained(case: Case) -> Case:
    """The case with its gates opened directly after its last event."""
    steps = [step for step in case.script if not _opens(step)]
    asked = max(n for n, step in enumerate(steps) if isinstance(_inner(step), RaiseEvent))
    opened = [step for step in case.script if _opens(step)]
    return replace(case, script=(*steps[: asked + 1], *opened, *steps[asked + 1 :]))


def _opens(step: Step) -> bool:
    return isinstance(_inner(step), Open)


def _inner(step: Step) -> Step:
    return step.step if isinstance(step, Now) else step


class WorkerOf(Protocol):
    """Gives what runs an application's functions."""

    def __call__(self, app: ost.App, *, fresh: bool) -> Worker: ...


class AzureHost:
    """A function app on the stand-in of the Functions host.

    Args:
        worker_of: Gives what runs an application's functions, a fresh one if asked to; it is not
            closed here.
        server: Where it is.
    """

    def __init__(self, worker_of: WorkerOf, server: HttpServer) -> None:
        self._worker_of = worker_of
        self._server = server
        self._clock = ManualClock(EPOCH)
        self._host: FunctionsHost | None = None
        self._client: _Client | None = None

    @property
    def client(self) -> Client:
        assert self._client is not None, "deploy an application first"
        return self._client

    def deploy(self, app: ost.App) -> None:
        """Run ``app``'s functions from now on."""
        # A deployment ends the processes of before, and what they keep.
        worker = self._worker_of(app, fresh=self._host is not None)
        if self._host is None:
            self._host = FunctionsHost(worker, clock=self._clock, server=self._server)
        else:
            self._host.deploy(worker)
        if self._client is not None:
            self._client.close()
        self._client = _Client(self._host, app)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        if self._host is not None:
            self._host.close()

    def advance(self, delta: timedelta) -> None:
        """Let time pass."""
        self._clock.advance(delta)

    def advance_to_next(self) -> bool:
        """Let time pass until the next timer is due, and tell whether there is one."""
        assert self._host is not None
        return advance_to(self._host.hub.next_due(), self._clock)

    def settle(self) -> None:
        """Wait until nothing can move without time or a message."""
        assert self._host is not None
        self._host.hub.settle(SETTLES_IN)

    def finish(self, instance_id: str) -> InstanceStatus:
        """Go from timer to timer until the instance ends."""
        return finish(self, instance_id)


class _Client(AzureClient):
    """The client, with whole histories: as the extension's requests have them, and not its API."""

    def __init__(self, host: FunctionsHost, app: ost.App) -> None:
        super().__init__(host.url, app=app)
        self._hub = host.hub
        self._around = Functions(app, func.FunctionApp(), grpc=False).around

    def get_history(self, instance_id: str) -> Sequence[Event]:
        self.get_status(instance_id)
        options = self._hub.options
        request = request_text(
            History(self._hub.get(instance_id).history),
            long_timer_interval=options.long_timer_interval,
            maximum_short_timer=options.maximum_short_timer,
        )
        return read_history(request, self._around)
