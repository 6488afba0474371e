"""Parts of the real world that several tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.identities import Identities

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def worker_python() -> Path:
    """The Python of an environment that has Microsoft's worker library and nothing else."""
    python = ROOT / ".venv-3.13-worker" / "bin" / "python"
    if not python.is_file():
        why = "no environment for built packages: .ci/set-up-worker"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{why}; CI tests them, too")
        pytest.skip(why)
    return python


@pytest.fixture(scope="session")
def azurite_program() -> Path:
    """Azurite, of the version that the lock file names."""
    azurite = pytest.importorskip("ostinato.testing.azure.azurite")
    program: Path | None = azurite.find_azurite(ROOT)
    if program is None:
        why = f"Azurite was not found: npm ci in {ROOT.name}"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{why}; CI tests storage, too")
        pytest.skip(why)
    return program


@pytest.fixture(scope="session")
def storage(azurite_program: Path) -> Iterator[str]:
    """The connection string of an Azurite of this test run's own."""
    azurite = pytest.importorskip("ostinato.testing.azure.azurite")
    with azurite.Azurite(azurite_program) as running:
        yield running.connection_string


@pytest.fixture
def identities(monkeypatch: pytest.MonkeyPatch) -> Iterator[Identities]:
    """The identities of the app that this process is, as on App Service."""
    from ostinato import tokens
    from ostinato.testing.azure.http_server import HttpServer
    from tests.identities import SECRET, Identities

    identities = Identities()
    tokens._credential.cache_clear()
    for variable in ("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID"):
        monkeypatch.delenv(variable, raising=False)
    with closing(HttpServer(identities)) as server:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{server.url}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", SECRET)
        yield identities
    tokens._credential.cache_clear()
