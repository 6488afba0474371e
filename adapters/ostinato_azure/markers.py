"""Markers as timers of the distant past, which is all that Azure's history gives back of one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_END = _EPOCH + timedelta(microseconds=1 << 48)


def marker_due(name: str) -> datetime:
    """When the timer of a marker is due: it fires at once."""
    digest = sha256(name.encode()).digest()
    return _EPOCH + timedelta(microseconds=int.from_bytes(digest[:6], "big"))


def is_marker(due: datetime) -> bool:
    """Whether a timer due then stands for a marker."""
    return _EPOCH <= due < _END
