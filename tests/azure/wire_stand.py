"""An application on the stand-in of the Durable extension, without the HTTP around it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

import ostinato as ost
import ostinato_azure
from ostinato.codec import encode
from ostinato.testing import ManualClock
from ostinato.testing.azure.events import EventRaised
from ostinato.testing.azure.hub import TaskHub
from ostinato.testing.azure.instance import InstanceState
from ostinato.testing.azure.worker_bindings import ClientBindings
from ostinato.testing.azure.worker_direct import DirectWorker
from ostinato.testing.azure.worker_durable import DurableFunctions
from ostinato_azure import envelope
from tests.conformance.harness import EPOCH
from tests.conformance.hosts import advance_to, go_on

PATIENCE = 30.0
"""Seconds after which a hub that still moves is taken to be stuck."""


class WireStand:
    """A task hub with an application's functions, called in this process.

    Args:
        app: The application.
        grpc: Whether the extension speaks protobuf.
    """

    def __init__(self, app: ost.App, *, grpc: bool) -> None:
        self.clock = ManualClock(EPOCH)
        self._grpc = grpc
        self._hub = TaskHub(self._functions(app), clock=self.clock)

    def _functions(self, app: ost.App) -> DurableFunctions:
        worker = DirectWorker(ostinato_azure.function_app(app, grpc=self._grpc))
        return DurableFunctions(worker, ClientBindings(lambda binding: "{}"))

    def deploy(self, app: ost.App, *, grpc: bool | None = None) -> None:
        """Replace the application, and the wire where one is given."""
        self._grpc = self._grpc if grpc is None else grpc
        self._hub.deploy(self._functions(app))

    def start(self, name: str, value: Any = None, *, version: str | None = None) -> str:
        """Start an instance as the client does."""
        payload = msgspec.structs.replace(envelope.plain(encode(value, "input")), version=version)
        return self.start_raw(name, envelope.doubled(envelope.written(payload)))

    def start_raw(self, name: str, text: str | None) -> str:
        """Start an instance with the text of an input as it is."""
        return self._hub.start(name, text)

    def raise_event(self, instance_id: str, name: str, text: str) -> None:
        """Raise an event with the text of its data as it is."""
        self._hub.raise_event(instance_id, name, text)

    def raise_before_activities_end(self, instance_id: str, *names: str) -> None:
        """Deliver events in turns of their own while the ends of activities are put aside."""
        self._hub.hold(instance_id)
        for name in names:
            self._hub.raise_event(instance_id, name, "null")
            self._hub.let_through(instance_id, [lambda event: isinstance(event, EventRaised)])
            self.settle()
        self._hub.release(instance_id)
        self.settle()

    def come_back(self, instance_id: str, event: str, *, after: timedelta) -> None:
        """Raise an event, let time pass and resume, all of it while the app is away."""
        self._hub.hold(instance_id)
        self._hub.raise_event(instance_id, event, "null")
        self.advance(after)
        self._hub.resume(instance_id)
        self._hub.release(instance_id)
        self.settle()

    def suspend_with(self, instance_id: str, name: str, text: str) -> None:
        """Suspend an instance in the turn in which it takes an event."""
        self._hub.hold(instance_id)
        self._hub.raise_event(instance_id, name, text)
        self._hub.suspend(instance_id)
        self._hub.release(instance_id)
        self.settle()

    def resume(self, instance_id: str) -> None:
        """Let an instance go on."""
        self._hub.resume(instance_id)
        self.settle()

    def redeliver(self, instance_id: str, host_id: int) -> None:
        """Deliver the end of a task once more."""
        self._hub.redeliver(instance_id, host_id)

    def settle(self) -> None:
        """Wait until nothing moves without time or a message."""
        self._hub.settle(PATIENCE)

    def advance(self, delta: timedelta) -> None:
        """Let time pass, then let the hub settle."""
        self.clock.advance(delta)
        self.settle()

    def pass_time(self, delta: timedelta) -> None:
        """Let time pass from timer to timer, as it does, and not in one leap."""
        end = self.clock.now() + delta
        while (due := self._hub.next_due()) is not None and due < end:
            self.clock.advance_to(due)
            self.settle()
        self.clock.advance_to(end)
        self.settle()

    def state(self, instance_id: str) -> InstanceState:
        """The instance when nothing moves."""
        self.settle()
        return self._hub.get(instance_id)

    def finish(self, instance_id: str) -> InstanceState:
        """Go from timer to timer until the instance ends."""
        return go_on(
            lambda: self.state(instance_id),
            lambda state: state.status.finished,
            lambda: advance_to(self._hub.next_due(), self.clock),
        )

    def close(self) -> None:
        self._hub.close()


def output(state: InstanceState) -> Any:
    """What a completed instance returned."""
    assert state.status.name == "Completed", state
    return msgspec.json.decode(envelope.read_exact(state.output).text)
