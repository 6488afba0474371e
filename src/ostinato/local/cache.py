"""The bounded cache of live orchestrations: a parked instance costs no memory for long."""

from __future__ import annotations

from collections import OrderedDict

from ostinato.local.turns import Live


class LiveCache:
    """Keeps the instances used last, at most ``size`` of them.

    Entries leave only in `trim`, between cycles: within one they are in use.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[str, Live] = OrderedDict()

    def get(self, instance_id: str) -> Live | None:
        """Return an entry and count it as used."""
        live = self._entries.get(instance_id)
        if live is not None:
            self._entries.move_to_end(instance_id)
        return live

    def peek(self, instance_id: str) -> Live | None:
        """Return an entry."""
        return self._entries.get(instance_id)

    def put(self, instance_id: str, live: Live) -> None:
        """Add an entry."""
        self._entries[instance_id] = live

    def drop(self, instance_id: str) -> None:
        """Remove an entry; its generator is closed."""
        live = self._entries.pop(instance_id, None)
        if live is not None and live.orchestration is not None:
            live.orchestration.close()

    def trim(self) -> None:
        """Remove the entries used longest ago until the rest fits."""
        while len(self._entries) > self._size:
            self.drop(next(iter(self._entries)))

    def clear(self) -> None:
        """Remove all entries."""
        while self._entries:
            self.drop(next(iter(self._entries)))
