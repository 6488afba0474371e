"""Markers as timers of the distant past, which is all that Azure's history gives back of one.

Markers of versions have a range of their own, so that the version of an instance is known to be
gone even where its name, of which there is no more than a hash, belongs to none that is left.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RANGE = timedelta(microseconds=1 << 48)
_VERSION = "version:"

MARKERS_END = _EPOCH + 2 * _RANGE
"""Timers that are due before are markers; late in 1987."""


def marker_due(name: str) -> datetime:
    """When the timer of a marker is due: it fires at once."""
    digest = sha256(name.encode()).digest()
    begin = _EPOCH + _RANGE if name.startswith(_VERSION) else _EPOCH
    return begin + timedelta(microseconds=int.from_bytes(digest[:6], "big"))


def version_due(version: str) -> datetime:
    """When the timer of the marker of a version is due."""
    return marker_due(f"{_VERSION}{version}")


def is_marker(due: datetime) -> bool:
    """Whether a timer due then stands for a marker."""
    return _EPOCH <= due < MARKERS_END


def is_version_marker(due: datetime) -> bool:
    """Whether a timer due then stands for the marker of a version."""
    return _EPOCH + _RANGE <= due < MARKERS_END
