"""The instances that the engine has at hand."""

from __future__ import annotations

from ostinato.definitions import Registry
from ostinato.local.cache import LiveCache
from ostinato.local.store import Instance, Store
from ostinato.local.turns import Live
from ostinato.replay import Orchestration


class Instances:
    """Loads instances and keeps those used last; what it gives is as last committed."""

    def __init__(self, registry: Registry, store: Store, cache_size: int) -> None:
        self._registry = registry
        self._store = store
        self._cache = LiveCache(cache_size)
        self.waiting: set[str] = set()
        """Instances whose stored messages wait for their start."""

    def head(self, instance_id: str) -> Instance | None:
        """The head, or None when there is no such instance."""
        live = self._cache.peek(instance_id)
        return live.head if live is not None else self._store.instance(instance_id)

    def load(self, instance_id: str) -> Live | None:
        """The instance with its orchestration, replayed if it is not at hand."""
        live = self._cache.get(instance_id)
        if live is None:
            head = self._store.instance(instance_id)
            if head is None:
                return None
            live = Live(head, None)
            if not head.status.is_finished:
                self.admit(live)
        head = live.head
        if live.orchestration is None and head.length and not head.status.is_finished:
            orchestration = Orchestration(self._registry)
            orchestration.replay(self._store.history(instance_id))
            live.orchestration = orchestration
        return live

    def admit(self, live: Live) -> Live:
        """Keep an instance, in place of whatever was kept under its id."""
        self.drop(live.head.instance_id)
        self._cache.put(live.head.instance_id, live)
        return live

    def drop(self, instance_id: str) -> None:
        """Forget what is kept: the store knows better."""
        self._cache.drop(instance_id)

    def trim(self) -> None:
        """Give up the instances used longest ago, beyond the size of the cache."""
        self._cache.trim()

    def clear(self) -> None:
        """Give up all."""
        self._cache.clear()
