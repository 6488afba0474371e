"""The hosts that every case runs on. Another host joins with a fixture of its own in `HOSTS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from ostinato.local.memory import MemoryStore
from ostinato.local.sqlite import SqliteStore

from .azure_host import AzureHost
from .hosts import EmbeddedHost
from .world import VARIABLE, Room, World

Hosts = Callable[[], EmbeddedHost]


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """The world outside, for all tests."""
    world = World()
    yield world
    world.close()


@pytest.fixture
def room(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    """A room of the world for this test, which its activities find by themselves."""
    name = uuid4().hex
    monkeypatch.setenv(VARIABLE, world.url(name))
    yield world.rooms[name]
    del world.rooms[name]


@pytest.fixture
def memory() -> Iterator[EmbeddedHost]:
    """The embedded engine on an in-memory store."""
    store = MemoryStore()
    host = EmbeddedHost(lambda: store)
    yield host
    host.close()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[EmbeddedHost]:
    """The embedded engine on a SQLite file."""
    host = EmbeddedHost(lambda: SqliteStore(tmp_path / "hub.db"))
    yield host
    host.close()


@pytest.fixture
def evicting(tmp_path: Path) -> Iterator[EmbeddedHost]:
    """The embedded engine on a SQLite file, keeping nothing live: every turn is a replay."""
    host = EmbeddedHost(lambda: SqliteStore(tmp_path / "hub.db"), cache_size=0)
    yield host
    host.close()


@pytest.fixture
def azure() -> Iterator[AzureHost]:
    """A function app on the stand-in of Azure's hosts, on the classic wire."""
    host = AzureHost(grpc=False)
    yield host
    host.close()


@pytest.fixture
def azure_grpc() -> Iterator[AzureHost]:
    """A function app on the stand-in of Azure's hosts, on the Durable Task wire."""
    host = AzureHost(grpc=True)
    yield host
    host.close()


HOSTS = ("memory", "sqlite", "evicting", "azure", "azure_grpc")


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest, room: Room) -> object:
    """Each host in turn; the world is there before it and goes after it."""
    return request.getfixturevalue(request.param)
