from __future__ import annotations

import pytest

from ostinato.local.memory import MemoryStore
from ostinato.local.store import Store
from ostinato.testing.store_contract import StoreContract


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()

    def reopened(self, store: Store, *, killed: bool) -> Store:
        assert isinstance(store, MemoryStore)
        if killed:
            store.abandon()
        else:
            store.close()
        return store
