"""The hosts that every case runs on. Another host joins with a fixture of its own in `HOSTS`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from starlette.responses import PlainTextResponse

from ostinato.local.memory import MemoryStore
from ostinato.local.sqlite import SqliteStore
from ostinato.testing.azure.http_server import HttpServer
from ostinato.testing.azure.worker import Worker

from .azure_host import AzureHost
from .azure_zip import Package
from .backend_host import BackendHost
from .direct import DirectApps
from .hosts import EmbeddedHost
from .world import VARIABLE, Room, World

Hosts = Callable[[], EmbeddedHost]


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """The world outside, for all tests."""
    world = World()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(VARIABLE, world.url)
        yield world
    world.close()


@pytest.fixture
def room(world: World) -> Room:
    """A room of the world for this test."""
    world.room = Room()
    return world.room


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


@pytest.fixture(scope="session")
def direct_apps() -> DirectApps:
    """Applications as function apps in this process."""
    return DirectApps()


@pytest.fixture(scope="session")
def azure_worker(
    request: pytest.FixtureRequest,
    world: World,
    direct_apps: DirectApps,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., Worker]]:
    """What runs an application's functions: the built package in Microsoft's worker library.

    On Pythons that this library is not for, they are called in this process.
    """
    if sys.version_info < (3, 13):
        yield direct_apps.worker
        return
    python = request.getfixturevalue("worker_python")
    package = Package(tmp_path_factory.mktemp("package"), python)
    yield package.worker
    package.close()


@pytest.fixture(scope="session")
def server() -> Iterator[HttpServer]:
    """The HTTP server of one host on Azure's protocols after the other."""
    server = HttpServer(PlainTextResponse(status_code=503))
    yield server
    server.close()


@pytest.fixture
def azure(azure_worker: Callable[..., Worker], server: HttpServer) -> Iterator[AzureHost]:
    """A function app on the stand-in of Azure's hosts, on the classic wire."""
    host = AzureHost(partial(azure_worker, grpc=False), server)
    yield host
    host.close()


@pytest.fixture
def azure_grpc(azure_worker: Callable[..., Worker], server: HttpServer) -> Iterator[AzureHost]:
    """A function app on the stand-in of Azure's hosts, on the Durable Task wire."""
    host = AzureHost(partial(azure_worker, grpc=True), server)
    yield host
    host.close()


@pytest.fixture
def backend(direct_apps: DirectApps, server: HttpServer) -> Iterator[BackendHost]:
    """A function app on Microsoft's in-memory Durable Task backend."""
    host = BackendHost(partial(direct_apps.worker, grpc=True), server)
    yield host
    host.close()


HOSTS = ("memory", "sqlite", "evicting", "azure", "azure_grpc", "backend")


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest, room: Room) -> object:
    """Each host in turn; the world is there before it and goes after it."""
    return request.getfixturevalue(request.param)
