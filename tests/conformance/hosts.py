"""Hosts under the suite's port."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

import ostinato as ost
from ostinato.client import Client, InstanceStatus
from ostinato.local import LocalHost
from ostinato.local.store import Store
from ostinato.testing import ManualClock

from .harness import EPOCH
from .model import ConformanceHost

SETTLES_IN = 30.0
"""Seconds after which a host that still moves is taken to be stuck."""
FINISHES_IN = 500
"""Timers after which an instance that still runs is taken to be endless."""


State = TypeVar("State")


def go_on(
    look: Callable[[], State], is_over: Callable[[State], bool], advance: Callable[[], bool]
) -> State:
    """Go from timer to timer until what ``look`` gives is over, and return it.

    Args:
        advance: Lets time pass until the next timer is due, and tells whether there was one.
    """
    for _ in range(FINISHES_IN):
        state = look()
        if is_over(state):
            return state
        if not advance():
            raise AssertionError(f"it has not ended and nothing is due: {state}")
    raise AssertionError(f"it has not ended after {FINISHES_IN} timers: {look()}")


def finish(host: ConformanceHost, instance_id: str) -> InstanceStatus:
    """Go from timer to timer until an instance of a host ends, and return it."""

    def look() -> InstanceStatus:
        host.settle()
        return host.client.get_status(instance_id)

    return go_on(look, lambda status: status.runtime_status.is_finished, host.advance_to_next)


def advance_to(due: datetime | None, clock: ManualClock) -> bool:
    """Let time pass until a timer is due, if there is one, and tell whether there is."""
    if due is None:
        return False
    clock.advance_to(due)
    return True


class EmbeddedHost:
    """The embedded engine on one store.

    A deployment closes the engine and opens another: with ``open_store`` on a file read
    anew, or on the store object that the first engine left.
    """

    def __init__(self, open_store: Callable[[], Store], *, cache_size: int | None = None) -> None:
        self._open_store = open_store
        self._options = {} if cache_size is None else {"cache_size": cache_size}
        self._clock = ManualClock(EPOCH)
        self._host: LocalHost | None = None
        self._store: Store | None = None

    @property
    def client(self) -> Client:
        assert self._host is not None, "deploy an application first"
        return self._host.client

    def deploy(self, app: ost.App) -> None:
        """Close the engine, if there is one, and open one with ``app`` on the same hub."""
        self.close()
        self._store = self._open_store()
        self._host = LocalHost(app, store=self._store, clock=self._clock, **self._options)
        self._host.__enter__()

    def close(self) -> None:
        if self._host is not None:
            self._host.__exit__(None, None, None)
            self._host = None

    def advance(self, delta: timedelta) -> None:
        """Let time pass."""
        self._clock.advance(delta)

    def advance_to_next(self) -> bool:
        """Let time pass until the next timer is due, and tell whether there is one."""
        assert self._store is not None
        return advance_to(self._store.next_due(), self._clock)

    def settle(self) -> None:
        """Wait until nothing can move without time or a message."""
        assert self._host is not None
        self._host.settle(SETTLES_IN)

    def finish(self, instance_id: str) -> InstanceStatus:
        """Go from timer to timer until the instance ends."""
        return finish(self, instance_id)
