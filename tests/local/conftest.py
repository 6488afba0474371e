"""Task hubs for the tests of the embedded engine: real stores, opened as often as needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ostinato as ost
from ostinato.local import LocalHost
from ostinato.local.memory import MemoryStore
from ostinato.local.sqlite import SqliteStore
from ostinato.testing import ManualClock
from ostinato.testing.crashes import CrashingStore, check_hub


class Hub:
    """One task hub and the hosts that execute it, one after another."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.clock = ManualClock()
        self._memory = MemoryStore()
        self._hosts: list[tuple[LocalHost, CrashingStore]] = []

    def store(self) -> MemoryStore | SqliteStore:
        """The hub, opened anew."""
        return self._memory if self.path is None else SqliteStore(self.path)

    def open(self, app: ost.App, **options: Any) -> LocalHost:
        """A host for the hub."""
        store = CrashingStore(self.store())
        options = {"clock": self.clock, "shutdown_timeout": 30.0, **options}
        try:
            host = LocalHost(app, store=store, **options)
        except BaseException:
            if self.path is not None:  # in memory there is but one, which the other host uses
                store.close()
            raise
        self._hosts.append((host, store))
        return host

    def kill(self) -> None:
        """Have the host die; its threads go on in vain until the end of the test."""
        self._hosts[-1][1].kill()

    def close(self) -> None:
        """Close all hosts; whatever happened, every history is sound."""
        for host, _ in self._hosts:
            host.close()
        store = self.store()
        check_hub(store)
        store.close()


@pytest.fixture(params=["memory", "sqlite"])
def hub(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hub]:
    """A hub of each kind."""
    hub = Hub(None if request.param == "memory" else tmp_path / "hub.db")
    yield hub
    hub.close()


@pytest.fixture
def file_hub(tmp_path: Path) -> Iterator[Hub]:
    """A hub in a file."""
    hub = Hub(tmp_path / "hub.db")
    yield hub
    hub.close()
