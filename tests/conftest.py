"""Parts of the real world that several tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

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
