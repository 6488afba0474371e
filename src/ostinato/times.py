"""Durations and instants as users write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def seconds(value: float | timedelta, what: str) -> float:
    """Return a duration in seconds.

    Raises:
        ValueError: It is negative or not finite.
    """
    number = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if not 0 <= number < float("inf"):
        raise ValueError(f"{what} is {value!r}; it must be a number of seconds, 0 or more")
    return number


def as_utc(instant: datetime) -> datetime:
    """Return an instant in UTC; one without a zone is taken as UTC already."""
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
