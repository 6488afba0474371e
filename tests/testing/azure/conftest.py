"""Fixtures for the stand-in of Azure's hosts."""

from __future__ import annotations

import pytest


@pytest.fixture
def stand(storage):
    """An app to declare functions on, on storage of its own."""
    from tests.testing.azure.storage_stand import Stand

    stand = Stand(storage)
    yield stand
    stand.close()
